"""FP16 ranges of a graph for the page: the check's tensors, each at its place along the graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from ..numerics import CheckReport, TensorReport
from .drawing import Drawing
from .model import RangesView, RangeView

LARGEST = 65504.0
"""Largest finite FP16 value."""
SMALLEST_NORMAL = 2.0**-14
"""Smallest FP16 value with all its digits."""

_STATUS: dict[str, Literal["over", "may", "seen", "proven"]] = {
    "overflows on what was seen": "over",
    "may overflow": "may",
    "safe on what was seen": "seen",
    "safe for every input": "proven",
}


def ranges_view(report: CheckReport, compiled: Drawing | None) -> RangesView:
    """The check's report for the page.

    Args:
        report: of the compiled graph.
        compiled: its drawing, for each tensor's place; None: the report's own order.
    """
    places = positions(compiled) if compiled is not None else {}
    known = [tensor for tensor in report.tensors if not places or tensor.name in places] or list(
        report.tensors
    )
    return RangesView(
        verdict=report.verdict,
        summary=report.summary,
        frames=report.frames,
        tensors=tuple(
            _tensor(tensor, places.get(tensor.name, index)) for index, tensor in enumerate(known)
        ),
        constants=tuple(
            f"{c.op} {c.tensor}: {c.example:g} becomes {c.becomes:g}; {c.advice}"
            for c in report.constants
            if c.harmful
        ),
        notes=report.notes,
    )


def positions(drawing: Drawing) -> Mapping[str, int]:
    """Tensor name -> its node's place along the graph: by layer, then from left to right."""
    nodes = [node for node in drawing.nodes if node.kind != "output" and node.box is not None]
    nodes.sort(key=lambda node: (node.box.layer, node.box.x) if node.box else (0, 0.0))
    return {out.name: place for place, node in enumerate(nodes) for out in node.outputs}


def _tensor(tensor: TensorReport, position: int) -> RangeView:
    bound = max(map(abs, tensor.bounds))
    return RangeView(
        name=tensor.name, op=tensor.op, line=tensor.line, position=position,
        status=_STATUS[tensor.verdict], verdict=tensor.verdict, seen=tensor.seen,
        bound=bound if math.isfinite(bound) else None, subnormal=tensor.subnormal_share,
        cause=tensor.cause, advice=tensor.advice,
    )  # fmt: skip
