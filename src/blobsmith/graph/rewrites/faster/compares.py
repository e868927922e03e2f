"""Comparisons with a number: made before the scale instead of behind it.

`image / 255 > 0.5` is `image > 127.5`: the scaled image need not exist for it, and the comparison
does not suffer from the scale's rounding in FP16.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...bounds import bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import Affine, affine
from ..rule import Change, Outcome, Rule

_OPPOSITE = {"Greater": "Less", "Less": "Greater"}
_MOST_LEVELS = 2048
_MARGIN, _CLOSE = 0.25, 0.1


def find(editor: Editor, node: Node) -> Outcome:
    """Greater or Less of a scaled value and a number."""
    for index in (0, 1):
        number, value = editor.scalar(node.inputs[1 - index]), node.inputs[index]
        if number is None or value in editor.constants:
            continue
        found = affine(editor, value)
        if found.source == value or found.scale == 0 or not _same_shape(editor, node, found):
            return None
        limit = _limit(editor, node, value, found, number)
        op = node.op if found.scale > 0 else _OPPOSITE[node.op]

        def apply(
            index: int = index, limit: float = limit, op: str = op, source: str = found.source
        ) -> None:
            b = Builder(editor, like=node)
            pair = [b.value(limit)] * 2
            pair[index] = source
            b.commit([node], {node.output: b.op(op, *pair)})

        return Change(apply, nodes=(node,))
    return None


def _same_shape(editor: Editor, node: Node, found: Affine) -> bool:
    return editor.shape(found.source) == editor.shape(node.output)


def _limit(editor: Editor, node: Node, value: str, found: Affine, number: float) -> float:
    """What to compare the source with, so that every whole number in its range is decided alike.

    The scale's rounding decides what happens to a level that falls on the limit. The limit keeps a
    distance from such a level, as FP16 would round it to the level itself.
    """
    exact = (number - found.shift) / found.scale
    known = bounds(editor, found.source)
    if not (known.finite and known.high - known.low <= _MOST_LEVELS):
        return exact
    levels = np.arange(np.ceil(known.low), np.floor(known.high) + 1, dtype=np.float32)
    scaled = _replay(editor, value, found.source, levels)
    greater = (node.op == "Greater") == (node.inputs[0] == value)
    chosen = scaled > np.float32(number) if greater else scaled < np.float32(number)
    if chosen.all() or not chosen.any():
        return exact
    if levels[chosen].min() > levels[~chosen].min():  # true for large levels: source > limit
        low, high = float(levels[~chosen].max()), float(levels[chosen].min())
        return high - _MARGIN if exact > high - _CLOSE else max(exact, low)
    low, high = float(levels[chosen].max()), float(levels[~chosen].min())
    return low + _MARGIN if exact < low + _CLOSE else min(exact, high)


def _replay(
    editor: Editor, value: str, source: str, levels: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
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
