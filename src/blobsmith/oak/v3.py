"""Builds a plan in a DepthAI v3 pipeline: the one place where v3's nodes are set up and linked.

`dai` is passed in, and so is the pipeline: the same calls build a pipeline on a camera and one
without (`host`), and tests record them and compare them with the real classes' signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..packaging.archive_config import frame_type
from .plan import Constant, FrameRequest, PipelinePlan

RESULT_QUEUE = 4
LIVE_QUEUE = 2
"""Short on a camera: what waits in queues is old when it is seen."""


@dataclass(frozen=True)
class Streams:
    """The ends of a pipeline that the host holds.

    Attributes:
        results: queue of NNData.
        used: input name -> queue of the messages that the network used, constants left out.
        constants: (queue, message), to be sent once after the start.
    """

    results: Any
    used: Mapping[str, Any]
    constants: tuple[tuple[Any, Any], ...]

    def send_constants(self) -> None:
        """Sends what is sent once."""
        for queue, message in self.constants:
            queue.send(message)


def build(
    pipeline: Any,
    plan: PipelinePlan,
    blob: Any,
    dai: Any,
    *,
    source_of: Callable[[str], Any] | None = None,
    lossless: bool = False,
    show_frames: bool = True,
) -> Streams:
    """Sets up cameras, scripts, network and queues.

    Args:
        pipeline: a `dai.Pipeline`, or one of `host`.
        plan: what is to be built.
        blob: a `dai.OpenVINO.Blob`, or a path.
        dai: the depthai module.
        source_of: socket name -> node that gives frames of the host in place of a camera.
        lossless: whether every frame counts (a replay), and nothing may be dropped.
        show_frames: whether the frames that the network used come to the host, too.
    """
    network = pipeline.create(dai.node.NeuralNetwork)
    network.setBlob(blob)
    network.setNumInferenceThreads(plan.threads)
    outputs = _camera_outputs(pipeline, plan, dai, source_of)
    for link in plan.direct:
        port = _port(network, plan, link.input)
        if lossless or len(plan.inputs) == 1:
            _queue(port, blocking=lossless, size=RESULT_QUEUE if lossless else 1)
        outputs[link.request].link(port)
    for number, history in enumerate(plan.scripts):
        script = pipeline.create(dai.node.Script)
        script.setScript(history.text, f"history{number}.py")
        _queue(script.inputs["in"], blocking=lossless, size=RESULT_QUEUE if lossless else 1)
        outputs[history.request].link(script.inputs["in"])
        for link in history.links:
            port = _port(network, plan, link.input)
            # Two moments of one pair must not be overwritten one without the other.
            _queue(port, blocking=True, size=plan.threads + 1)
            script.outputs[link.input].link(port)
    for tensor in plan.tensors:
        assert source_of is not None
        port = _port(network, plan, tensor.input)
        _queue(port, blocking=True, size=RESULT_QUEUE)
        source_of("CAM_A").tensor_of(tensor.spec, tensor.feed).link(port)
    constants = tuple(_constant(network, plan, constant, dai) for constant in plan.constants)
    shown = [*(link.input for link in plan.frames), *(tensor.input for tensor in plan.tensors)]
    depth = RESULT_QUEUE if lossless else LIVE_QUEUE
    return Streams(
        # Results and frames come in pairs only as long as neither queue drops any.
        network.out.createOutputQueue(maxSize=depth, blocking=lossless or show_frames),
        {name: _used(network, plan, name, depth) for name in shown if show_frames},
        constants,
    )


def _camera_outputs(
    pipeline: Any, plan: PipelinePlan, dai: Any, source_of: Callable[[str], Any] | None
) -> dict[FrameRequest, Any]:
    """Each request's output, one camera node for each socket."""
    cameras: dict[str, Any] = {}
    outputs: dict[FrameRequest, Any] = {}
    for request in plan.requests:
        size = (request.width, request.height)
        kind = getattr(dai.ImgFrame.Type, request.frame_type)
        if source_of is not None:
            source = source_of(request.socket)
            outputs[request] = source.frames_of(size, kind, dai.ImgResizeMode.CROP)
            continue
        if request.socket not in cameras:
            camera = pipeline.create(dai.node.Camera)
            socket = getattr(dai.CameraBoardSocket, request.socket)
            cameras[request.socket] = camera.build(socket)
        outputs[request] = cameras[request.socket].requestOutput(size, type=kind, fps=plan.fps)
    return outputs


def _port(network: Any, plan: PipelinePlan, name: str) -> Any:
    """The network's input of this name; the plain one where there is only one."""
    return network.input if len(plan.inputs) == 1 else network.inputs[name]


def _queue(port: Any, *, blocking: bool, size: int) -> None:
    port.setBlocking(blocking)
    port.setMaxSize(size)


def _used(network: Any, plan: PipelinePlan, name: str, depth: int) -> Any:
    one = len(plan.inputs) == 1
    output = network.passthrough if one else network.passthroughs[name]
    return output.createOutputQueue(maxSize=depth, blocking=True)


def _constant(network: Any, plan: PipelinePlan, constant: Constant, dai: Any) -> tuple[Any, Any]:
    port = _port(network, plan, constant.input)
    port.setReusePreviousMessage(True)
    return port.createInputQueue(maxSize=1, blocking=False), constant_message(constant, dai)


def constant_message(constant: Constant, dai: Any) -> Any:
    """A picture as ImgFrame, anything else as NNData with a tensor of the input's name."""
    import numpy as np

    spec = constant.spec
    kind = frame_type(spec)
    if kind is not None:
        sizes = dict(zip(spec.layout, spec.shape, strict=True))
        frame = dai.ImgFrame()
        frame.setData(np.frombuffer(constant.data, np.uint8))
        frame.setSize(sizes["W"], sizes["H"])
        frame.setType(getattr(dai.ImgFrame.Type, kind))
        return frame
    from ..tensors import NUMPY_NAMES

    types = {"u8": "U8F", "fp16": "FP16", "fp32": "FP32", "i32": "INT"}
    array = np.frombuffer(constant.data, NUMPY_NAMES[spec.dtype]).reshape(spec.shape)
    message = dai.NNData()
    # With a storage order instead of a dtype, addTensor would store float32 as FP16.
    message.addTensor(
        spec.name, array, dataType=getattr(dai.TensorInfo.DataType, types[spec.dtype])
    )
    return message
