"""Runs on a camera, with DepthAI's device and queues scripted: what is asked, and what goes wrong.

No camera was attached when these were written: they show that every path ends in a message that
helps, not that a camera behaves as scripted.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import depthai as dai
import numpy as np
import pytest

from blobsmith.errors import BlobsmithError, EnvironmentFault, PackageError, UsageError
from blobsmith.oak.faults import explain
from blobsmith.oak.messages import frame_message, tensor_message
from blobsmith.oak.run import run_session
from blobsmith.oak.session import Session, device_session
from blobsmith.packaging.archive import make_archive
from blobsmith.packaging.artifact import Artifact, artifact_from_bytes
from blobsmith.packaging.superblob import make_superblob
from blobsmith.runtime.sinks import open_sink

from ..zoo_blobs import blobs, entry, graph, manifest
from .camera import SOCKETS, FakeDai, FakeDevice
from .recorder import ScriptedQueue


@pytest.mark.parametrize("method", [name for name in vars(FakeDevice) if not name.startswith("_")])
def test_the_stand_in_has_no_method_that_a_device_has_not(method: str) -> None:
    assert hasattr(dai.Device, method)


def artifact(name: str, data: bytes | None = None) -> Artifact:
    blob = blobs(name)[6]
    if data is not None:
        return artifact_from_bytes(data, name)
    return artifact_from_bytes(blob, name, manifest=manifest(name, blob, "blob"))


def results(name: str, *numbers: int) -> dict[str, ScriptedQueue]:
    """Queues of so many results and the frames that go with them."""
    outputs = {s.name: np.full(s.shape, 7, np.float16) for s in entry(name).outputs}
    frame = np.full((24, 40, 3), 9, np.uint8)
    kind = dai.ImgFrame.Type.BGR888p
    return {
        "NeuralNetwork.out": ScriptedQueue(*(tensor_message(outputs, n) for n in numbers)),
        "NeuralNetwork.passthrough": ScriptedQueue(
            *(frame_message(frame, (40, 24), kind, dai.ImgResizeMode.CROP, n) for n in numbers)
        ),
    }


def session(fake: FakeDai, name: str = "blur", **options: Any) -> Session:
    return device_session(artifact(name), dai=fake, **options)


def test_a_run(tmp_path: Path) -> None:
    fake = FakeDai()
    fake.log.queues = results("blur", 0, 1, 2, 5)
    summary = run_session(session(fake, fps=20.0), open_sink(tmp_path / "out/"), limit=4)
    assert summary.frames == 4
    assert summary.ranges == {"output": (7.0, 7.0)}
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert fake.device.closed
    assert fake.device.attempts == 0
    asked = [call for call in fake.log if call.method == "requestOutput"]
    assert asked[0].kwargs == (("fps", 20.0), ("type", dai.ImgFrame.Type.BGR888p))


def test_a_superblob_is_run_for_the_advised_shaves() -> None:
    fake = FakeDai()
    made = device_session(artifact("blur", make_superblob(blobs("blur"))), dai=fake)
    given = next(call.args[0] for call in fake.log if call.method == "setBlob")
    assert (given.numShaves, made.plan.threads) == (6, 2)
    fake = FakeDai()
    device_session(artifact("blur", make_superblob(blobs("blur"))), dai=fake, shaves=3)
    given = next(call.args[0] for call in fake.log if call.method == "setBlob")
    assert bytes(given.data) == blobs("blur")[3]


def test_frames_of_the_host_on_the_camera() -> None:
    fake = FakeDai()
    made = session(fake, "diff", source="sample")
    assert [c.args[0] for c in fake.log if c.method == "frames_of"] == [(40, 24)]
    assert not [c for c in fake.log if c.target.startswith("Camera")]
    assert made.plan.scripts
    fake = FakeDai()
    session(fake, "cosine", source="sample")
    assert [c.args[0] for c in fake.log if c.method == "tensor_of"] == ["a", "b"]
    with pytest.raises(UsageError, match="no camera can fill it"):
        session(FakeDai(), "cosine")


def test_the_end_of_the_hosts_frames_ends_the_run() -> None:
    fake = FakeDai()
    fake.log.queues = results("blur", 0, 1)
    made = session(fake, source="sample")
    state = next(c.args[1] for c in fake.log if c.method == "build" and c.target == "HostSource")
    state.sent, state.finished = 2, True
    with made:
        assert len(list(made)) == 2


LOST = [
    RuntimeError("Couldn't read data from stream: '__x_0_out' (X_LINK_ERROR)"),
    RuntimeError("Communication exception - possible device error/misconfiguration."),
    dai.MessageQueue.QueueException("MessageQueue was closed"),
]


@pytest.mark.parametrize("error", LOST, ids=lambda e: str(e)[:20])
def test_unplugging_ends_with_a_message_and_the_frames_so_far(
    error: Exception, tmp_path: Path
) -> None:
    fake = FakeDai()
    fake.log.queues = results("blur", 0, 1, 2)
    fake.log.queues["NeuralNetwork.out"].entries.append(error)
    with pytest.raises(EnvironmentFault, match="broke after 3 frames") as caught:
        run_session(session(fake), open_sink(tmp_path / "run.mp4"))
    assert caught.value.exit_code == 5
    from blobsmith.runtime.sources import open_source

    with open_source(tmp_path / "run.mp4") as video:
        assert len(list(video)) == 3
    assert fake.device.closed


def test_a_pipeline_that_stopped_by_itself_is_a_lost_camera() -> None:
    fake = FakeDai()
    fake.log.queues = results("blur", 0)
    with session(fake) as made:
        stream = iter(made)
        next(stream)
        made._pipeline.stop()
        with pytest.raises(EnvironmentFault, match="broke after 1 frame"):
            next(stream)


def seconds() -> Iterator[float]:
    return (5.0 * tick for tick in count())


def test_a_silent_camera_is_given_up_with_what_it_logged() -> None:
    fake = FakeDai()
    fake.log.queues = results("blur", 0)
    made = session(fake)
    ticks = seconds()
    made._clock = lambda: next(ticks)
    fake.device.callback(log_entry(dai.LogLevel.INFO, "booted"))
    fake.device.callback(log_entry(dai.LogLevel.ERR, "Input tensor 'image' has the wrong size"))
    with pytest.raises(EnvironmentFault, match="no result for") as caught, made:
        list(made)
    assert caught.value.where == "Input tensor 'image' has the wrong size"
    assert "depthai-host" in caught.value.remedy


def log_entry(level: Any, text: str) -> Any:
    return type("Entry", (), {"level": level, "payload": text})


class Broken(FakeDevice):
    def getConnectedCameras(self) -> list[Any]:  # noqa: N802
        raise RuntimeError("Device already closed or disconnected: io_error")


@pytest.mark.parametrize(
    ("fake", "options", "kind", "named"),
    [
        (FakeDai(names=()), {}, EnvironmentFault, "no OAK camera is attached"),
        (FakeDai(names=(), used=1), {}, EnvironmentFault, "in use by another program"),
        (FakeDai(), {"device": "14442C10"}, UsageError, "no camera '14442C10'"),
        (FakeDai(names=()), {"device": "14442C10"}, EnvironmentFault, "no OAK camera"),
        (FakeDai(FakeDevice(dai.Platform.RVC4)), {}, EnvironmentFault, "chip RVC4"),
        (FakeDai(FakeDevice(sockets=())), {}, EnvironmentFault, "no camera CAM_A"),
        (FakeDai(Broken()), {}, EnvironmentFault, "connection to the camera broke"),
        (FakeDai(), {"shaves": 5}, PackageError, "compiled for 6 shaves, not for 5"),
        (FakeDai(), {"threads": 5}, UsageError, "5 inference threads"),
        (FakeDai(), {"feeds": {"image": "CAM_X"}}, UsageError, "'CAM_X' is nothing"),
        (
            FakeDai(RuntimeError("Insufficient permissions to communicate with device")),
            {},
            EnvironmentFault,
            "may not use the camera's USB device",
        ),
        (
            FakeDai(RuntimeError("No available devices (1 connected, but in use)")),
            {},
            EnvironmentFault,
            "in use by another program",
        ),
        (
            FakeDai(RuntimeError("Failed to find device, error message: X_LINK_ERROR")),
            {},
            EnvironmentFault,
            "no OAK camera is attached",
        ),
    ],
)  # fmt: skip
def test_cameras_that_cannot_be_used(
    fake: FakeDai, options: dict[str, Any], kind: type[BlobsmithError], named: str
) -> None:
    with pytest.raises(kind, match=named) as caught:
        session(fake, **options)
    assert caught.value.remedy
    if fake.opened and isinstance(fake.device, FakeDevice):
        assert fake.device.closed


def test_a_camera_without_the_sensors_for_concat() -> None:
    fake = FakeDai(FakeDevice(sockets=SOCKETS[:1]))
    with pytest.raises(
        EnvironmentFault, match="no camera CAM_B, which the input 'img1' wants"
    ) as e:
        session(fake, "concat")
    assert "--feed img1=color" in e.value.remedy
    feeds = {f"img{i}": "color" for i in (1, 2, 3)}
    assert session(FakeDai(FakeDevice(sockets=SOCKETS[:1])), "concat", feeds=feeds)


def test_cameras_are_found_by_name_and_by_address() -> None:
    fake = FakeDai(names=("1.1", "1.2"))
    session(fake, device="1.2")
    assert fake.opened[0].name == "1.2"
    fake = FakeDai(names=())
    session(fake, device="192.168.1.44")
    assert fake.opened[0].name == "192.168.1.44"


def test_an_onnx_does_not_run_on_the_chip() -> None:
    made = entry("blur")
    told = manifest("blur", graph("blur"), "onnx", ())
    data = make_archive(
        graph("blur"), kind="onnx", name="blur", inputs=made.inputs, outputs=made.outputs,
        manifest=told,
    )  # fmt: skip
    with pytest.raises(UsageError, match="holds an ONNX"):
        device_session(artifact("blur", data), dai=FakeDai())


def test_the_real_depthai_without_a_camera() -> None:
    with pytest.raises(EnvironmentFault, match="no OAK camera is attached"):
        device_session(artifact("blur"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Loaded model is for RVC3, but the device is RVC4", "chip RVC4"),
        ("Blob compiled for 15 shaves, but only 13 available", "refuses the blob"),
        ("Camera socket CAM_A: requested size 9000x9000 is too large", "cannot give these frames"),
        ("Something else\nwith a second line", "DepthAI reports: Something else"),
        ("", "an error without a text"),
    ],
)
def test_other_errors_of_depthai(text: str, named: str) -> None:
    explained = explain(RuntimeError(text))
    assert named in explained.what
    assert "second line" not in explained.what
    assert explained.remedy
    assert explain(explained) is explained
