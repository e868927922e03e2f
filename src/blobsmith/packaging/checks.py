"""Reading JSON that others may have written: every value is looked at before it is believed.

Each function takes a value and the place where it stands (``outputs[0].dtype``) and returns it
with its type known, or raises a PackageError that names the place. Standard library only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ..errors import PackageError
from ..tensors import ITEM_BYTES, Decoding, TensorSpec

T = TypeVar("T")

COLORS = ("bgr", "rgb", "gray")
KINDS = ("image", "mask", "map", "vector", "tensor")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def problem(what: str, where: str) -> PackageError:
    """The error for a value that is not what it must be."""
    return PackageError(what, where=where, remedy="mend that value, or build the file again")


def parse_object(data: bytes, what: str, *, limit: int) -> dict[str, Any]:
    """One JSON object, of at most `limit` bytes, without repeated keys, NaN or infinity.

    Raises:
        PackageError: `what` names the file in its text.
    """
    if len(data) > limit:
        raise PackageError(f"{what} has {len(data)} bytes, more than the {limit} one can have")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(items)
        if len(out) != len(items):
            raise ValueError("a key stands twice in one object")
        return out

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is no JSON number")

    try:
        value = json.loads(data, object_pairs_hook=pairs, parse_constant=constant)
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
        raise PackageError(f"{what} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise PackageError(f"{what} is not a JSON object")
    return value


def known_keys(value: dict[str, Any], allowed: Iterable[str], where: str) -> None:
    """Refuses a key that means nothing here: more often a slip of the pen than an extension."""
    extra = sorted(set(value) - set(allowed))
    if extra:
        raise problem(f"the key {extra[0]!r} is unknown", where)


def text(value: Any, where: str, *, empty: bool = False) -> str:
    """A string; `empty` allows the empty one."""
    if not isinstance(value, str) or (not value and not empty):
        raise problem(f"a text is expected, not {value!r:.60}", where)
    return value


def whole(value: Any, where: str, *, low: int, high: int) -> int:
    """An integer from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise problem(f"an integer from {low} to {high} is expected, not {value!r:.60}", where)
    return value


def number(value: Any, where: str) -> float:
    """A finite number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise problem(f"a number is expected, not {value!r:.60}", where)
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise problem("the number is not finite", where)
    return result


def choice(value: Any, allowed: Iterable[str], where: str) -> str:
    """One of a few words."""
    names = list(allowed)
    if value not in names:
        raise problem(f"one of {', '.join(names)} is expected, not {value!r:.60}", where)
    return str(value)


def digest(value: Any, where: str) -> str:
    """A SHA-256 in 64 lower-case hexadecimal digits."""
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise problem("a SHA-256 of 64 hexadecimal digits is expected", where)
    return value


def items(value: Any, where: str, *, most: int, least: int = 0) -> list[Any]:
    """A list of `least` to `most` entries."""
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise problem(f"a list of {least} to {most} entries is expected", where)
    return value


def table(value: Any, where: str) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise problem("an object is expected", where)
    return value


def optional(value: Any, read: Callable[[Any], T]) -> T | None:
    """null, or what `read` makes of the value."""
    return None if value is None else read(value)


_SPEC_KEYS = (
    "name", "shape", "dtype", "layout", "color", "mean", "scale", "decoding", "value_range",
)  # fmt: skip


def tensor_spec(value: Any, where: str) -> TensorSpec:
    """A TensorSpec from its `to_dict` form, every field checked.

    Raises:
        PackageError: a field is missing, unknown, or of the wrong type or size.
    """
    data = table(value, where)
    known_keys(data, _SPEC_KEYS, where)
    sizes = items(data.get("shape"), f"{where}.shape", most=8)
    shape = [
        whole(size, f"{where}.shape[{axis}]", low=1, high=1 << 31)
        for axis, size in enumerate(sizes)
    ]
    choice(data.get("dtype"), ITEM_BYTES, f"{where}.dtype")
    layout = text(data.get("layout", ""), f"{where}.layout", empty=True)
    if layout and len(layout) != len(shape):
        raise problem(f"the layout {layout!r} does not fit {len(shape)} dimensions", where)
    if data.get("color") is not None:
        choice(data["color"], COLORS, f"{where}.color")
    for key in ("mean", "scale", "value_range"):
        place = f"{where}.{key}"
        given = data.get(key)
        values = [] if given is None else items(given, place, least=1, most=4096)
        for index, entry in enumerate(values):
            number(entry, f"{place}[{index}]")
        if key == "scale" and values and not all(values):
            raise problem("a scale of zero divides by zero", place)
        if key == "value_range" and values and (len(values) != 2 or values[0] > values[1]):
            raise problem("a range is a low and a high end, in that order", place)
    if "decoding" in data:
        _decoding(data["decoding"], f"{where}.decoding")
    text(data.get("name"), f"{where}.name")
    return TensorSpec.from_dict(data)


def _decoding(value: Any, where: str) -> Decoding:
    data = table(value, where)
    known_keys(data, ("kind", "scale", "offset", "factor"), where)
    choice(data.get("kind", "tensor"), KINDS, f"{where}.kind")
    for key in ("scale", "offset", "factor"):
        if number(data.get(key, 1.0), f"{where}.{key}") == 0 and key == "factor":
            raise problem("a factor of zero cannot be divided by", f"{where}.factor")
    return Decoding(**data)
