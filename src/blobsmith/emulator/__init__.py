"""Runs a .blob on the host: byte memory, FP16 storage, stages in file order.

What it cannot know of the chip is said in docs/emulator.md. `Emulator` is loaded when first used,
so that `import blobsmith.emulator` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .machine import Emulator
    from .results import RunResult, RunWarning

__all__ = ["Emulator", "RunResult", "RunWarning"]

_HOMES = {"Emulator": "machine", "RunResult": "results", "RunWarning": "results"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
