"""DepthAI v2: the same plans as a device graph of the second generation.

    for result in results(open_artifact("blur.blob")):
        cv2.imshow("blur", outputs_to_frames(result.nn_data, artifact)["output"])

v2 and v3 are both called `depthai` and cannot be installed together; nothing here imports either
before it is used, and `build` takes the module as an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import EnvironmentFault, UsageError
from ..packaging.archive_config import frame_type
from ..packaging.artifact import Artifact
from .faults import explain
from .logs import native_output_to_stderr
from .plan import Constant, FrameRequest, PipelinePlan
from .planner import DEFAULT_FPS, plan_pipeline
from .shaves import DEFAULT_THREADS, recommend

RESULTS = "nn"
QUEUE = 2
_ITEM_BYTES = {"BGR888p": 3, "GRAY8": 1, "BGRF16F16F16p": 6, "GRAYF16": 2, "BGR888i": 3}


@dataclass(frozen=True, eq=False)
class Result:
    """One result from the camera.

    Attributes:
        nn_data: the network's message, for `decode.outputs_to_frames`.
        frames: input name -> the `dai.ImgFrame` that the network used.
    """

    nn_data: Any
    frames: Mapping[str, Any]


def results(
    artifact: Artifact,
    *,
    shaves: int | None = None,
    threads: int = DEFAULT_THREADS,
    fps: float = DEFAULT_FPS,
    feeds: Mapping[str, str] | None = None,
    device: str | None = None,
    dai: Any = None,
) -> Iterator[Result]:
    """Runs a file on a camera with DepthAI v2, for as long as results are taken.

    Args:
        artifact: blob, superblob or archive.
        shaves: which blob of a superblob; None: what `shaves.recommend` says.
        threads: inference threads, 1 or 2.
        fps: asked of the cameras.
        feeds: input name -> what it gets, see `planner.plan_pipeline`.
        device: id or IP address; None: the first camera found.
        dai: the depthai module; None imports it.

    Raises:
        EnvironmentFault: no camera, or it went away; depthai is missing or not of this generation.
        UsageError, FrameError, PackageError: see `plan_pipeline`.
    """
    dai = dai or require_v2()
    if shaves is None and len(artifact.shave_counts) > 1:
        shaves = recommend(artifact.inputs, threads=threads).shaves
    blob = artifact.blob(shaves)
    plan = plan_pipeline(
        artifact.inputs, artifact.outputs, shaves=blob.shaves, threads=threads, fps=fps,
        feeds=feeds, fp16_frames=True,
    )  # fmt: skip
    pipeline = build(plan, blob.data[: blob.size], dai)
    count = 0
    try:
        arguments = (pipeline,) if device is None else (pipeline, dai.DeviceInfo(device))
        with dai.Device(*arguments) as camera:
            used = [link.input for link in plan.frames]
            queues = {
                name: camera.getOutputQueue(name, QUEUE, True)
                for name in (RESULTS, *map(used_stream, used))
            }
            for constant in plan.constants:
                camera.getInputQueue(constant_stream(constant.input)).send(
                    constant_message(constant, dai)
                )
            while True:
                message = queues[RESULTS].get()
                yield Result(message, {name: queues[used_stream(name)].get() for name in used})
                count += 1
    except RuntimeError as error:
        raise explain(error, count) from error


def build(plan: PipelinePlan, blob: bytes, dai: Any) -> Any:
    """A plan as a `dai.Pipeline` of v2; no device is needed for that.

    Args:
        plan: what is to be built.
        blob: the compiled network.
        dai: the depthai module, 2.x.

    Raises:
        UsageError: an input that only the host could fill.
    """
    if plan.tensors:
        raise UsageError(
            f"the input {plan.tensors[0].input!r} is no picture: no camera can fill it",
            remedy="give it a value with feeds=",
        )
    pipeline = dai.Pipeline()
    network = pipeline.create(dai.node.NeuralNetwork)
    network.setBlob(dai.OpenVINO.Blob(list(blob)))  # v2 takes no bytes
    network.setNumInferenceThreads(plan.threads)
    outputs = _camera_outputs(pipeline, plan, dai)
    for link in plan.direct:
        port = _port(network, plan, link.input)
        _queue(port, blocking=False, size=1)
        outputs[link.request].link(port)
    for number, history in enumerate(plan.scripts):
        script = pipeline.create(dai.node.Script)
        script.setScript(history.text, f"history{number}.py")
        _queue(script.inputs["in"], blocking=False, size=1)
        outputs[history.request].link(script.inputs["in"])
        for link in history.links:
            port = _port(network, plan, link.input)
            # Two moments of one pair must not be overwritten one without the other.
            _queue(port, blocking=True, size=plan.threads + 1)
            script.outputs[link.input].link(port)
    for constant in plan.constants:
        port = _port(network, plan, constant.input)
        port.setReusePreviousMessage(True)
        entry = pipeline.create(dai.node.XLinkIn)
        entry.setStreamName(constant_stream(constant.input))
        entry.setMaxDataSize(len(constant.data) + 64)
        entry.out.link(port)
    _send(pipeline, network.out, RESULTS, dai)
    one = len(plan.inputs) == 1
    for link in plan.frames:
        used = network.passthrough if one else network.passthroughs[link.input]
        _send(pipeline, used, used_stream(link.input), dai)
    return pipeline


def used_stream(name: str) -> str:
    """Name of the stream of frames that an input used."""
    return f"used_{name}"


def constant_stream(name: str) -> str:
    """Name of the stream to an input whose value is sent once."""
    return f"constant_{name}"


def constant_message(constant: Constant, dai: Any) -> Any:
    """A picture as ImgFrame, anything else as NNData with a layer of the input's name."""
    spec = constant.spec
    kind = frame_type(spec)
    if kind is not None:
        sizes = dict(zip(spec.layout, spec.shape, strict=True))
        frame = dai.ImgFrame()
        frame.setData(list(constant.data))
        frame.setWidth(sizes["W"])
        frame.setHeight(sizes["H"])
        frame.setType(getattr(dai.RawImgFrame.Type, kind))
        return frame
    import struct

    message = dai.NNData()
    if spec.dtype == "u8":
        message.setLayer(spec.name, list(constant.data))
    elif spec.dtype == "fp16":
        # A list of floats is stored as FP16, a list of integers as U8.
        message.setLayer(spec.name, list(struct.unpack(f"<{spec.elements}e", constant.data)))
    else:
        raise UsageError(
            f"DepthAI v2 cannot send {spec.dtype} to the input {spec.name!r}",
            remedy=f"build it with --input {spec.name}=...:fp16",
        )
    return message


def require_v2() -> Any:
    """The depthai module of the second generation.

    Raises:
        EnvironmentFault: not installed, or another generation.
    """
    try:
        with native_output_to_stderr():
            import depthai
    except ImportError as error:
        raise EnvironmentFault(
            "DepthAI is not installed", remedy="pip install 'depthai>=2.28,<3'"
        ) from error
    if not depthai.__version__.startswith("2."):
        raise EnvironmentFault(
            f"DepthAI {depthai.__version__} is not of the second generation",
            remedy="pip install 'depthai>=2.28,<3' in another environment, or use v3: blobsmith "
            "run FILE --on oak",
        )
    return depthai


def _camera_outputs(pipeline: Any, plan: PipelinePlan, dai: Any) -> dict[FrameRequest, Any]:
    outputs: dict[FrameRequest, Any] = {}
    for socket in plan.sockets:
        requests = [request for request in plan.requests if request.socket == socket]
        make = _color if socket == "CAM_A" else _mono
        outputs.update(make(pipeline, socket, requests, plan.fps, dai))
    return outputs


def _color(
    pipeline: Any, socket: str, requests: list[FrameRequest], fps: float, dai: Any
) -> dict[FrameRequest, Any]:
    """A colour camera: its preview for the largest request, the others made from that."""
    ordered = sorted(requests, key=lambda request: request.width * request.height, reverse=True)
    largest = ordered[0]
    camera = pipeline.create(dai.node.ColorCamera)
    camera.setBoardSocket(getattr(dai.CameraBoardSocket, socket))
    if largest.width > 1920 or largest.height > 1080:
        camera.setResolution(dai.ColorCameraProperties.SensorResolution.THE_4_K)
    camera.setPreviewSize(largest.width, largest.height)
    camera.setColorOrder(dai.ColorCameraProperties.ColorOrder.BGR)
    camera.setInterleaved(largest.frame_type.endswith("i"))
    camera.setFps(fps)
    halves = {"F16" in request.frame_type for request in requests}
    if len(halves) > 1:
        raise UsageError(
            "one camera cannot give FP16 and U8 frames at once",
            remedy="build all picture inputs as U8",
        )
    camera.setFp16(halves == {True})
    outputs = {}
    for request in ordered:
        if request == largest and request.frame_type.startswith("BGR"):
            outputs[request] = camera.preview
        else:
            outputs[request] = _manip(pipeline, camera.preview, request, dai)
    return outputs


def _mono(
    pipeline: Any, socket: str, requests: list[FrameRequest], fps: float, dai: Any
) -> dict[FrameRequest, Any]:
    """A grey camera: each request through an ImageManip."""
    resolutions = dai.MonoCameraProperties.SensorResolution
    height = max(request.height for request in requests)
    camera = pipeline.create(dai.node.MonoCamera)
    camera.setBoardSocket(getattr(dai.CameraBoardSocket, socket))
    camera.setResolution(resolutions.THE_400_P if height <= 400 else resolutions.THE_800_P)
    camera.setFps(fps)
    return {request: _manip(pipeline, camera.out, request, dai) for request in requests}


def _manip(pipeline: Any, source: Any, request: FrameRequest, dai: Any) -> Any:
    manip = pipeline.create(dai.node.ImageManip)
    manip.initialConfig.setResize(request.width, request.height)
    manip.initialConfig.setFrameType(getattr(dai.RawImgFrame.Type, request.frame_type))
    # The node's own limit is 1 MiB: larger frames would be dropped with a line in the log.
    manip.setMaxOutputFrameSize(request.width * request.height * _ITEM_BYTES[request.frame_type])
    _queue(manip.inputImage, blocking=False, size=1)
    source.link(manip.inputImage)
    return manip.out


def _port(network: Any, plan: PipelinePlan, name: str) -> Any:
    return network.input if len(plan.inputs) == 1 else network.inputs[name]


def _queue(port: Any, *, blocking: bool, size: int) -> None:
    port.setBlocking(blocking)
    port.setQueueSize(size)


def _send(pipeline: Any, output: Any, stream: str, dai: Any) -> None:
    leave = pipeline.create(dai.node.XLinkOut)
    leave.setStreamName(stream)
    output.link(leave.input)
