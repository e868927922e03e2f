"""Norms as what they are made of, so that the sum becomes a convolution or an inner product.

ReduceL2, ReduceSumSquare and ReduceL1 over the channels become a pool over a reshaped view, 20
stages and more.
"""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule


def find(editor: Editor, node: Node) -> Outcome:
    """A norm over constant axes."""
    source, rank = node.inputs[0], editor.rank(node.inputs[0])
    axes = node.attrs.get("axes")
    if axes is None and node.input(1):
        axes = editor.ints(node.input(1))
    if axes is None or rank is None or not editor.is_float(source):
        return None
    keep = bool(node.attrs.get("keepdims", 1))

    def apply() -> None:
        b = Builder(editor, like=node)
        each = b.op("Abs", source) if node.op == "ReduceL1" else b.op("Mul", source, source)
        total = b.reduce("ReduceSum", each, sorted(a % rank for a in axes), keep)
        b.commit([node], {node.output: b.op("Sqrt", total) if node.op == "ReduceL2" else total})

    return Change(apply, nodes=(node,))


RULE = Rule(
    name="norm-in-parts",
    set="faster",
    exactness="reorder",
    why="a norm's sum over channels is one convolution once it is a sum",
    roots=("ReduceL1", "ReduceL2", "ReduceSumSquare"),
    find=find,
    order=10,
)
