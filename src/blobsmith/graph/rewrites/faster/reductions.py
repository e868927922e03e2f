"""Reductions over channels and space at once, behind a convolution: space first.

What the engine writes has rows of 16 bytes, and the compiler refuses to see it as one long vector.
"""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node

_OPS = frozenset({"ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean"})


def split(editor: Editor, node: Node) -> None:
    """Writes a reduction over space and other axes as one over space and one over the others."""
    shape = editor.shape(node.inputs[0])
    axes = node.attrs.get("axes")
    if axes is None and node.op in _OPS and node.input(1):
        axes = editor.ints(node.input(1))
    if node.op not in _OPS or axes is None or shape is None or len(shape) < 3:
        return
    rank = len(shape)
    last = [a for a in (rank - 2, rank - 1) if a in {x % rank for x in axes}]
    others = sorted({x % rank for x in axes} - set(last))
    if len(last) < 2 or not any(shape[a] > 1 for a in others):
        return
    b = Builder(editor, like=node)
    inner = b.reduce(node.op, node.inputs[0], last)
    outer = b.reduce(node.op, inner, [a for a in others if shape[a] > 1])
    b.commit([node], {node.output: b.reshape(outer, b.shape(node.output))})
