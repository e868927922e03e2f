"""The parameter strings of the model optimizer and the compile tool, as blobconverter has them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UsageError
from ..tensors import DType

_PRECISIONS: dict[str, DType] = {"U8": "u8", "FP16": "fp16", "FP32": "fp32"}
_KNOWN = "mean_values, scale_values, reverse_input_channels, input_shape, input, output, data_type"


@dataclass(frozen=True)
class OptimizerParameters:
    """What ``optimizer_params`` asks for; None where it says nothing.

    Attributes:
        mean, scale: one value or one a channel.
        reverse: swap the first and last colour channel at the input.
        shapes: input shapes in order.
        inputs: input names in order, to go with `shapes`.
        outputs: tensors at which the graph is cut.
    """

    mean: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None
    reverse: bool = False
    shapes: tuple[tuple[int, ...], ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


def optimizer(parameters: Sequence[str]) -> OptimizerParameters:
    """Reads e.g. ``["--mean_values=[127.5,127.5,127.5]", "--reverse_input_channels"]``.

    Raises:
        UsageError: a parameter that is not known, or cannot be read.
    """
    found: dict[str, str] = {}
    for text in parameters:
        name, _, value = text.strip().lstrip("-").partition("=")
        found[name] = value
    mean, scale = _vector(found, "mean_values"), _vector(found, "scale_values", "scale")
    reverse = "reverse_input_channels" in found
    shapes = _shapes(found.pop("input_shape", ""))
    inputs = tuple(n for n in found.pop("input", "").split(",") if n)
    outputs = tuple(n for n in found.pop("output", "").split(",") if n)
    if found.pop("data_type", "FP16") not in ("FP16", "half", "float", "FP32"):
        raise UsageError("data_type can only be FP16 on this chip", where="optimizer_params")
    found.pop("reverse_input_channels", None)
    if found:
        raise UsageError(
            f"the optimizer parameter --{next(iter(found))} is not supported",
            where="optimizer_params",
            remedy=f"these are: {_KNOWN}; or use `blobsmith.build`",
        )
    return OptimizerParameters(mean, scale, reverse, shapes, inputs, outputs)


def _shapes(text: str) -> tuple[tuple[int, ...], ...]:
    groups = re.findall(r"\[([\d,\s]+)\]", text)
    try:
        return tuple(tuple(int(size) for size in group.split(",")) for group in groups)
    except ValueError:
        raise UsageError(
            f"--input_shape={text} cannot be read",
            where="optimizer_params",
            remedy="write --input_shape=[1,3,300,300]",
        ) from None


def _vector(found: dict[str, str], *names: str) -> tuple[float, ...] | None:
    for name in names:
        text = found.pop(name, None)
        if text is None:
            continue
        groups = re.findall(r"[\[(]([^\])]*)[\])]", text) or [text]
        try:
            vectors = {tuple(float(v) for v in group.split(",")) for group in groups}
        except ValueError:
            vectors = set()
        if len(vectors) != 1:
            raise UsageError(
                f"--{name}={text} cannot be read",
                where="optimizer_params",
                remedy=f"write --{name}=[127.5,127.5,127.5], the same for all inputs; or use "
                "`blobsmith.build` with an InputRequest for each input",
            )
        return vectors.pop()
    return None


@dataclass(frozen=True)
class CompileParameters:
    """Element types that ``compile_params`` asks for.

    Attributes:
        inputs: of all inputs: "u8", "fp16" or "fp32".
        outputs: of all outputs: "fp16" or "fp32".
        named: of single inputs or outputs.
    """

    inputs: DType | None = None
    outputs: DType = "fp16"
    named: tuple[tuple[str, DType], ...] = ()


def compile_tool(parameters: Sequence[str]) -> CompileParameters:
    """Reads e.g. ``["-ip U8"]``.

    Raises:
        UsageError: a parameter that is not known, or cannot be read.
    """
    try:
        words = shlex.split(" ".join(parameters))
    except ValueError as error:
        raise UsageError(
            f"the compile parameters cannot be read: {error}",
            where="compile_params",
            remedy='write e.g. "-ip U8"',
        ) from None
    inputs: DType | None = None
    outputs: DType = "fp16"
    named: list[tuple[str, DType]] = []
    while words:
        flag = words.pop(0)
        value = words.pop(0) if words else ""
        if flag == "-ip":
            inputs = _precision(flag, value)
        elif flag == "-op":
            outputs = _precision(flag, value)
        elif flag == "-iop":
            for part in value.split(","):
                name, _, precision = part.rpartition(":")
                named.append((name.strip(), _precision(flag, precision.strip())))
        else:
            raise UsageError(
                f"the compile parameter {flag} is not supported",
                where="compile_params",
                remedy="these are: -ip, -op, -iop; give shaves as shaves=N",
            )
    return CompileParameters(inputs, outputs, tuple(named))


def _precision(flag: str, value: str) -> DType:
    if value.upper() not in _PRECISIONS:
        raise UsageError(
            f"{flag} {value!r} is not an element type",
            where="compile_params",
            remedy="give U8, FP16 or FP32",
        )
    return _PRECISIONS[value.upper()]
