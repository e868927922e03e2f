"""Comparisons with a number: made before the scale instead of behind it.

`image / 255 > 0.5` is `image > 127.5`: the scaled image need not exist for it, and the comparison
does not suffer from the scale's rounding in FP16.
"""

from __future__ import annotations

import numpy as np

from ...bounds import bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule
from .patterns import Affine, affine

_OPPOSITE = {"Greater": "Less", "Less": "Greater"}
_MOST_LEVELS = 2048


def find(editor: Editor, node: Node) -> Outcome:
    """Greater or Less of a scaled value and a number."""
    for index in (0, 1):
        number, value = editor.scalar(node.inputs[1 - index]), node.inputs[index]
        if number is None or value in editor.constants:
            continue
        found = affine(editor, value)
        if found.source == value or found.scale == 0 or not _same_shape(editor, node, found):
            return None
        limit = _limit(editor, value, found, number)
        op = node.op if found.scale > 0 else _OPPOSITE[node.op]

        def apply(index: int = index, limit: float = limit, op: str = op) -> None:
            b = Builder(editor, like=node)
            pair = [b.value(limit)] * 2
            pair[index] = found.source
            b.commit([node], {node.output: b.op(op, *pair)})

        return Change(apply, nodes=(node,))
    return None


def _same_shape(editor: Editor, node: Node, found: Affine) -> bool:
    return editor.shape(found.source) == editor.shape(node.output)


def _limit(editor: Editor, value: str, found: Affine, number: float) -> float:
    """What to compare the source with.

    Between the levels of an image, any number is as good as another: the one in the middle keeps
    the decision of every level, whatever the scale rounds to.
    """
    known = bounds(editor, found.source)
    exact = (number - found.shift) / found.scale
    if not (known.integral and known.finite and known.high - known.low <= _MOST_LEVELS):
        return exact
    levels = np.arange(known.low, known.high + 1, dtype=np.float32)
    scaled = _replay(editor, value, found.source, levels)
    above = levels[scaled > np.float32(number)]
    below = levels[scaled < np.float32(number)]
    if len(above) + len(below) < len(levels) or not len(above) or not len(below):
        return exact
    rising = found.scale > 0
    return float((above.min() + below.max()) / 2 if rising else (above.max() + below.min()) / 2)


def _replay(editor: Editor, value: str, source: str, levels: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """The scaled levels as FP32 computes them, step by step."""
    chain = []
    while value != source:
        node = editor.producer(value)
        assert node is not None
        chain.append(node)
        value = next(i for i in node.inputs if editor.scalar(i) is None)
    for node in reversed(chain):
        if node.op == "Neg":
            levels = -levels
            continue
        first = editor.scalar(node.inputs[0])
        number = np.float32(first if first is not None else editor.scalar(node.inputs[1]) or 0.0)
        a, b = (number, levels) if first is not None else (levels, number)
        levels = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[node.op](
            a, b
        )
    return levels


RULE = Rule(
    name="compare-before-scale",
    set="faster",
    exactness="exact",
    why="comparing before the scale spares the scaled image",
    roots=("Greater", "Less"),
    find=find,
    order=20,
)
