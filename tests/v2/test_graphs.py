"""DepthAI v2 device graphs of every zoo model, built and serialised by v2 itself with no device."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from blobsmith import zoo
from blobsmith.packaging.manifest import manifest_path

from ..zoo_blobs import blobs, entry, manifest
from .environment import ROOT, python_with_v2

FEEDS: dict[str, dict[str, str]] = {"normalize": {"mean": "1,2,3", "scale": "4"}}
NAMES = [name for name in zoo.names() if name != "cosine"]  # no input that a camera could fill

INPUTS = ("", "inputs")

Link = tuple[str, str, str, str]


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `graphs.py` printed under v2, for the zoo and for a few feeds of the user's."""
    folder, wanted = tmp_path_factory.mktemp("v2"), {}
    for name in NAMES:
        path = folder / f"{name}.blob"
        path.write_bytes(blobs(name)[6])
        manifest_path(path).write_bytes(manifest(name, blobs(name)[6], "blob").to_bytes())
        wanted[name] = {"path": str(path), "feeds": FEEDS.get(name, {})}
    concat = str(folder / "concat.blob")
    wanted["three moments"] = {
        "path": concat, "feeds": {"img1": "color", "img2": "color:1", "img3": "left:2"},
    }  # fmt: skip
    done = subprocess.run(
        [python_with_v2(), Path(__file__).with_name("graphs.py"), json.dumps(wanted)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def nodes(answer: Any, name: str) -> dict[int, dict[str, Any]]:
    return dict(answer["graphs"][name]["pipeline"]["nodes"])


def links(answer: Any, name: str) -> set[Link]:
    """(node, output, node, input), each node by its name and what tells it from its like."""
    titles = {}
    for number, node in nodes(answer, name).items():
        detail = node["properties"].get("streamName") or node["properties"].get("boardSocket")
        titles[number] = node["name"] if detail is None else f"{node['name']} {detail}"
    return {
        (titles[c["node1Id"]], c["node1Output"], titles[c["node2Id"]], c["node2Input"])
        for c in answer["graphs"][name]["pipeline"]["connections"]
    }


def of_kind(answer: Any, name: str, kind: str) -> list[dict[str, Any]]:
    return [n["properties"] for n in nodes(answer, name).values() if n["name"] == kind]


def port(answer: Any, name: str, kind: str, label: str) -> dict[str, Any]:
    """An input's settings; the passthrough of the same name is an output."""
    node = next(n for n in nodes(answer, name).values() if n["name"] == kind)
    return next(i for (group, found), i in node["ioInfo"] if found == label and group in INPUTS)


def test_it_is_v2(answer: Any) -> None:
    assert answer["version"].startswith("2.")


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_the_blob_and_its_result_leaves(answer: Any, name: str) -> None:
    assert blobs(name)[6].hex() in answer["graphs"][name]["assets"].values()
    network = of_kind(answer, name, "NeuralNetwork")[0]
    assert network["blobSize"] == len(blobs(name)[6])
    assert network["numThreads"] == 2
    assert ("NeuralNetwork", "out", "XLinkOut nn", "in") in links(answer, name)


@pytest.mark.parametrize("name", [n for n in NAMES if len(entry(n).inputs) == 1])
def test_one_picture(answer: Any, name: str) -> None:
    assert links(answer, name) == {
        ("ColorCamera 0", "preview", "NeuralNetwork", "in"),
        ("NeuralNetwork", "passthrough", "XLinkOut used_image", "in"),
        ("NeuralNetwork", "out", "XLinkOut nn", "in"),
    }
    camera = of_kind(answer, name, "ColorCamera")[0]
    assert (camera["previewWidth"], camera["previewHeight"]) == (40, 24)
    # Planar BGR of bytes, whatever the function expects: the swap is in the graph.
    assert (camera["interleaved"], camera["colorOrder"], camera["fp16"]) == (False, 0, False)
    assert camera["fps"] == 30.0
    assert port(answer, name, "NeuralNetwork", "in")["blocking"] is False


def test_three_cameras(answer: Any) -> None:
    found = links(answer, "concat")
    assert ("ColorCamera 0", "preview", "NeuralNetwork", "img2") in found
    for socket in (1, 2):
        assert (f"MonoCamera {socket}", "out", "ImageManip", "inputImage") in found
    assert {link[3] for link in found if link[2] == "NeuralNetwork"} == {"img1", "img2", "img3"}
    sources = {
        c["node2Input"]: c["node1Id"]
        for c in answer["graphs"]["concat"]["pipeline"]["connections"]
        if nodes(answer, "concat")[c["node2Id"]]["name"] == "NeuralNetwork"
    }
    for name, socket in (("img1", 1), ("img3", 2)):
        manip = next(
            c for c in answer["graphs"]["concat"]["pipeline"]["connections"]
            if c["node2Id"] == sources[name]
        )  # fmt: skip
        camera = nodes(answer, "concat")[manip["node1Id"]]
        assert (camera["name"], camera["properties"]["boardSocket"]) == ("MonoCamera", socket)
    for manip in of_kind(answer, "concat", "ImageManip"):
        config = manip["initialConfig"]
        assert (config["resizeConfig"]["width"], config["resizeConfig"]["height"]) == (40, 24)
        assert config["formatConfig"]["type"] == 8  # RawImgFrame::Type::BGR888p
        assert manip["outputFrameSize"] == 40 * 24 * 3


def test_the_previous_frame_by_a_script(answer: Any) -> None:
    found = links(answer, "diff")
    assert ("ColorCamera 0", "preview", "Script", "in") in found
    for name in ("img1", "img2"):
        assert ("Script", name, "NeuralNetwork", name) in found
        assert port(answer, "diff", "NeuralNetwork", name)["blocking"] is True
    scripts = [
        bytes.fromhex(data).decode()
        for name, data in answer["graphs"]["diff"]["assets"].items()
        if name.endswith("__script")
    ]
    assert "node.io['img2'].send(frames[min(1, len(frames) - 1)])" in scripts[0]


def test_constants_are_sent_once_and_used_again(answer: Any) -> None:
    found = links(answer, "normalize")
    for name in ("mean", "scale"):
        assert (f"XLinkIn constant_{name}", "out", "NeuralNetwork", name) in found
        assert port(answer, "normalize", "NeuralNetwork", name)["waitForMessage"] is False
    assert port(answer, "normalize", "NeuralNetwork", "frame")["waitForMessage"] is True


def test_moments_of_two_cameras(answer: Any) -> None:
    found = links(answer, "three moments")
    assert {link for link in found if link[0] == "Script"} == {
        ("Script", name, "NeuralNetwork", name) for name in ("img1", "img2", "img3")
    }
    assert len(of_kind(answer, "three moments", "Script")) == 2


def test_no_camera(answer: Any) -> None:
    assert answer["no camera"] == "EnvironmentFault: no OAK camera is attached"
