"""Masks: a comparison turned to 0 and 1 and multiplied is a choice.

A comparison's result has to be converted before it can be multiplied: two stages, where a Select is
one. `mask * 255`, `1 - mask` and `image * mask` are all choices.
"""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import affine_step, mask
from ..rule import Change, Outcome, Rule


def find_levels(editor: Editor, node: Node) -> Outcome:
    """A number times a mask, plus or minus a number."""
    step = affine_step(editor, node)
    condition = mask(editor, step.source) if step is not None else None
    if step is None or condition is None:
        return None
    if editor.shape(condition) != editor.shape(node.output):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        chosen = b.op("Where", condition, step.scale + step.shift, step.shift)
        b.commit([node], {node.output: chosen})

    return Change(apply, nodes=(node,))


def find_chosen(editor: Editor, node: Node) -> Outcome:
    """A number applied to a choice between two numbers."""
    step = affine_step(editor, node)
    where = editor.producer(step.source) if step is not None else None
    if step is None or where is None or where.op != "Where" or editor.uses(step.source) != 1:
        return None
    levels = [editor.scalar(name) for name in where.inputs[1:]]
    if levels[0] is None or levels[1] is None:
        return None
    yes, no = (level * step.scale + step.shift for level in levels if level is not None)

    def apply() -> None:
        b = Builder(editor, like=node)
        shape = editor.shape(where.inputs[0])
        if shape != editor.shape(node.output):
            return
        b.commit([where, node], {node.output: b.op("Where", where.inputs[0], yes, no)})

    if editor.shape(where.inputs[0]) != editor.shape(node.output):
        return None
    return Change(apply, nodes=(where, node))


def find_product(editor: Editor, node: Node) -> Outcome:
    """A mask times a value that is no number."""
    for index in (0, 1):
        condition, other = mask(editor, node.inputs[index]), node.inputs[1 - index]
        if condition is None or mask(editor, other) is not None:
            continue
        if editor.scalar(other) is not None or editor.uses(node.inputs[index]) != 1:
            continue

        def apply(condition: str = condition, other: str = other) -> None:
            b = Builder(editor, like=node)
            b.commit([node], {node.output: b.op("Where", condition, other, 0.0)})

        return Change(apply, nodes=(node,), by_cost=True, signature=node.output)
    return None


def find_inverted(editor: Editor, node: Node) -> Outcome:
    """A choice by, or a Cast of, a condition that was inverted."""
    inverse = editor.producer(node.inputs[0])
    if inverse is None or inverse.op != "Not" or inverse.domain:
        return None
    condition = inverse.inputs[0]
    if node.op == "Cast" and not editor.is_float(node.output):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        branches = [0.0, 1.0] if node.op == "Cast" else [node.inputs[2], node.inputs[1]]
        b.commit([inverse, node], {node.output: b.op("Where", condition, *branches)})

    if node.op == "Cast" and editor.shape(condition) != editor.shape(node.output):
        return None
    return Change(apply, nodes=(inverse, node))


_ARITHMETIC = ("Mul", "Add", "Sub", "Div", "Neg")

RULES = (
    Rule(
        "mask-levels", "faster", "reorder",
        "a number times a mask is a choice between two numbers: one stage instead of two",
        _ARITHMETIC, find_levels, order=20,
    ),
    Rule(
        "chosen-levels", "faster", "reorder",
        "a number applied to a choice of numbers is a choice of other numbers",
        _ARITHMETIC, find_chosen, order=21,
    ),
    Rule(
        "masked-value", "faster", "exact",
        "a value times a mask is a choice between it and 0: one stage instead of two",
        ("Mul",), find_product, order=41,
    ),
    Rule(
        "inverted-mask", "faster", "exact",
        "choosing by an inverted condition is choosing the other way",
        ("Cast", "Where"), find_inverted, order=22,
    ),
)  # fmt: skip
