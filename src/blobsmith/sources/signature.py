"""Which inputs a function has, and what is known of each: name, shape, type, colour order."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UsageError
from ..tensors import Color, InputRequest, TensorSpec, default_layout
from .faults import shape_option

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
DECLARATION = "blobsmith_inputs"


@dataclass(frozen=True)
class Inputs:
    """The inputs of a function.

    Attributes:
        specs: one an input, in the order in which the function takes them.
        keywords: names of those that are passed by keyword.
    """

    specs: tuple[TensorSpec, ...]
    keywords: tuple[str, ...]


def normalise(inputs: Mapping[str, Any] | None) -> dict[str, InputRequest]:
    """Requests by input name; a bare shape becomes an `InputRequest`.

    Raises:
        UsageError: a value is neither, or a size is not a positive number.
    """
    return {str(name): _request(str(name), value) for name, value in (inputs or {}).items()}


def _request(name: str, value: Any) -> InputRequest:
    if isinstance(value, TensorSpec):
        return InputRequest(
            value.shape, value.dtype, value.color, value.mean, value.scale, value.value_range
        )
    request: InputRequest = value if isinstance(value, InputRequest) else InputRequest(value)
    shape = request.shape
    if shape is None:
        return request
    try:
        sizes = tuple(int(size) for size in shape)
        whole = all(int(size) == size for size in shape)
    except (TypeError, ValueError):
        sizes, whole = (), False
    if not whole or not sizes or min(sizes) < 1 or len(sizes) > 6:
        raise UsageError(
            f"the shape of the input {name!r} must be one to six positive sizes, not {shape!r}",
            remedy=shape_option(name),
        )
    return replace(request, shape=sizes)


def of_function(
    target: Any,
    requests: Mapping[str, InputRequest],
    declared: Sequence[TensorSpec] = (),
    origin: str = "",
) -> Inputs:
    """The inputs of a module or callable.

    Their names are the parameters of `forward` without a default value, those with one that are
    named in `requests` or declared, and for ``*args`` the other names requested.

    Args:
        target: the module or callable. It, or its class, may declare ``blobsmith_inputs``: input
            name -> shape or InputRequest.
        requests: what the user asks of single inputs; it wins over what is declared.
        declared: specs of a zoo entry.
        origin: how errors name the function.

    Raises:
        UsageError: a name that is no parameter, or a shape that nobody gave.
    """
    own = normalise(getattr(target, DECLARATION, None))
    known = {spec.name: spec for spec in declared}
    names, keywords = _parameters(target, [*requests, *own, *known], origin)
    stray = [name for name in own if name not in names]
    if stray:
        raise UsageError(
            f"{origin} declares an input {stray[0]!r} that it does not take",
            where=DECLARATION,
            remedy=f"name them as forward's parameters: {', '.join(names) or 'it has none'}",
        )
    unknown = [name for name in requests if name not in names]
    if unknown:
        close = difflib.get_close_matches(unknown[0], names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UsageError(
            f"{origin} has no input {unknown[0]!r}",
            remedy=f"{hint}its inputs are {', '.join(names) or 'none'}",
        )
    if not names:
        raise UsageError(
            f"{origin} takes no inputs",
            remedy="give forward one parameter an input"
            if not _has_varargs(target)
            else f"name them: {shape_option('input_0')}",
        )
    missing = [
        name for name in names if _pick("shape", name, requests, own) is None and name not in known
    ]
    if missing:
        raise UsageError(
            f"the shape of {_listed(missing)} of {origin} is not known",
            remedy=f"give {' '.join(shape_option(name) for name in missing)} "
            "(inputs={...} in Python), or declare blobsmith_inputs in the class",
        )
    specs = tuple(
        make_spec(name, merge(requests.get(name), own.get(name)), known.get(name)) for name in names
    )
    return Inputs(specs, tuple(keywords))


def _pick(field: str, name: str, *sources: Mapping[str, InputRequest]) -> Any:
    values = (getattr(s[name], field) for s in sources if name in s)
    return next((v for v in values if v is not None), None)


def merge(first: InputRequest | None, second: InputRequest | None) -> InputRequest:
    """The first request, completed by the second."""
    if first is None or second is None:
        return first or second or InputRequest()
    fields = ("shape", "dtype", "color", "mean", "scale", "value_range")
    merged = {
        f: getattr(second, f) if getattr(first, f) is None else getattr(first, f) for f in fields
    }
    return InputRequest(**merged)


def make_spec(name: str, request: InputRequest, default: TensorSpec | None = None) -> TensorSpec:
    """An input's spec: what is requested, over what is declared, over what is usual.

    Usual is U8; a three-channel picture is BGR, a one-channel one grey.
    """
    shape = request.shape or (default.shape if default else ())
    same_rank = default is not None and len(default.shape) == len(shape)
    layout = default.layout if default and same_rank else default_layout(len(shape))
    color = request.color or (
        default.color if default and same_rank else usual_color(shape, layout)
    )
    return TensorSpec(
        name=name,
        shape=tuple(shape),
        dtype=request.dtype or (default.dtype if default else "u8"),
        layout=layout,
        color=color,
        mean=request.mean if request.mean is not None else (default.mean if default else None),
        scale=request.scale if request.scale is not None else (default.scale if default else None),
        value_range=request.value_range or (default.value_range if default else None),
    )


def usual_color(shape: Sequence[int], layout: str) -> Color | None:
    """ "bgr" for a picture of three channels, "gray" for one of one channel, None for others."""
    if layout not in ("NCHW", "CHW") or min(shape[-2:]) < 2:
        return None
    channels = shape[layout.index("C")]
    return {3: "bgr", 1: "gray"}.get(channels)  # type: ignore[return-value]


def _listed(names: Sequence[str]) -> str:
    return ("the input " if len(names) == 1 else "the inputs ") + ", ".join(map(repr, names))


def _has_varargs(target: Any) -> bool:
    parameters = _signature(target)
    return parameters is None or any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)


def _signature(target: Any) -> list[inspect.Parameter] | None:
    """Parameters of `forward`, or of the callable; None where Python cannot tell."""
    call = getattr(target, "forward", target)
    try:
        return list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        return None


def _parameters(target: Any, offered: Sequence[str], origin: str) -> tuple[list[str], list[str]]:
    """(input names in calling order, those of them passed by keyword)."""
    parameters = _signature(target)
    offered = list(dict.fromkeys(offered))
    if parameters is None:
        schema = getattr(getattr(target, "forward", None), "schema", None)  # a ScriptModule
        if schema is None:
            return offered, []
        return [a.name for a in schema.arguments[1:]], []
    names: list[str] = []
    keywords: list[str] = []
    skipped = False
    for parameter in parameters:
        wanted = parameter.default is inspect.Parameter.empty or parameter.name in offered
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            known = {p.name for p in parameters}
            names.extend(name for name in offered if name not in known)
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        elif not wanted:
            skipped = True
        else:
            names.append(parameter.name)
            if skipped or parameter.kind not in _POSITIONAL:
                keywords.append(parameter.name)
    return names, keywords
