"""Plain data for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any


def finite(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as JSON can hold them: tuples as lists, infinite and NaN numbers as None."""
    return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    return value
