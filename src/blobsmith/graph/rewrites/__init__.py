"""Rewrites a graph for the chip: rules, sets of rules, and their application.

    from blobsmith.graph.rewrites import rewrite
    result = rewrite(proto)

`rule` says what a rule is, `registry` lists them, `apply` applies and checks them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .apply import rewrite
    from .inputs import KnownInputs
    from .registry import rules
    from .report import Applied, Rejected, RewriteResult

__all__ = ["Applied", "KnownInputs", "Rejected", "RewriteResult", "rewrite", "rules"]

_HOMES = {
    "Applied": "report",
    "Rejected": "report",
    "RewriteResult": "report",
    "KnownInputs": "inputs",
    "rewrite": "apply",
    "rules": "registry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
