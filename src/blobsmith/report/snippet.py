"""How to load the file: DepthAI code with this model's own names, and the command."""

from __future__ import annotations

import keyword
import struct
from collections.abc import Sequence

from ..errors import BlobsmithError
from ..oak.plan import FrameRequest, HistoryScript, PipelinePlan
from ..oak.planner import plan_pipeline
from ..tensors import TensorSpec
from .model import Snippet

_TYPES = {"u8": ("U8F", "uint8"), "fp16": ("FP16", "float16"), "fp32": ("FP32", "float32"),
          "i32": ("INT", "int32")}  # fmt: skip
_CALLS = {
    "blob": "network.setBlobPath({name})",
    "superblob": "network.setBlob(dai.OpenVINO.SuperBlob({name}).getBlobWithNumShaves({shaves}))",
    "archive": "network.setNNArchive(dai.NNArchive({name}), numShaves={shaves})",
}


def snippets(
    file: str,
    kind: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    shaves: int,
) -> tuple[Snippet, ...]:
    """A DepthAI v3 program and the commands that do the same.

    Args:
        file: the file's name.
        kind: "blob", "superblob" or "archive".
        inputs, outputs: specs of the blob's boundary.
        shaves: that it was compiled for.
    """
    commands = (
        f"blobsmith run {file} --source sample -o frames/     # here, on the emulator\n"
        f"blobsmith run {file} --on oak                       # on a camera\n"
    )
    return (
        Snippet("DepthAI v3", "python", depthai(file, kind, inputs, outputs, shaves)),
        Snippet("Command line", "sh", commands),
    )


def depthai(
    file: str,
    kind: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    shaves: int,
) -> str:
    """The DepthAI v3 program; where no camera can fill an input, the host sends it."""
    try:
        plan: PipelinePlan | None = plan_pipeline(inputs, outputs, shaves=shaves)
    except BlobsmithError:
        plan = None
    single = len(inputs) == 1
    lines = ["import depthai as dai"]
    if plan is None or plan.constants:
        lines.append("import numpy as np")
    for number, history in enumerate(plan.scripts if plan is not None else ()):
        lines += [
            "",
            f"# Runs on the camera: keeps frames, so that {_listed(history)} get theirs.",
            f'{_script(number).upper()} = """\\',
            *history.text.splitlines(),
            '"""',
        ]
    lines += ["", "with dai.Pipeline() as pipeline:"]
    body = ["network = pipeline.create(dai.node.NeuralNetwork)",
            _CALLS[kind].format(name=repr(file), shaves=shaves)]  # fmt: skip
    if plan is not None:
        body.append(f"network.setNumInferenceThreads({plan.threads})")
        body += _cameras(plan, single)
        body += [
            line
            for constant in plan.constants
            for line in _sent(constant.input, constant.spec, _values(constant.data, constant.spec))
        ]
    else:
        body += [line for spec in inputs for line in _queue(spec)]
    body += ["results = network.out.createOutputQueue(maxSize=4, blocking=False)",
             "pipeline.start()"]  # fmt: skip
    if plan is not None:
        body += [f"{_name(c.input)}_queue.send({_name(c.input)})" for c in plan.constants]
    body.append("while pipeline.isRunning():")
    if plan is None:
        for spec in inputs:
            _, dtype = _TYPES[spec.dtype]
            shape = ", ".join(map(str, spec.shape)) + ("," if len(spec.shape) == 1 else "")
            body += [f"    {_name(spec.name)} = np.zeros(({shape}), np.{dtype})  # yours"]
            body += [f"    {line}" for line in _message(spec, _name(spec.name))]
            body += [f"    {_name(spec.name)}_queue.send(message)"]
    body.append("    message = results.get()")
    for spec in outputs:
        shape = "x".join(map(str, spec.shape))
        factor = spec.decoding.factor
        undo = f" / {factor!r}" if factor != 1 else ""
        body.append(f"    {_name(spec.name)} = message.getTensor({spec.name!r}){undo}  # {shape}")
    return "\n".join([*lines, *(f"    {line}" if line else "" for line in body)]) + "\n"


def _cameras(plan: PipelinePlan, single: bool) -> list[str]:
    lines: list[str] = []
    names: dict[FrameRequest, str] = {}
    cameras: dict[str, str] = {}
    for request in plan.requests:
        if request.socket not in cameras:
            camera = "camera" if not cameras else f"camera_{request.socket[-1].lower()}"
            cameras[request.socket] = camera
            lines.append(
                f"{camera} = pipeline.create(dai.node.Camera)"
                f".build(dai.CameraBoardSocket.{request.socket})"
            )
        names[request] = "frames" if not names else f"frames_{request.socket[-1].lower()}"
        lines.append(
            f"{names[request]} = {cameras[request.socket]}.requestOutput("
            f"({request.width}, {request.height}), type=dai.ImgFrame.Type.{request.frame_type}, "
            f"fps={plan.fps:g})"
        )
    for link in plan.direct:
        port = "network.input" if single else f"network.inputs[{link.input!r}]"
        lines.append(f"{names[link.request]}.link({port})")
    for number, history in enumerate(plan.scripts):
        script = _script(number)
        lines += [f"{script} = pipeline.create(dai.node.Script)",
                  f"{script}.setScript({script.upper()})",
                  f"{names[history.request]}.link({script}.inputs['in'])"]  # fmt: skip
        for link in history.links:
            port = "network.input" if single else f"network.inputs[{link.input!r}]"
            lines += [f"{port}.setBlocking(True)",
                      f"{script}.outputs[{link.input!r}].link({port})"]  # fmt: skip
    return lines


def _script(number: int) -> str:
    return "history" if not number else f"history_{number}"


def _listed(history: HistoryScript) -> str:
    return " and ".join(link.input for link in history.links)


def _sent(name: str, spec: TensorSpec, values: str) -> list[str]:
    """An input that is sent once."""
    _, dtype = _TYPES[spec.dtype]
    mine = _name(name)
    return [
        f"network.inputs[{name!r}].setReusePreviousMessage(True)",
        *_queue(spec),
        f"values = np.array({values}, np.{dtype}).reshape({tuple(spec.shape)})",
        f"{mine} = dai.NNData()",
        f"{mine}.addTensor({name!r}, values, dataType=dai.TensorInfo.DataType."
        f"{_TYPES[spec.dtype][0]})",
    ]


def _queue(spec: TensorSpec) -> list[str]:
    return [f"{_name(spec.name)}_queue = network.inputs[{spec.name!r}].createInputQueue()"]


def _message(spec: TensorSpec, values: str) -> list[str]:
    return [
        "message = dai.NNData()",
        f"message.addTensor({spec.name!r}, {values}, "
        f"dataType=dai.TensorInfo.DataType.{_TYPES[spec.dtype][0]})",
    ]


def _values(data: bytes, spec: TensorSpec) -> str:
    code = {"u8": "B", "fp16": "e", "fp32": "f", "i32": "i"}[spec.dtype]
    numbers = struct.unpack(f"<{spec.elements}{code}", data)
    return "[" + ", ".join(f"{number:.6g}" for number in numbers) + "]"


def _name(name: str) -> str:
    """A Python name made of a tensor's name."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
    if not plain or plain[0].isdigit() or keyword.iskeyword(plain) or plain in _TAKEN:
        plain = f"tensor_{plain}"
    return plain


_TAKEN = frozenset(("dai", "np", "pipeline", "network", "results", "message", "camera", "frames",
                    "values", "history"))  # fmt: skip
