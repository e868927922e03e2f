"""The public blobconverter client, unchanged, against our server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blobconverter as public
import httpx
import onnx
import pytest
import requests

from blobsmith.blob import Blob
from blobsmith.compat import blobconverter as own
from blobsmith.errors import UsageError
from blobsmith.server.cloud_config import optimizer_arguments
from tests import graphs

from .conftest import Served


def _not_in_the_store(*_: object) -> None:
    """What the vendor's store on the net answers for a model it has never seen."""
    raise FileNotFoundError


@pytest.fixture
def client(server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The client with our url; the store that it asks before any server is none."""
    before = dict(vars(public)["__defaults"])
    monkeypatch.setattr(public, "__download_from_s3_bucket", _not_in_the_store)
    monkeypatch.setenv("NO_PROXY", "*")
    public.set_defaults(url=server.url, output_dir=tmp_path / "blobs", silent=True)
    yield public
    vars(public)["__defaults"].update(before)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "concat.onnx"
    onnx.save(graphs.concat(24), path)
    return path


def test_from_onnx_gives_the_blob_of_the_stand_in(
    client: Any, model: Path, tmp_path: Path
) -> None:  # fmt: skip
    path = client.from_onnx(model=str(model), data_type="FP16", shaves=6, optimizer_params=[])
    assert Path(path).name == "concat_openvino_2022.1_6shave.blob"
    assert client.is_valid_blob(path)
    here = own.from_onnx(model, shaves=6, optimizer_params=[], output_dir=tmp_path / "own")
    assert Path(path).read_bytes() == here.read_bytes()
    assert Blob.open(path).shaves == 6


def test_its_defaults_mean_what_they_mean_there(
    client: Any, model: Path, tmp_path: Path
) -> None:  # fmt: skip
    plain = Path(client.from_onnx(model=str(model), optimizer_params=[], use_cache=False))
    without = plain.read_bytes()
    usual = Path(client.from_onnx(model=str(model), use_cache=False)).read_bytes()
    assert usual != without
    assert usual == own.from_onnx(model, output_dir=tmp_path / "own").read_bytes()
    assert Blob.from_bytes(usual).shaves == 4


def test_compile_and_optimizer_parameters(client: Any, model: Path) -> None:
    path = client.from_onnx(
        model=str(model), compile_params=["-ip FP16", "-op FP32"],
        optimizer_params=["--reverse_input_channels", "--scale_values=[2,4,8]"],
    )  # fmt: skip
    blob = Blob.open(path)
    assert {spec.dtype for spec in blob.input_specs} == {"fp16"}
    assert {spec.dtype for spec in blob.output_specs} == {"fp32"}


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda c, m: c.from_onnx(model=str(m), version="2021.4"), "blobs of version 2021.4"),
        (lambda c, m: c.from_onnx(model=str(m), data_type="FP32"), "data_type can only be FP16"),
        (lambda c, m: c.from_onnx(model=str(m), download_ir=True), "download_ir=True"),
        (lambda c, m: c.from_onnx(model=str(m), dry=True), "dry=True is not supported"),
        (lambda c, m: c.from_onnx(model="http://x/m.onnx"), "models are not downloaded"),
        (
            lambda c, m: c.from_onnx(model=str(m), optimizer_params=["--nonsense=1"]),
            "--nonsense is not supported",
        ),
        (
            lambda c, m: c.from_onnx(model=str(m), optimizer_params=["--input_shape=[1,,3]"]),
            "--input_shape",
        ),
        (
            lambda c, m: c.from_onnx(model=str(m), compile_params=["-ip 'U8"]),
            "compile parameters cannot be read",
        ),
        (lambda c, m: c.from_onnx(model=str(m), shaves=40), "40 shaves"),
    ],
)
def test_what_is_not_done_here_is_told_as_the_client_tells_it(
    client: Any, model: Path, capsys: pytest.CaptureFixture[str], call: Any, sentence: str
) -> None:
    """It prints the body of an answer with status 400."""
    with pytest.raises(requests.HTTPError, match="400"):
        call(client, model)
    printed = capsys.readouterr().out
    assert sentence in json.loads(printed[printed.index("{") :])["error"]["what"]


@pytest.mark.parametrize("kind", ["caffe", "tf", "openvino"])
def test_other_frameworks_are_refused_in_the_same_words(
    client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    files = [tmp_path / name for name in ("a.prototxt", "b.caffemodel", "c.pb", "d.xml", "e.bin")]
    for file in files:
        file.write_bytes(b"x")
    proto, caffe, frozen, xml, weights = map(str, files)
    calls = {"caffe": (proto, caffe), "tf": (frozen,), "openvino": (xml, weights)}
    with pytest.raises(requests.HTTPError):
        getattr(client, f"from_{kind}")(*calls[kind])
    with pytest.raises(UsageError) as told:
        getattr(own, f"from_{kind}")()
    printed = capsys.readouterr().out
    error = json.loads(printed[printed.index("{") :])["error"]
    assert (error["what"], error["remedy"]) == (told.value.what, told.value.remedy)


def test_the_zoo_is_refused(client: Any, ask: httpx.Client) -> None:
    with pytest.raises(requests.HTTPError):
        client.zoo_list()
    answer = ask.post("/compile", files={"x": ("x", b"")}, data={"use_zoo": "True", "name": "n"})
    assert answer.status_code == 400
    assert "zoos" in answer.json()["error"]["what"]


def test_a_model_that_is_at_fault_is_printed(
    client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"nonsense")
    with pytest.raises(requests.HTTPError):
        client.from_onnx(model=str(path))
    assert "not an ONNX model" in capsys.readouterr().out
    assert not list((tmp_path / "blobs").glob("*.blob"))


_MERGED = b"a: &a {x: 1}\n" + b"".join(
    b"%c: &%c {<<: [%b]}\n" % (n + 1, n + 1, b", ".join([b"*%c" % n] * 9))
    for n in range(ord("a"), ord("z"))
)


def test_a_config_is_read_without_merge_keys() -> None:
    """With them a few hundred bytes become gigabytes."""
    config = b"x: &x {model_optimizer_args: [--merged]}\n<<: *x\n"
    assert optimizer_arguments(config) == ()
    assert optimizer_arguments(b"model_optimizer_args: [--input_model=x, --a]") == ("--a",)


@pytest.mark.parametrize(
    "config",
    [
        b"", b"- 1", b"{", b"[" * 5000, b"x: " + b"y" * 20000, b"framework: [1]", _MERGED,
        b"!!python/object/apply:os.system [true]", b"\xff\xfe\x00", b"model_optimizer_args: 5",
        b"framework: onnx\nmodel_optimizer_args: [[1]]", b"&a [*a]",
    ],
)  # fmt: skip
def test_a_hostile_config_is_harmless(ask: httpx.Client, relu: bytes, config: bytes) -> None:
    files = {"config": ("c", config), "m.onnx": ("m.onnx", relu)}
    answer = ask.post("/compile", files=files)
    assert answer.status_code in (200, 400), answer.text
