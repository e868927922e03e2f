"""Logarithms of quotients and of small sums of squares (PSNR), which FP16 loses.

A mean of squared differences of an image in 0..1 is far below FP16's normal range where frames are
nearly alike, and its reciprocal far above.
"""

from __future__ import annotations

import math

from ...bounds import bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import squared
from ..rule import Change, Outcome, Rule
from .scaling import lifted

_SMALL, _ROOM = 4.0, 2.0**15
_MEANS = frozenset(["ReduceMean", "GlobalAveragePool", "AveragePool", "ReduceSum"])


def find_quotient(editor: Editor, node: Node) -> Outcome:
    """The logarithm of a number over a value."""
    inner = editor.producer(node.inputs[0])
    if inner is None or inner.op not in ("Div", "Reciprocal"):
        return None
    number = editor.scalar(inner.inputs[0]) if inner.op == "Div" else 1.0
    under = inner.inputs[-1]
    if number is None or number <= 0 or bounds(editor, under).low < 0:
        return None
    over = number

    def apply() -> None:
        b = Builder(editor, like=node)
        b.commit([inner, node], {node.output: b.op("Sub", math.log(over), b.op("Log", under))})

    return Change(apply, nodes=(inner, node))


def find_small(editor: Editor, node: Node) -> Outcome:
    """The logarithm of a small mean of squares."""
    mean = editor.producer(node.inputs[0])
    while mean is not None and mean.op in ("Reshape", "Squeeze", "Unsqueeze"):
        mean = editor.producer(mean.inputs[0])
    if mean is None or mean.op not in _MEANS:
        return None
    if not squared(editor, mean.inputs[0]):
        return None
    reach = max(bounds(editor, v).magnitude for v in (mean.inputs[0], mean.output))
    if not 0 < reach <= _SMALL:
        return None
    power = math.floor(math.log2(_ROOM / reach))
    factor = 2.0 ** (power - power % 2)

    def apply() -> None:
        b = Builder(editor, like=node)
        result = b.op("Log", lifted(b, node.inputs[0], factor))
        b.commit([node], {node.output: b.op("Sub", result, math.log(factor))})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "log-of-quotient", "needed", "reorder",
        "the logarithm of a quotient, which may leave FP16's range, as a difference",
        ("Log",), find_quotient, order=31,
    ),
    Rule(
        "log-of-squares", "needed", "reorder",
        "the logarithm of a mean of squares below FP16's range, scaled before it is squared",
        ("Log",), find_small, order=37,
    ),
)  # fmt: skip
