"""Options in the words in which users write them, on the command line and in the fields of a form.

`option` is how the place is called in which a text stood, for messages: "--input", "input".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, get_args

from .errors import UsageError
from .tensors import Color, DType, InputRequest

_LARGEST = 65504.0


def inputs(given: Sequence[str] | None, option: str = "--input") -> dict[str, InputRequest] | None:
    """``["img=1x3x300x300:u8"]`` as requests by name.

    Raises:
        UsageError: something else is written.
    """
    if not given:
        return None
    requests: dict[str, InputRequest] = {}
    for text in given:
        name, equals, rest = text.partition("=")
        shape_text, _, rest = rest.partition(":")
        dtype, _, range_text = rest.partition(":")
        try:
            shape = (
                tuple(int(size) for size in shape_text.lower().split("x")) if shape_text else None
            )
        except ValueError:
            shape = ()
        if not equals or not name or shape == () or (shape and min(shape) < 1):
            raise UsageError(
                f"{option} {text!r} cannot be read",
                remedy="write NAME=1x3x300x300 or NAME=256:fp16",
            )
        if dtype and dtype not in get_args(DType):
            raise UsageError(
                f"{option} {text!r} has the unknown element type {dtype!r}",
                remedy="give u8, fp16 or fp32",
            )
        if name in requests:
            raise UsageError(f"{option} is given twice for {name!r}", remedy="give it once")
        requests[name] = InputRequest(
            shape=shape, dtype=dtype or None,  # type: ignore[arg-type]
            value_range=_range(range_text, dtype, text, option) if range_text else None,
        )  # fmt: skip
    return requests


def _range(text: str, dtype: str, given: str, option: str) -> tuple[float, float]:
    """``"-10..10"`` as two numbers.

    Raises:
        UsageError: something else is written, or the input holds bytes.
    """
    low_text, dots, high_text = text.partition("..")
    try:
        low, high = float(low_text), float(high_text)
    except ValueError:
        low, high = math.nan, math.nan
    if not dots or not low <= high or math.isinf(low) or math.isinf(high):
        raise UsageError(
            f"the range of {option} {given!r} cannot be read", remedy="write NAME=256:fp16:-10..10"
        )
    if dtype == "fp16" and max(abs(low), abs(high)) > _LARGEST:
        raise UsageError(
            f"the range of {option} {given!r} goes beyond what fp16 holds, {_LARGEST:g}",
            remedy="scale the input, and give the range that is left",
        )
    if dtype not in ("fp16", "fp32"):
        raise UsageError(
            f"{option} {given!r} gives a range to an input that is no fp16 or fp32",
            remedy="bytes are always 0..255: write NAME=256:fp16:-10..10, or leave the range out",
        )
    return low, high


def color(given: str | None) -> Color | None:
    """A colour order.

    Raises:
        UsageError: not bgr, rgb or gray.
    """
    if given is None:
        return None
    for known in get_args(Color):
        if given == known:
            return known  # type: ignore[no-any-return]
    raise UsageError(f"there is no colour order {given!r}", remedy="give bgr, rgb or gray")


def numbers(given: str | None, option: str) -> tuple[float, ...] | None:
    """``"1,2,3"`` as numbers.

    Raises:
        UsageError: something else is written.
    """
    if given is None:
        return None
    try:
        return tuple(float(part) for part in given.replace(" ", ",").split(",") if part)
    except ValueError:
        raise UsageError(
            f"{option} {given!r} is not a list of numbers", remedy=f"write {option} 127.5 or 1,2,3"
        ) from None


def strict_json(value: Any) -> Any:
    """The value as strict JSON: tuples as lists, numbers that are not finite as strings."""
    if isinstance(value, dict):
        return {str(key): strict_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict_json(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
