"""Of what all elements of a value are multiples, and which arithmetic on them is exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from .editor import Editor
from .interval import ANYTHING, INF, Interval
from .node import Node

FIRST = frozenset(
    [
        "Identity",
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Slice",
        "Gather",
        "GatherND",
        "GatherElements",
        "Expand",
        "Tile",
        "Split",
        "DepthToSpace",
        "SpaceToDepth",
        "MaxPool",
        "GlobalMaxPool",
        "ReduceMax",
        "ReduceMin",
        "Dropout",
        "Upsample",
        "ReverseSequence",
    ]
)
"""Operators whose elements are elements of their first input."""


_SPREADS = {("Max", "Min"), ("ReduceMax", "ReduceMin")}


def remainder_of(editor: Editor, node: Node, x: Interval) -> Interval | None:
    """x - floor(x / n) * n, as exporters write a remainder: in 0..n."""
    product = editor.producer(node.inputs[1])
    if product is None or product.op != "Mul":
        return None
    for index in (0, 1):
        size, floor = (
            editor.scalar(product.inputs[index]),
            editor.producer(product.inputs[1 - index]),
        )
        if size is None or size <= 0 or floor is None or floor.op != "Floor":
            continue
        quotient = editor.producer(floor.inputs[0])
        if (
            quotient is not None
            and quotient.op == "Div"
            and quotient.inputs[0] == node.inputs[0]
            and editor.scalar(quotient.inputs[1]) == size
        ):
            integral = x.integral and size == int(size)
            return Interval(0.0, size - 1 if integral else size, not x.finite, integral)
    return None


def spread_of(editor: Editor, node: Node, x: Interval) -> Interval | None:
    """The largest of some values less the smallest of the same, which is never below 0.

    Args:
        editor: the graph.
        node: a Sub.
        x: what its operands' own bounds say.
    """
    high, low = (editor.producer(name) for name in node.inputs)
    if high is None or low is None or (high.op, low.op) not in _SPREADS:
        return None
    if high.op == "Max":
        same = bool(set(high.inputs) & set(low.inputs))  # one that both saw lies between them
    else:
        same = high.inputs == low.inputs and high.attrs == low.attrs
    return replace(x, low=max(x.low, 0.0)) if same else None


def step_of(editor: Editor, node: Node, x: list[Interval]) -> float:
    """Of what every element of a node's result is a multiple; 0 if that is not known."""
    op = node.op
    if op in FIRST or op in ("Neg", "Abs", "Relu", "ReduceSum", "Identity"):
        return x[0].step
    if op in ("Mul", "Div"):
        for index in (0, 1):
            factor = editor.scalar(node.inputs[index])
            if factor and x[1 - index].step and math.isfinite(factor):
                if op == "Mul":
                    return x[1 - index].step * abs(factor)
                return x[0].step / abs(factor) if index == 1 else 0.0
        return 0.0
    if op == "Sub":
        whole = _whole_part(editor, node)
        if whole:
            return whole
    if op in ("Add", "Sub", "Concat", "Where", "Max", "Min", "Clip", "Pad"):
        parts = [i for i, name in zip(x, node.inputs, strict=True) if name]
        if op == "Where":
            parts = parts[1:]
        if op == "Pad":
            fill = editor.scalar(node.input(2)) if node.input(2) else 0.0
            return x[0].step if fill == 0 or node.attrs.get("mode") != "constant" else 0.0
        return _common([p for p in parts if (p.low, p.high) != (0.0, 0.0)])
    return 0.0


def _whole_part(editor: Editor, node: Node) -> float:
    """n where the node is x - (x mod n), which is a multiple of it; 0 for anything else."""
    rest = editor.producer(node.inputs[1])
    if rest is None or rest.op != "Sub" or rest.inputs[0] != node.inputs[0]:
        return 0.0
    found = remainder_of(editor, rest, replace(ANYTHING, nan=False))
    return found.high if found is not None else 0.0


def exact_factor(editor: Editor, node: Node) -> bool:
    """Whether a node divides or multiplies by a power of two, which rounds nothing."""
    factor = editor.scalar(node.inputs[1]) if node.op in ("Mul", "Div") else None
    return factor is not None and factor > 0 and math.log2(factor) == int(math.log2(factor))


def _common(parts: Sequence[Interval]) -> float:
    """A step that all share: the smallest, if the others are multiples of it."""
    steps = [p.step or (abs(p.low) if p.low == p.high else 0.0) for p in parts]
    if not steps or not all(0 < step < INF for step in steps):
        return 0.0
    least = min(steps)
    ratios = [s / least for s in steps]
    return least if all(abs(r - round(r)) < 1e-5 * r for r in ratios) else 0.0
