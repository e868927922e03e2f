"""The largest or smallest of a few channels: Slices and Max, which are one stage each.

ReduceMax and ReduceMin over the channels become 17 to 30 stages: the compiler pools over a reshaped
view. So do they over a few rows or columns.
"""

from __future__ import annotations

import math

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule

_MOST = 16


def find(editor: Editor, node: Node) -> Outcome:
    """ReduceMax or ReduceMin over one short axis (others of length 1 do not matter)."""
    shape = editor.shape(node.inputs[0])
    axes = node.attrs.get("axes")
    if axes is None and node.input(1):
        axes = editor.ints(node.input(1))
    if shape is None or axes is None or not editor.is_float(node.inputs[0]):
        return None
    long = [a % len(shape) for a in axes if shape[a] > 1]
    if len(long) != 1 or not 2 <= shape[long[0]] <= _MOST:
        return None
    axis = long[0]
    if math.prod(shape) < 256:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        parts = [b.slice(node.inputs[0], axis, i, i + 1) for i in range(shape[axis])]
        op = "Max" if node.op == "ReduceMax" else "Min"
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=False)
            parts = [b.op(op, x, y) for x, y in pairs] + parts[len(parts) // 2 * 2 :]
        b.commit([node], {node.output: b.reshape(parts[0], b.shape(node.output))})

    return Change(apply, nodes=(node,), by_cost=True, signature=node.output)


RULE = Rule(
    name="extreme-of-channels",
    set="faster",
    exactness="exact",
    why="the largest of a few channels is a few Max stages, not a pool over a reshaped image",
    roots=("ReduceMax", "ReduceMin"),
    find=find,
    order=40,
)
