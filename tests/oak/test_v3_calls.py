"""v3 pipelines for a camera: what is asked of DepthAI, held against its classes and stubs."""

from __future__ import annotations

from typing import Any

import depthai as dai
import numpy as np
import pytest

from blobsmith import zoo
from blobsmith.oak import v3
from blobsmith.oak.plan import Constant, PipelinePlan
from blobsmith.oak.planner import plan_pipeline
from blobsmith.tensors import TensorSpec

from ..zoo_blobs import blobs, entry
from .recorder import Call, Recorder, RecordingPipeline
from .signatures import overloads, stub_refuses

FEEDS = {"cosine": {"a": "color", "b": "1"}}


def plan(name: str, **options: Any) -> PipelinePlan:
    made = entry(name)
    return plan_pipeline(made.inputs, made.outputs, shaves=6, **options)


def recorded(made: PipelinePlan, name: str, **options: Any) -> tuple[list[Call], v3.Streams]:
    log: list[Call] = []
    blob = dai.OpenVINO.Blob(blobs(name)[6])
    return log, v3.build(RecordingPipeline(log), made, blob, dai, **options)


def links(log: list[Call]) -> set[tuple[str, str]]:
    return {(call.target, repr(call.args[0])) for call in log if call.method == "link"}


def calls(log: list[Call], target: str) -> dict[str, tuple[Any, ...]]:
    """Method -> positional arguments, then keyword values in the order of their names."""
    return {
        call.method: (*call.args, *(value for _, value in call.kwargs))
        for call in log
        if call.target == target
    }


SINGLE = [n for n in zoo.names() if len(entry(n).inputs) == 1]


@pytest.mark.parametrize("name", SINGLE)
def test_one_picture(name: str) -> None:
    log, streams = recorded(plan(name, fps=20.0), name)
    assert calls(log, "Camera0")["build"] == (dai.CameraBoardSocket.CAM_A,)
    assert calls(log, "Camera0")["requestOutput"] == (
        (40, 24), 20.0, dai.ImgFrame.Type.BGR888p,
    )  # fmt: skip
    assert links(log) == {("Camera0.requestOutput()", "NeuralNetwork.input")}
    assert calls(log, "NeuralNetwork")["setNumInferenceThreads"] == (2,)
    # Live: the newest frame counts, and results stay with their frames.
    assert calls(log, "NeuralNetwork.input") == {"setBlocking": (False,), "setMaxSize": (1,)}
    for queue in ("NeuralNetwork.out", "NeuralNetwork.passthrough"):
        assert calls(log, queue) == {"createOutputQueue": (True, v3.LIVE_QUEUE)}
    assert set(streams.used) == {"image"}


def test_three_cameras() -> None:
    log, streams = recorded(plan("concat"), "concat")
    sockets = [calls(log, f"Camera{i}")["build"][0].name for i in range(3)]
    assert sockets == ["CAM_B", "CAM_A", "CAM_C"]
    assert links(log) == {
        (f"Camera{i}.requestOutput()", f"NeuralNetwork.inputs['img{i + 1}']") for i in range(3)
    }
    assert set(streams.used) == {"img1", "img2", "img3"}


def test_the_previous_frame_comes_through_a_script() -> None:
    log, _ = recorded(plan("diff"), "diff")
    assert links(log) == {
        ("Camera0.requestOutput()", "Script0.inputs['in']"),
        ("Script0.outputs['img1']", "NeuralNetwork.inputs['img1']"),
        ("Script0.outputs['img2']", "NeuralNetwork.inputs['img2']"),
    }
    text = calls(log, "Script0")["setScript"][0]
    assert "node.io['img1'].send(frames[min(0" in text
    assert "node.io['img2'].send(frames[min(1" in text
    compile(text, "history", "exec")
    # A pair must not be torn: the default of a named input keeps its newest message only.
    for name in ("img1", "img2"):
        assert calls(log, f"NeuralNetwork.inputs['{name}']")["setBlocking"] == (True,)


def test_constants_are_sent_once_and_used_again() -> None:
    made = plan("normalize", feeds={"mean": "1,2,3", "scale": "2.5"})
    log, streams = recorded(made, "normalize")
    assert links(log) == {("Camera0.requestOutput()", "NeuralNetwork.inputs['frame']")}
    for name in ("mean", "scale"):
        port = calls(log, f"NeuralNetwork.inputs['{name}']")
        assert port == {"setReusePreviousMessage": (True,), "createInputQueue": (False, 1)}
    log.clear()
    queues = [queue for queue, _ in streams.constants]
    assert [type(queue) for queue in queues] == [Recorder, Recorder]
    streams.send_constants()
    assert [call.method for call in log] == ["send", "send"]
    values = {message.getAllLayerNames()[0]: message for _, message in streams.constants}
    assert values["mean"].getTensorInfo("mean").dataType == dai.TensorInfo.DataType.FP16
    assert values["mean"].getTensor("mean").ravel().tolist() == [1, 2, 3]
    assert values["scale"].getTensor("scale").ravel().tolist() == [2.5, 2.5, 2.5]


def test_a_background_picture_is_a_constant(tmp_path: Any) -> None:
    import cv2

    picture = np.random.default_rng(1).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    path = tmp_path / "background.png"
    cv2.imwrite(str(path), picture)
    made = plan("diff", feeds={"img2": str(path)})
    log, streams = recorded(made, "diff")
    assert links(log) == {("Camera0.requestOutput()", "NeuralNetwork.inputs['img1']")}
    message = streams.constants[0][1]
    assert message.getType() == dai.ImgFrame.Type.BGR888p
    assert (message.getWidth(), message.getHeight()) == (40, 24)
    assert np.array_equal(message.getCvFrame(), picture)


def test_moments_of_two_cameras() -> None:
    made = plan("concat", feeds={"img1": "left", "img2": "left:2", "img3": "right"})
    log, _ = recorded(made, "concat")
    assert links(log) == {
        ("Camera1.requestOutput()", "Script0.inputs['in']"),
        ("Script0.outputs['img1']", "NeuralNetwork.inputs['img1']"),
        ("Script0.outputs['img2']", "NeuralNetwork.inputs['img2']"),
        ("Camera0.requestOutput()", "NeuralNetwork.inputs['img3']"),
    }


def test_the_recorder_itself_notices_mistakes() -> None:
    node = RecordingPipeline([]).create(dai.node.Camera)
    with pytest.raises(AttributeError):
        node.requestPreview((1, 1))
    with pytest.raises(AssertionError, match="no parameter"):
        node.requestOutput((1, 1), format=1)
    with pytest.raises(AssertionError, match="not tuple"):
        node.requestOutput([1, 1])
    with pytest.raises(AssertionError, match="type is"):
        node.requestOutput((1, 1), type="BGR888p")
    assert [p.name for p in overloads(dai.node.Camera, "requestOutput")[0].parameters][:2] == [
        "size", "type",
    ]  # fmt: skip
    assert stub_refuses(dai.node.Script, "setScript", (), {}) == "script is missing"


def test_a_float32_constant_is_not_narrowed() -> None:
    """addTensor with a storage order would store 1e9 as infinite."""
    spec = TensorSpec("k", (1, 2), "fp32", "NC")
    made = Constant("k", spec, np.float32([[1e9, 1e-9]]).tobytes(), "")
    message = v3.constant_message(made, dai)
    assert message.getTensorInfo("k").dataType == dai.TensorInfo.DataType.FP32
    assert np.array_equal(message.getTensor("k"), np.float32([[1e9, 1e-9]]))
