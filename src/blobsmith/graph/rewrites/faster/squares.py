"""Numbers times squares: taken into what is squared, where they join the scale that is there."""

from __future__ import annotations

import math

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..linear import emit
from ..linear import form as fm
from ..linear.trace import trace
from ..patterns import affine_step
from ..rule import Change, Outcome, Rule

_SMALLEST, _LARGEST = 2.0**-12, 2.0**12


def find(editor: Editor, node: Node) -> Outcome:
    """A positive number times the square of a value that nothing else reads."""
    step = affine_step(editor, node)
    square = editor.producer(step.source) if step is not None else None
    if step is None or square is None or step.shift or editor.uses(square.output) != 1:
        return None
    if not _SMALLEST <= step.scale <= _LARGEST or step.scale == 1:
        return None
    value = square.inputs[0]
    plain = square.op == "Mul" and square.inputs[1] == value
    power = square.op == "Pow" and editor.scalar(square.inputs[1]) == 2
    if not (plain or power) or editor.consumers(value) != [square] or value in editor.outputs:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        scaled = _scaled(b, value, math.sqrt(step.scale))
        made = b.op("Mul", scaled, scaled) if plain else b.op("Pow", scaled, square.inputs[1])
        b.commit([square, node], {node.output: made})

    return Change(apply, nodes=(square, node), by_cost=True, without_cost=False,
                  signature=node.output)  # fmt: skip


def _scaled(b: Builder, value: str, scale: float) -> str:
    """A number times a value; a sum of scaled values takes it into its own scales."""
    form = trace(b.editor, value)
    if form is None or value in form.sources or emit.terms(form) is None:
        return b.op("Mul", value, scale)
    whole = fm.affine(form, np.full(form.rows, scale), np.zeros(form.rows))
    return b.reshape(emit.pointwise(b, whole), b.shape(value))


RULE = Rule(
    name="scaled-square",
    set="faster",
    exactness="reorder",
    why="a number times a square joins the scale of what is squared",
    roots=("Mul", "Div"),
    find=find,
    order=42,
)
