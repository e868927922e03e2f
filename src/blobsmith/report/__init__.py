"""The page that shows a build, and the drawing of a graph alone.

    collector  from a finished build to plain data (`ReportData`)
    page       from that data to one self-contained HTML page, and the index of several
    draw       the graphs of a source alone, for `blobsmith graph`
    svg        a drawing as SVG, in a page or in a file of its own
    layout     where boxes and lines go

Nothing here changes a build. What is shown of a chip is predicted from the blob's bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .collector import collect
    from .model import ReportData
    from .page import index_entry, render, render_index

__all__ = ["ReportData", "collect", "index_entry", "render", "render_index"]

_HOMES = {
    "ReportData": "model", "collect": "collector", "index_entry": "page", "render": "page",
    "render_index": "page",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
