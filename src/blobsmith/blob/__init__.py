"""The .blob file: read it, list its stages, show it. Nothing here writes one.

`Blob` is loaded when first used, so that `import blobsmith.blob` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .reader import Blob
    from .show import TEXT_COLUMNS, describe, stage_rows, text_rows

__all__ = ["TEXT_COLUMNS", "Blob", "describe", "stage_rows", "text_rows"]

_HOMES = {
    "TEXT_COLUMNS": "show",
    "Blob": "reader",
    "describe": "show",
    "stage_rows": "show",
    "text_rows": "show",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
