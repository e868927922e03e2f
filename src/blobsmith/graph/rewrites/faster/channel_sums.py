"""Sums and means over channels: one convolution of 1 x 1 instead of a pool over a reshaped image.

The compiler makes 17 stages and more of a sum over channels, and refuses it where the image comes
from the engine, whose rows it cannot see as one vector.
"""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..linear import emit
from ..linear.steps import step
from ..linear.trace import plain
from ..rule import Change, Outcome, Rule


def find(editor: Editor, node: Node) -> Outcome:
    """ReduceSum or ReduceMean over dimensions in front of the last two."""
    form = step(editor, node, node.output, lambda name: plain(editor, name))
    if form is None or form.inputs < 2 or emit.representable(form.kernel) is None:
        return None
    if form.y.size * form.x.size < 64:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        made = emit.convolution(b, form)
        b.commit([node], {node.output: b.reshape(made, b.shape(node.output))})

    return Change(apply, nodes=(node,), by_cost=True, signature="sums over channels")


RULE = Rule(
    name="channel-sum",
    set="faster",
    exactness="reorder",
    why="a sum over channels is one convolution of 1 x 1",
    roots=("ReduceSum", "ReduceMean"),
    find=find,
    order=29,
)
