"""The v3 pipeline without a camera: every frame, in step, with the emulator's own results."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import depthai as dai
import numpy as np
import pytest

from blobsmith import zoo
from blobsmith.emulator import Emulator
from blobsmith.errors import SourceError, UsageError
from blobsmith.oak import host_source
from blobsmith.oak.decode import outputs_to_frames
from blobsmith.oak.host import host_pipeline
from blobsmith.oak.run import run_session
from blobsmith.oak.session import host_session
from blobsmith.packaging.archive import make_archive
from blobsmith.packaging.artifact import artifact_from_bytes
from blobsmith.packaging.superblob import make_superblob
from blobsmith.runtime.sinks import open_sink

from ..zoo_blobs import blobs, entry, graph, manifest
from .files import blob_file, opened

FRAMES = 100
BGR = dai.ImgFrame.Type.BGR888p


@pytest.mark.parametrize("name", zoo.names())
def test_a_hundred_frames_of_every_zoo_model(name: str) -> None:
    emulator = Emulator(opened(name).blob())
    numbers, newest = [], []
    with host_session(opened(name), limit=FRAMES) as session:
        for result in session:
            expected = emulator.run(result.feeds)
            assert set(result.feeds) == {spec.name for spec in entry(name).inputs}
            for output in entry(name).outputs:
                got = result.outputs[output.name]
                assert got.dtype == np.float16
                assert np.array_equal(got, expected[output.name], equal_nan=True)
            numbers.append(result.number)
            newest.append(next(iter(result.feeds.values())).copy())
    assert numbers == list(range(FRAMES))
    moving = sum(not np.array_equal(a, b) for a, b in pairwise(newest))
    assert moving > FRAMES / 2


def test_frames_of_two_moments_are_in_step(pictures: Path) -> None:
    with host_session(opened("diff"), source=pictures) as session:
        pairs = [tuple(int(r.feeds[n].max()) for n in ("img1", "img2")) for r in session]
    assert pairs == [(0, 0), (40, 0), (80, 40), (120, 80), (160, 120)]


def test_three_cameras_show_the_same_moment(pictures: Path) -> None:
    with host_session(opened("concat"), source=pictures) as session:
        for index, result in enumerate(session):
            assert {int(array.max()) for array in result.feeds.values()} == {40 * index}
    assert index == 4


def test_a_source_for_each_camera(pictures: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for index in range(5):
        cv2.imwrite(str(other / f"{index}.png"), np.full((24, 40, 3), 7 + index, np.uint8))
    with host_session(opened("concat"), source=pictures, sockets={"CAM_C": other}) as session:
        seen = [[int(r.feeds[f"img{i}"].max()) for i in (1, 2, 3)] for r in session]
    assert seen == [[40 * i, 40 * i, 7 + i] for i in range(5)]


def test_every_kind_of_file_and_engine_gives_the_same() -> None:
    """Blob, superblob and archives on the emulator; the ONNX in FP32 within a rounding."""
    made, plain = entry("blur"), blobs("blur")[8]
    parts: dict[str, Any] = {"name": "blur", "inputs": made.inputs, "outputs": made.outputs}
    data = {
        "blob": plain,
        "superblob": make_superblob(blobs("blur")),
        "archive": make_archive(plain, **parts),
        "archive of superblob": make_archive(
            make_superblob(blobs("blur")), kind="superblob", **parts
        ),
        "archive of onnx": make_archive(
            graph("blur"), kind="onnx", manifest=manifest("blur", graph("blur"), "onnx", ()),
            **parts,
        ),
    }  # fmt: skip
    results = {}
    for kind, content in data.items():
        with host_session(artifact_from_bytes(content), limit=2) as session:
            results[kind] = [result.outputs["output"] for result in session]
    for kind, outputs in results.items():
        assert len(outputs) == 2
        limit = 0.2 if "onnx" in kind else 0
        for got, expected in zip(outputs, results["blob"], strict=True):
            assert np.abs(got.astype(np.float32) - expected.astype(np.float32)).max() <= limit


def raw(path: Path, source: Any, *, archive: bool = False, shaves: int | None = None) -> list[Any]:
    """A user's own DepthAI code, in which only the first line differs from that for a camera."""
    with host_pipeline(source) as pipeline:
        camera = pipeline.create(dai.node.Camera).build(dai.CameraBoardSocket.CAM_A)
        network = pipeline.create(dai.node.NeuralNetwork)
        if not archive:
            network.setBlobPath(path)
        elif shaves is None:
            network.setNNArchive(dai.NNArchive(str(path)))
        else:
            network.setNNArchive(dai.NNArchive(str(path)), shaves)  # type: ignore[call-arg]
        network.setNumInferenceThreads(2)
        camera.requestOutput((40, 24), BGR).link(network.input)
        results = network.out.createOutputQueue(maxSize=8, blocking=False)
        frames = network.passthrough.createOutputQueue(maxSize=8, blocking=False)
        pipeline.start()
        got: list[Any] = []
        while pipeline.isRunning():
            got.append((results.get(), frames.get()))
    return got


def test_a_users_own_pipeline(pictures: Path, tmp_path: Path) -> None:
    emulator = Emulator(opened("corners").blob())
    got = raw(blob_file("corners", tmp_path), pictures)
    assert [(m.getSequenceNum(), f.getSequenceNum()) for m, f in got] == [
        (number, number) for number in range(5)
    ]
    for message, frame in got:
        planes = np.asarray(frame.getData()).reshape(1, 3, 24, 40)
        expected = emulator.run({"image": planes})
        assert sorted(message.getAllLayerNames()) == ["corners", "edges"]
        for name in ("edges", "corners"):
            assert np.array_equal(message.getTensor(name), expected[name].astype(np.float32))
    shown = outputs_to_frames(got[0][0], opened("corners"))
    assert {name: picture.shape for name, picture in shown.items()} == {
        "edges": (24, 40, 3), "corners": (24, 40, 3),
    }  # fmt: skip


@pytest.mark.parametrize("shaves", [None, 5])
def test_archives_by_depthais_own_reader(
    shaves: int | None, pictures: Path, tmp_path: Path
) -> None:
    made, path = entry("blur"), tmp_path / "blur.tar.xz"
    path.write_bytes(
        make_archive(
            make_superblob(blobs("blur")), kind="superblob", name="blur", inputs=made.inputs,
            outputs=made.outputs,
        )
    )  # fmt: skip
    assert len(raw(path, pictures, archive=True, shaves=shaves)) == 5


def test_a_video_is_a_camera_too(tmp_path: Path) -> None:
    video = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for index in range(7):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    with host_session(opened("blur"), source=video) as session:
        levels = [int(result.feeds["image"].mean()) for result in session]
    assert len(levels) == 7
    assert levels == sorted(levels)


def test_results_are_written_and_counted(pictures: Path, tmp_path: Path) -> None:
    summary = run_session(
        host_session(opened("diff"), source=pictures), open_sink(tmp_path / "out/"), title="diff"
    )
    assert summary.frames == 5
    assert summary.fps > 0
    assert summary.ranges["output"] == (0.0, 120.0)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        f"{i:05d}.png" for i in range(5)
    ]


def test_a_limit_and_an_early_end_leave_nothing_hanging(pictures: Path) -> None:
    sink = open_sink(None)
    assert run_session(host_session(opened("blur")), sink, limit=3).frames == 3
    with pytest.raises(UsageError, match="does nothing"):
        run_session(host_session(opened("blur")), sink, limit=0)
    with host_session(opened("blur"), source=pictures):
        pass


def test_a_slow_network_is_waited_for(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the frames is not the end of the work on them."""
    monkeypatch.setattr(host_source, "IDLE_SECONDS", 0.02)

    def slowly(self: Emulator, inputs: Any) -> Any:
        time.sleep(0.3)  # longer than a session waits for one message
        return run(self, inputs)

    run = Emulator.run
    monkeypatch.setattr(Emulator, "run", slowly)
    with host_session(opened("threshold"), source=pictures) as session:
        assert [result.number for result in session] == [0, 1, 2, 3, 4]


NO_WITH = """
import sys, depthai as dai
from blobsmith.oak.host import host_pipeline
pipeline = host_pipeline("sample")
camera = pipeline.create(dai.node.Camera).build()
network = pipeline.create(dai.node.NeuralNetwork)
network.setBlobPath(sys.argv[1])
camera.requestOutput((40, 24), dai.ImgFrame.Type.BGR888p).link(network.input)
results = network.out.createOutputQueue()
pipeline.start()
results.get()
"""


def test_a_program_that_just_ends(tmp_path: Path) -> None:
    """Threads that run Python code while the interpreter ends would abort the process."""
    command = [sys.executable, "-c", NO_WITH, str(blob_file("blur", tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_a_camera_has_and_its_stand_in_has_not() -> None:
    camera = host_pipeline().create(dai.node.Camera)
    assert hasattr(dai.node.Camera, "setImageOrientation")
    with pytest.raises(AttributeError, match="no stand-in without a camera"):
        camera.setImageOrientation(dai.CameraImageOrientation.NORMAL)


def test_the_onnx_of_a_bare_blob_is_not_known() -> None:
    with pytest.raises(SourceError, match="ONNX"):
        host_session(opened("blur"), engine="onnx")


def test_image_manip_runs_on_the_host(pictures: Path, tmp_path: Path) -> None:
    """Nodes that DepthAI itself can run on the host stay the real ones."""
    with host_pipeline(pictures) as pipeline:
        camera = pipeline.create(dai.node.Camera).build()
        manip = pipeline.create(dai.node.ImageManip)
        manip.initialConfig.setOutputSize(40, 24)
        manip.initialConfig.setFrameType(BGR)
        network = pipeline.create(dai.node.NeuralNetwork)
        network.setBlobPath(blob_file("blur", tmp_path))
        camera.requestOutput((80, 48), BGR).link(manip.inputImage)
        manip.out.link(network.input)
        results = network.out.createOutputQueue(maxSize=8, blocking=True)
        pipeline.start()
        assert results.get().getTensor("output").shape == (1, 3, 24, 40)
