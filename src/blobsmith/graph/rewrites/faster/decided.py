"""Limits that can never be reached: Clips, maxima and absolute values that change nothing."""

from __future__ import annotations

import math

from ...bounds import Interval, certain
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..needed.weights import KEEPS_APART
from ..patterns import clip_limits
from ..rule import Change, Outcome, Rule


def _unchanged(editor: Editor, node: Node, known: Interval) -> bool:
    if node.op == "Abs":
        return known.low >= 0
    limits = clip_limits(editor, node)
    return limits is not None and limits[0] <= known.low and known.high <= limits[1]


def find(editor: Editor, node: Node) -> Outcome:
    """A Clip, Relu or Abs of values within its limits; a Max or Min that one operand wins."""
    winner = None
    if KEEPS_APART in node.metadata:
        return None
    if node.op in ("Max", "Min"):
        if len(node.inputs) == 2:
            winner = _winner(editor, node)
    elif _unchanged(editor, node, certain(editor, node.inputs[0])):
        winner = node.inputs[0]
    if winner is None or editor.shape(winner) != editor.shape(node.output):
        return None
    if node.output in editor.outputs and editor.producer(winner) is None:
        return None  # an output that is an input has no stage, and no name

    def apply() -> None:
        Builder(editor, like=node).commit([node], {node.output: winner})

    # by cost: what remains may be nothing at all, and the compiler refuses that
    return Change(apply, nodes=(node,), by_cost=True, without_cost=False, signature=node.op)


def _winner(editor: Editor, node: Node) -> str | None:
    left, right = (certain(editor, name) for name in node.inputs)
    if math.isnan(left.low + right.high) or math.isnan(left.high + right.low):
        return None
    if left.nan or right.nan:
        return None
    if left.low >= right.high:
        return node.inputs[0 if node.op == "Max" else 1]
    if right.low >= left.high:
        return node.inputs[1 if node.op == "Max" else 0]
    return None


RULE = Rule(
    name="limit-never-reached",
    set="faster",
    exactness="exact",
    why="values are within the limits already",
    roots=("Clip", "Relu", "Abs", "Max", "Min"),
    find=find,
    order=12,
)
