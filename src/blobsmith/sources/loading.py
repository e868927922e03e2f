"""`load`: whatever the user names becomes a Model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SourceError
from ..model import Model
from ..tensors import Color, Decoding, InputRequest, TensorSpec, default_layout
from . import resolve, signature

if TYPE_CHECKING:
    from .export import Exported, Output


def load(
    source: Any,
    *,
    inputs: Mapping[str, InputRequest | Sequence[int]] | None = None,
    outputs: Sequence[str] | None = None,
    opset: int = 12,
    exporter: str = "auto",
    executor: Executor | None = None,
) -> Model:
    """Makes a Model of a source.

    Args:
        source: an nn.Module or callable; "file.py:Class", "package.module:Class"; a zoo name; the
            path of an .onnx file of any opset.
        inputs: what is asked of single inputs, by name: an InputRequest or a bare shape. A zoo
            model needs none, nor a class that declares ``blobsmith_inputs``.
        outputs: names for a function's outputs (default: the keys of a returned dict; else
            "output", or "output_0", ...); for an .onnx, the values to end the graph at.
        opset: of a function's export, 9 to 15.
        exporter: "auto", "torchscript" or "dynamo".
        executor: where an .onnx file is parsed; None: this process's own worker.

    Returns:
        A model of opset 9 to 15 with static shapes. Opset 16 only where it holds an operator that
        rewrite rules must replace first (GridSample, scatter with a reduction).

    Raises:
        SourceError: nothing of that name, a damaged file, or a function that cannot be exported.
        OperatorError, OpsetError: see `load_onnx`.
        UsageError: inputs or outputs that it does not have, or a shape that is missing.
        EnvironmentFault: torch is not installed.
    """
    requests = signature.normalise(inputs)
    if resolve.is_onnx(source):
        return _load_file(Path(source), requests, outputs, executor)
    target = resolve.resolve(source)
    return _load_function(target, requests, outputs, opset, exporter)


def _load_file(
    path: Path,
    requests: Mapping[str, InputRequest],
    outputs: Sequence[str] | None,
    executor: Executor | None,
) -> Model:
    from .onnx_file import load_onnx

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise SourceError(
            "there is no such file", where=str(path), remedy="check the path"
        ) from None
    except OSError as error:
        raise SourceError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
    if executor is None:
        from ..workers import default_executor

        executor = default_executor()
    job = executor.submit(
        load_onnx,
        data,
        name=path.name,
        inputs=requests,
        outputs=tuple(outputs) if outputs is not None else None,
        folder=str(path.resolve().parent),
    )
    model: Model = job.result()
    return model


def _load_function(
    target: resolve.Target,
    requests: Mapping[str, InputRequest],
    outputs: Sequence[str] | None,
    opset: int,
    exporter: str,
) -> Model:
    from ..graph import preprocess
    from .export import export
    from .function import UserFunction

    entry = target.entry
    found = signature.of_function(
        target.function, requests, entry.inputs if entry else (), target.origin
    )
    for spec in found.specs:
        preprocess.check(spec)
    function = UserFunction(target.function, [s.name for s in found.specs], found.keywords)
    if outputs is None and entry is not None:
        outputs = [spec.name for spec in entry.outputs]
    if outputs is None:
        outputs = getattr(target.function, "blobsmith_outputs", None)
    made = export(
        function, found.specs, outputs, opset=opset, exporter=exporter, origin=target.origin
    )
    notes = made.record.notes()
    if function.converted:
        notes += ("the module's weights were converted to float32 on the CPU",)
    return Model(
        onnx_bytes=made.proto.SerializeToString(),
        inputs=found.specs,
        outputs=_output_specs(made, found.specs, entry.outputs if entry else ()),
        origin=target.origin,
        module=function,
        notes=notes,
    )


def _output_specs(
    made: Exported, inputs: Sequence[TensorSpec], declared: Sequence[TensorSpec]
) -> tuple[TensorSpec, ...]:
    colors = {spec.color for spec in inputs if spec.color in ("rgb", "bgr")}
    pictures: Color = "rgb" if colors == {"rgb"} else "bgr"
    specs: list[TensorSpec] = []
    for index, output in enumerate(made.outputs):
        if index < len(declared) and len(declared[index].shape) == len(output.shape):
            specs.append(replace(declared[index], name=output.name, shape=output.shape))
        else:
            specs.append(_output_spec(output, pictures))
    return tuple(specs)


def _output_spec(output: Output, pictures: Color) -> TensorSpec:
    layout = default_layout(len(output.shape))
    color = signature.usual_color(output.shape, layout)
    if color == "bgr":
        color = pictures
    return TensorSpec(
        output.name, output.shape, "fp16", layout, color, decoding=_decoding(output, color)
    )


def _decoding(output: Output, color: Color | None) -> Decoding:
    """How an output that nobody described is shown."""
    if len(output.shape) <= 2 and min(output.shape, default=1) == 1:
        return Decoding("vector")
    if output.kind == "bool" and color is not None:
        return Decoding("mask", scale=255.0)
    if color == "gray":
        return Decoding("map")
    if color is None:
        return Decoding("tensor")
    unit = output.low >= -0.01 and output.high <= 1.01
    return Decoding("image", scale=255.0 if unit else 1.0)
