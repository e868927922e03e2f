"""Discriminants of two-by-two matrices: (a + d)^2 - 4 (a d - b c), as eigenvalues take the root of.

Where the eigenvalues are nearly equal this is a small difference of large numbers, and FP16 has
none of its digits. (a - d)^2 + 4 b c is the same number, and adds what it has.
"""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import affine, squared
from ..rule import Change, Outcome, Rule

_SAME = 1e-6


def find(editor: Editor, node: Node) -> Outcome:
    """s^2 (a + d)^2 - 4 s^2 (a d - e), written as s^2 (a - d)^2 + 4 s^2 e."""
    if not editor.is_float(node.output):
        return None
    root = squared(editor, node.inputs[0])
    if not root:
        return None
    half, determinant = affine(editor, root), affine(editor, node.inputs[1])
    trace, difference = editor.producer(half.source), editor.producer(determinant.source)
    if trace is None or trace.op != "Add" or difference is None or difference.op != "Sub":
        return None
    product = editor.producer(difference.inputs[0])
    if product is None or product.op != "Mul" or half.shift or determinant.shift:
        return None
    if sorted(product.inputs) != sorted(trace.inputs):
        return None
    factor = determinant.scale
    if abs(factor - 4 * half.scale**2) > _SAME * abs(factor):
        return None
    shapes = {editor.shape(v) for v in (*trace.inputs, difference.inputs[1], node.output)}
    if len(shapes) != 1 or None in shapes:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        apart = b.op("Sub", *trace.inputs)
        if half.scale != 1:
            apart = b.op("Mul", apart, half.scale)
        rest = difference.inputs[1]
        if factor != 1:
            rest = b.op("Mul", rest, factor)
        b.commit([node], {node.output: b.op("Add", b.op("Mul", apart, apart), rest)})

    return Change(apply, nodes=(trace, product, difference, node))


RULES = (
    Rule(
        "discriminant", "needed", "reorder",
        "(a + d)^2 - 4 (a d - b c) as (a - d)^2 + 4 b c, which loses no digits",
        ("Sub",), find, order=31,
    ),
)  # fmt: skip
