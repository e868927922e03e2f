"""The user's mistakes in the user's terms: where their code failed, and what to write instead."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import EnvironmentFault, SourceError
from ..graph import lines

if TYPE_CHECKING:
    from onnx import ModelProto

    from .function import UserFunction

PASSED_ON = (KeyboardInterrupt, MemoryError)
_OPERATOR = re.compile(r"aten::\w+")


def shape_option(name: str, shape: Sequence[int] | None = None) -> str:
    """How the command line is told an input's shape."""
    return f"--input {name}={'x'.join(map(str, shape or (1, 3, 300, 300)))}"


def reason(error: BaseException) -> str:
    """An exception in one line; an exporter's advice and stack are left out."""
    text = str(error).strip()
    found = re.search(r"^\s*(?:<class '[^']+'>|[\w.]+Error): (.+)$", text, re.MULTILINE)
    if "Failed to export" in text or "Failed to convert" in text or "Failed to decompose" in text:
        text = found[1] if found else text.splitlines()[0]
    lines_ = [line for line in text.splitlines() if line.strip()] or [type(error).__name__]
    return lines_[0].split(". Please feel free")[0].strip()[:300]


def place(error: BaseException) -> str:
    """The innermost frame of the user's own code in an exception, as ``file:line  code``."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}  {(error.text or '').strip()}".rstrip()
    frames = traceback.extract_tb(error.__traceback__)
    stack = [(f.filename, f.lineno or 0) for f in frames][::-1]
    if lines.innermost(stack) is None:
        return ""
    for file, line in stack:
        if lines.innermost([(file, line)]) == lines.innermost(stack):
            return f"{file}:{line}  {linecache.getline(file, line).strip()}".rstrip()
    return ""


def user_code_failed(error: BaseException, what: str, where: str, remedy: str) -> SourceError:
    """A `SourceError` for an exception in the user's own code, with its place."""
    at = place(error)
    text = (str(error).strip().splitlines() or [""])[0]
    return SourceError(
        f"{what}: {type(error).__name__}: {text}".rstrip(": "), where=at or where, remedy=remedy
    )


def call_failed(
    error: Exception, names: Sequence[str], tensors: Sequence[Any], origin: str
) -> SourceError:
    """The user's function raised on the shapes it was given."""
    given = " ".join(
        f"{name}={'x'.join(map(str, tensor.shape))}"
        for name, tensor in zip(names, tensors, strict=True)
    )
    options = " ".join(shape_option(name) for name in names)
    return user_code_failed(
        error,
        f"{origin} fails on {given}",
        origin,
        f"give the shapes that it needs, e.g. {options}; or mend the line above",
    )


def kind(tensor: Any, origin: str) -> str:
    """ "bool", "int" or "float": what an output holds.

    Raises:
        SourceError: complex numbers, or a sparse or quantised tensor.
    """
    if tensor.is_complex():
        raise SourceError(
            "an output holds complex numbers", where=origin, remedy="return x.real and x.imag"
        )
    if tensor.is_sparse or tensor.is_quantized:
        raise SourceError(
            "an output is no plain tensor", where=origin, remedy="return x.to_dense()"
        )
    if tensor.is_floating_point():
        return "float"
    return "bool" if str(tensor.dtype) == "torch.bool" else "int"


def check_used(proto: ModelProto, inputs: Sequence[str]) -> None:
    """Every input must matter: the compiler drops one that does not, and the order of the others.

    Raises:
        SourceError: no output depends on the values of an input.
    """
    if name := unused(proto, inputs):
        raise SourceError(
            f"the result does not depend on the input {name!r}",
            remedy="use it, or take it out of the function's parameters: the compiler drops "
            "inputs that do nothing",
        )


def unused(proto: ModelProto, inputs: Sequence[str]) -> str:
    """The first input whose values no output depends on; "" if all matter."""
    producer = {name: node for node in proto.graph.node for name in node.output if name}
    held = {t.name for t in proto.graph.initializer}
    present = [i.name for i in proto.graph.input if i.name not in held]
    seen: set[str] = set()
    queue = [o.name for o in proto.graph.output]
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        node = producer.get(name)
        if node is not None and node.op_type not in ("Shape", "Size"):
            queue.extend(_reads(node))
    return next((name for name in inputs if name not in seen or name not in present), "")


def _reads(node: Any) -> list[str]:
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            names.extend(o.name for o in attribute.g.output)
            for inner in attribute.g.node:
                names.extend(_reads(inner))
    return names


def refusal(
    failures: Sequence[tuple[str, str]],
    decisions: Sequence[tuple[lines.SourceLine, bool]],
    function: UserFunction,
    examples: Sequence[Any],
    origin: str,
) -> SourceError:
    """Why no exporter made a graph that computes what the function does."""
    told = "; ".join(dict.fromkeys(f"{label}: {text}" for label, text in failures))
    if any("is not the function" in text for _, text in failures) and decisions:
        places = ", ".join(str(line) for line, _ in decisions)
        return SourceError(
            f"{origin} decides by the values of its input what it does, which a blob cannot",
            where=places,
            remedy="write both cases and choose between them with torch.where (" + told + ")",
        )
    operator = next((m[0] for _, text in failures if (m := _OPERATOR.search(text))), "")
    line = _operator_line(operator, function, examples) if operator else None
    if operator and all("is not the function" not in text for _, text in failures):
        return SourceError(
            f"{origin} uses {operator.replace('aten::', 'torch.').replace('.linalg_', '.linalg.')}"
            ", which has no equivalent in ONNX",
            where=f"{line}" if line else origin,
            remedy="write that step with other tensor operations",
        )
    return SourceError(
        f"{origin} cannot be exported to ONNX: {failures[0][1]}",
        where=f"{line}" if line else origin,
        remedy=f"replace that step by other tensor operations (tried: {told})",
    )


def _operator_line(
    operator: str, function: UserFunction, examples: Sequence[Any]
) -> lines.SourceLine | None:
    """The user's line that calls an operator, found in a plain trace."""
    import torch

    from .exporters import quiet

    try:
        with function.inference(), quiet():
            graph = torch.jit.trace(
                lambda *tensors: function.raw(*tensors), tuple(examples), check_trace=False
            ).inlined_graph
    except Exception:  # an explanation that cannot be had
        return None
    for node in graph.findAllNodes(operator):
        frames = [
            (m["file"], int(m["line"]))
            for m in re.finditer(
                r"^(?P<file>.+)\((?P<line>\d+)\): \S+$", node.sourceRange(), re.MULTILINE
            )
        ]
        if line := lines.innermost(frames):
            return line
    return None


def torch_missing(error: ImportError, what: str) -> EnvironmentFault:
    """torch is not installed, and something needs it."""
    return EnvironmentFault(
        f"{what} needs PyTorch; {error.name or 'torch'} is missing",
        remedy="pip install 'blobsmith[torch]', or hand over an .onnx file",
    )
