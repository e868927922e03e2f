"""A model sent with a form: the blob comes back, and what is known of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import onnx
import pytest
from onnx import TensorProto, helper

from blobsmith.blob import Blob
from blobsmith.builder import build
from blobsmith.packaging.artifact import artifact_from_bytes
from blobsmith.packaging.manifest import Manifest
from tests import graphs

from .conftest import Served


def post(ask: httpx.Client, data: bytes, name: str = "relu.onnx", **fields: Any) -> httpx.Response:
    accept = fields.pop("accept", "*/*")
    return ask.post(
        "/api/v1/build", files={"model": (name, data)}, data=fields, headers={"accept": accept}
    )


def test_curl_gets_the_blob_itself(ask: httpx.Client, relu: bytes) -> None:
    answer = post(ask, relu, shaves="5")
    assert answer.status_code == 200
    assert Blob.from_bytes(answer.content).shaves == 5
    assert 'filename="relu.blob"' in answer.headers["content-disposition"]
    assert answer.content == build((relu, "relu.onnx"), shaves=5, use_cache=False).artifact
    known = ask.get(answer.headers["x-blobsmith-result"]).json()
    assert known["sha256"] == hashlib.sha256(answer.content).hexdigest()


def test_json_tells_all_and_where_the_files_are(ask: httpx.Client, relu: bytes) -> None:
    told = post(ask, relu, accept="application/json", report="true").json()
    assert told["ok"]
    assert told["verification"]["passed"]
    assert told["predicted_ms"] > 0
    assert [step["name"] for step in told["steps"]][-1] == "verify"
    assert told["kept_seconds"] == 600
    files = {kind: ask.get(place) for kind, place in told["files"].items()}
    assert set(files) == {"artifact", "manifest", "onnx", "report"}
    manifest = Manifest.from_bytes(files["manifest"].content)
    assert manifest.describes(files["artifact"].content)
    assert manifest.onnx_path == "relu.blob.onnx"
    assert 'filename="relu.blob.onnx"' in files["onnx"].headers["content-disposition"]
    assert hashlib.sha256(files["onnx"].content).hexdigest() == manifest.onnx_sha256
    page = files["report"]
    assert "relu" in page.text
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts;")


def test_lines_tell_the_steps_as_they_begin(ask: httpx.Client, relu: bytes) -> None:
    answer = post(ask, relu, accept="application/x-ndjson", color="rgb", mean="1,2,3", scale="2")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[0]["step"] == "read"
    assert "verify" in [line["step"] for line in lines[:-1]]
    (spec,) = lines[-1]["inputs"]
    assert (spec["color"], spec["mean"], spec["scale"]) == ("rgb", [1, 2, 3], [2])


@pytest.mark.parametrize("format_", ["superblob", "archive"])
def test_other_formats(ask: httpx.Client, relu: bytes, format_: str) -> None:
    answer = post(ask, relu, format=format_, shaves="3")
    assert artifact_from_bytes(answer.content).kind == format_


def test_inputs_and_options_are_taken(ask: httpx.Client) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    model = graphs.model([node], {"x": (1, 3, "h", "w")}, {"y": None})
    data = model.SerializeToString()
    refused = post(ask, data)
    assert refused.status_code == 400
    assert refused.json()["error"]["remedy"].startswith("give input=x=")
    told = post(
        ask, data, accept="application/json", input="x=1x3x8x12:fp16", verify="off", optimize="0"
    ).json()
    assert told["inputs"][0]["shape"] == [1, 3, 8, 12]
    assert told["inputs"][0]["dtype"] == "fp16"
    assert told["verification"] is None
    assert "verify" not in [step["name"] for step in told["steps"]]


def test_an_output_that_does_not_fit_is_422_and_the_field_is_named(ask: httpx.Client) -> None:
    nodes = [helper.make_node("Mul", ["x", "k"], ["y"])]
    model = graphs.model(nodes, {"x": graphs.IMAGE}, {"y": graphs.IMAGE}, {"k": [_float(1000.0)]})
    answer = post(ask, model.SerializeToString())
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "check"
    assert "fix_fp16=true" in error["remedy"]
    assert "--" not in error["remedy"]
    told = post(ask, model.SerializeToString(), accept="application/json", fix_fp16="true").json()
    assert told["outputs"][0]["decoding"]["factor"] < 1


def _float(value: float) -> Any:
    import numpy as np

    return np.float32(value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"shave": "6"}, "did you mean shaves?"),
        ({"shaves": "17"}, "17"),
        ({"shaves": "auto"}, "auto"),
        ({"format": "zip"}, "zip"),
        ({"archive_holds": "onnx"}, "format=archive"),
        ({"verify": "perhaps"}, "perhaps"),
        ({"mean": "a"}, "mean 127.5"),
        ({"color": "yuv"}, "yuv"),
        ({"input": "x0"}, "input 'x0'"),
        ({"classes": "/etc/passwd.txt"}, "archive"),
        ({"shaves": ["4", "5"]}, "twice"),
    ],
)
def test_fields_that_mean_nothing_are_refused(
    ask: httpx.Client, relu: bytes, fields: dict[str, Any], told: str
) -> None:
    answer = post(ask, relu, **fields)
    assert answer.status_code == 400
    assert answer.json()["ok"] is False
    assert told in " ".join(answer.json()["error"].values())


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 422), (b"nonsense", 422), (b"<?xml version='1.0'?>", 422), (b"\x80\x02.", 422)],
)
def test_what_is_no_onnx_is_the_clients_fault(ask: httpx.Client, data: bytes, status: int) -> None:
    answer = post(ask, data)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"code", "what", "where", "remedy"}


def test_weights_on_the_servers_disk_are_not_read(ask: httpx.Client) -> None:
    """External data may name any file; none is opened."""
    model = graphs.model(
        [helper.make_node("Add", ["x", "w"], ["y"])], {"x": graphs.IMAGE}, {"y": graphs.IMAGE}
    )
    weights = model.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[1])
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/passwd")
    answer = post(ask, model.SerializeToString())
    assert answer.status_code == 422
    assert "lie in another file" in answer.json()["error"]["what"]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("../../../etc/passwd.onnx", "passwd.blob"),
        ("..\\..\\boot.onnx", "boot.blob"),
        ('a"; filename=b.onnx', "a_22_filename_b.blob"),
        ("....onnx", "onnx.blob"),
        ("x" * 500 + ".onnx", "x" * 80 + ".blob"),
    ],
)
def test_a_hostile_name_is_harmless(
    ask: httpx.Client, relu: bytes, name: str, given: str
) -> None:  # fmt: skip
    answer = post(ask, relu, name=name)
    assert answer.status_code == 200
    assert f'filename="{given}"' in answer.headers["content-disposition"]


def test_a_name_in_another_script_is_kept(ask: httpx.Client, relu: bytes) -> None:
    answer = post(ask, relu, name="模型.onnx", accept="application/json")
    assert answer.json()["name"] == "模型.blob"
    blob = ask.get(answer.json()["files"]["artifact"])
    assert "filename*=UTF-8''%E6%A8%A1%E5%9E%8B.blob" in blob.headers["content-disposition"]


def test_check_and_inspect(ask: httpx.Client, relu: bytes) -> None:
    report = ask.post("/api/v1/check", files={"model": ("r.onnx", relu)}).json()
    assert (report["ok"], report["verdict"], report["refusal"]) == (True, "safe", "")
    blob = post(ask, relu).content
    inside = ask.post(
        "/api/v1/inspect", files={"file": ("r.blob", blob)}, data={"stages": "1", "time": "1"}
    ).json()
    assert (inside["kind"], inside["shaves"]) == ("blob", [6])
    assert len(inside["stages"]) == inside["header"]["stages"]
    assert inside["time"]["total_ms"] > 0
    onnx_facts = ask.post("/api/v1/inspect", files={"file": ("r.onnx", relu)}).json()
    assert onnx_facts["operators"] == {"Relu": 1}
    damaged = ask.post("/api/v1/inspect", files={"file": ("r.blob", blob[:100])})
    assert damaged.status_code == 422


def test_health_and_the_description(ask: httpx.Client) -> None:
    health = ask.get("/api/v1/health").json()
    assert health["ok"]
    assert health["limits"]["upload_bytes"] == 1 << 20
    paths = ask.get("/api/v1/openapi.json").json()["paths"]
    assert {"/api/v1/build", "/api/v1/check", "/api/v1/inspect"} <= set(paths)
    form = paths["/api/v1/build"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["properties"]["shaves"]["default"] == "6"


def test_places_that_do_not_exist(ask: httpx.Client) -> None:
    for place in ("/nothing", "/api/v1/results/guess", "/api/v1/results/guess/artifact"):
        answer = ask.get(place)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not-found"
    assert ask.get("/api/v1/build").status_code == 405


def test_the_server_itself_loads_no_native_parser(server: Served) -> None:
    """In a process of its own: this one has everything loaded."""
    import subprocess
    import sys

    code = (
        "import sys, blobsmith.server.listen\n"
        "print([m for m in ('numpy', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
