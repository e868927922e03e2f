"""Values repeated before an operator that would have repeated them itself."""

from __future__ import annotations

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import affine_step
from ..rule import Change, Outcome, Rule

_BINARY = frozenset({
    "Add", "Sub", "Mul", "Div", "Min", "Max", "Pow", "Greater", "Less", "Equal", "And", "Or", "Xor",
})  # fmt: skip


def find_repeated(editor: Editor, node: Node) -> Outcome:
    """An Expand or a constant that one of two operands makes superfluous."""
    if node.op not in _BINARY or len(node.inputs) != 2:
        return None
    shape = editor.shape(node.output)
    for index in (0, 1):
        maker = editor.producer(node.inputs[index])
        if maker is None or maker.op != "Expand":
            continue
        inner, other = editor.shape(maker.inputs[0]), editor.shape(node.inputs[1 - index])
        if inner is None or other is None or np.broadcast_shapes(inner, other) != shape:
            continue

        def apply(index: int = index, maker: Node = maker) -> None:
            b = Builder(editor, like=node)
            operands = list(node.inputs)
            operands[index] = maker.inputs[0]
            b.commit([node], {node.output: b.op(node.op, *operands, **node.attrs)})

        return Change(apply, nodes=(node,))
    return None


def find_scaled(editor: Editor, node: Node) -> Outcome:
    """A number times a value that is repeated before or behind: one product does both."""
    source, shape = node.inputs[0], editor.shape(node.output)
    maker = editor.producer(source)
    step = affine_step(editor, maker)
    inner = editor.shape(source)
    if maker is None or step is None or step.shift or shape is None or inner is None:
        return None
    if editor.uses(source) != 1 or len(inner) != len(shape) or len(shape) < 3:
        return None
    repeats = [b if a != b else 1 for a, b in zip(inner, shape, strict=True)]
    if repeats[-2:] != [1, 1] or sum(r != 1 for r in repeats) != 1:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        number = np.full(repeats, step.scale, np.float32)
        b.commit([maker, node], {node.output: b.op("Mul", step.source, number)})

    return Change(apply, nodes=(maker, node), by_cost=True, signature=node.output)


RULES = (
    Rule(
        "repeated-operand", "faster", "exact",
        "an operator repeats its smaller operand by itself",
        tuple(sorted(_BINARY)), find_repeated, order=20,
    ),
    Rule(
        "scaled-copies", "faster", "reorder",
        "a product with a number for each copy scales and repeats in one stage",
        ("Expand", "Tile"), find_scaled, order=50,
    ),
)  # fmt: skip
