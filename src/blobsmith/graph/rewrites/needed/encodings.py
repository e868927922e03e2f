"""One-hot encodings and triangles, by comparison with constants and by constant masks."""

from __future__ import annotations

import numpy as np

from ...bounds import bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule


def find_one_hot(editor: Editor, node: Node) -> Outcome:
    """OneHot of computed indices."""
    depth, values = editor.scalar(node.inputs[1]), editor.constant(node.inputs[2])
    out, shape = editor.shape(node.output), editor.shape(node.inputs[0])
    if depth is None or values is None or out is None or shape is None:
        return Refused("its depth or values are computed")
    axis = int(node.attrs.get("axis", -1)) % len(out)
    spread = [-1 if a == axis else 1 for a in range(len(out))]
    levels = np.arange(int(depth), dtype=np.float32).reshape(spread)
    off, on = (float(v) for v in values)

    def apply() -> None:
        b = Builder(editor, like=node)
        index = b.cast(node.inputs[0], np.float32)
        if bounds(editor, node.inputs[0]).low < 0:
            from_end = b.op("Add", index, float(len(levels.reshape(-1))))
            index = b.op("Where", b.op("Less", index, 0.0), from_end, index)
        at = b.reshape(index, [*shape[:axis], 1, *shape[axis:]])
        made = b.cast(b.op("Equal", at, levels), np.float32)
        if on - off != 1:
            made = b.op("Mul", made, on - off)
        if off:
            made = b.op("Add", made, off)
        b.commit([node], {node.output: b.cast(made, values.dtype)})

    return Change(apply, nodes=(node,))


def find_triangle(editor: Editor, node: Node) -> Outcome:
    """Trilu with a constant diagonal."""
    shape = editor.shape(node.inputs[0])
    k = editor.scalar(node.input(1)) if node.input(1) else 0.0
    if shape is None or k is None:
        return Refused("its diagonal is computed")
    known, kind = bounds(editor, node.inputs[0]), editor.dtype(node.inputs[0])
    if kind is None or kind.kind != "f" or not known.finite:
        return Refused("its elements may be infinite, and a mask makes NaN of those")
    ones = np.ones(shape[-2:], np.float32)
    mask = (np.triu if int(node.attrs.get("upper", 1)) else np.tril)(ones, int(k))
    mask = mask.reshape((1,) * (len(shape) - 2) + mask.shape)

    def apply() -> None:
        b = Builder(editor, like=node)
        b.commit([node], {node.output: b.op("Mul", node.inputs[0], mask)})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "one-hot", "needed", "exact", "one-hot by comparison with every level", ("OneHot",),
        find_one_hot, order=30,
    ),
    Rule(
        "triangle", "needed", "exact", "a triangle of a matrix by a constant mask", ("Trilu",),
        find_triangle, order=30,
    ),
)  # fmt: skip
