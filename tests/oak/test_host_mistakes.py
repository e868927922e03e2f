"""Mistakes in a pipeline without a camera: each is named, where a camera would send nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import depthai as dai
import pytest

from blobsmith.errors import BlobsmithError, FrameError, UsageError
from blobsmith.oak.host import host_pipeline
from blobsmith.oak.run import run_session
from blobsmith.oak.session import host_session
from blobsmith.runtime.sinks import open_sink

from .files import blob_file, opened

BGR = dai.ImgFrame.Type.BGR888p


def wrong(folder: Path, source: Any, build: Any) -> None:
    with host_pipeline(source) as pipeline:
        camera = pipeline.create(dai.node.Camera).build()
        network = pipeline.create(dai.node.NeuralNetwork)
        build(pipeline, camera, network, str(blob_file("diff", folder)))
        results = network.out.createOutputQueue()
        pipeline.start()
        while pipeline.isRunning():
            results.get()


def frames_of_another_size(pipeline: Any, camera: Any, network: Any, blob: str) -> None:
    network.setBlobPath(blob)
    for name in ("img1", "img2"):
        camera.requestOutput((40, 20), BGR).link(network.inputs[name])


def frames_of_another_type(pipeline: Any, camera: Any, network: Any, blob: str) -> None:
    network.setBlobPath(blob)
    for name in ("img1", "img2"):
        camera.requestOutput((40, 24), dai.ImgFrame.Type.BGR888i).link(network.inputs[name])


def one_link_missing(pipeline: Any, camera: Any, network: Any, blob: str) -> None:
    network.setBlobPath(blob)
    camera.requestOutput((40, 24), BGR).link(network.inputs["img1"])


def one_name_wrong(pipeline: Any, camera: Any, network: Any, blob: str) -> None:
    network.setBlobPath(blob)
    for name in ("img1", "img3"):
        camera.requestOutput((40, 24), BGR).link(network.inputs[name])


def no_model(pipeline: Any, camera: Any, network: Any, blob: str) -> None:
    camera.requestOutput((40, 24), BGR).link(network.input)


def no_such_blob(pipeline: Any, camera: Any, network: Any, blob: str) -> None:
    network.setBlobPath(blob + "x")


def broken_script(pipeline: Any, camera: Any, network: Any, blob: str) -> None:
    network.setBlobPath(blob)
    script = pipeline.create(dai.node.Script)
    script.setScript("frame = node.io['in'].get()\nframe.nothing()")
    camera.requestOutput((40, 24), BGR).link(script.inputs["in"])
    for name in ("img1", "img2"):
        script.outputs[name].link(network.inputs[name])


def a_node_for_devices(pipeline: Any, camera: Any, network: Any, blob: str) -> None:
    pipeline.create(dai.node.StereoDepth)


@pytest.mark.parametrize(
    ("build", "kind", "named"),
    [
        (frames_of_another_size, FrameError, "frames of 40x20, the model takes 40x24"),
        (frames_of_another_type, FrameError, "type BGR888i, the model takes BGR888p"),
        (one_link_missing, UsageError, "nothing is linked to the model's input 'img2'"),
        (one_name_wrong, UsageError, "no input 'img3'"),
        (no_model, UsageError, "has no model"),
        (no_such_blob, BlobsmithError, "no such file"),
        (broken_script, UsageError, "Script node failed"),
        (a_node_for_devices, UsageError, "StereoDepth runs on a camera only"),
    ],
)
def test_mistakes_are_named(
    build: Any, kind: type[BlobsmithError], named: str, tmp_path: Path, pictures: Path
) -> None:
    """On a camera most of these end in a pipeline that never sends a result."""
    with pytest.raises(kind, match=named):
        wrong(tmp_path, pictures, build)


def test_a_source_that_is_not_there() -> None:
    with (
        pytest.raises(FrameError, match="no frame source"),
        host_session(opened("blur"), source="nothing.mp4") as session,
    ):
        list(session)


def test_a_picture_that_cannot_be_read_ends_the_run(tmp_path: Path, pictures: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "0.png").write_bytes((pictures / "0.png").read_bytes())
    (folder / "1.png").write_bytes((pictures / "1.png").read_bytes()[:60])
    out = tmp_path / "out"
    with pytest.raises(FrameError, match="cut short"):
        run_session(host_session(opened("blur"), source=folder), open_sink(out))
