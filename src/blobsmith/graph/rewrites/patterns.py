"""Small readings that several rules share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..editor import Editor
from ..node import Node


class Affine(NamedTuple):
    """A value as scale * source + shift, with numbers."""

    source: str
    scale: float
    shift: float


def affine_step(editor: Editor, node: Node | None) -> Affine | None:
    """What one Mul, Div, Add, Sub or Neg by a single number does to its other operand.

    None where the node is something else, or its result has another shape than the operand.
    """
    if node is None or node.domain or not editor.is_float(node.output):
        return None
    if node.op == "Neg":
        return Affine(node.inputs[0], -1.0, 0.0)
    if node.op not in ("Add", "Sub", "Mul", "Div"):
        return None
    left, right = node.inputs
    number, source, first = editor.scalar(right), left, False
    if number is None:
        number, source, first = editor.scalar(left), right, True
    if number is None or not np.isfinite(number) or source in editor.constants:
        return None
    if editor.shape(source) != editor.shape(node.output):
        return None
    if node.op == "Add":
        return Affine(source, 1.0, number)
    if node.op == "Mul":
        return Affine(source, number, 0.0)
    if node.op == "Sub":
        return Affine(source, -1.0, number) if first else Affine(source, 1.0, -number)
    return None if first or number == 0 else Affine(source, 1.0 / number, 0.0)


def affine(editor: Editor, value: str) -> Affine:
    """A value followed back through all affine steps; a value as it is has scale 1 and shift 0."""
    found = Affine(value, 1.0, 0.0)
    while (step := affine_step(editor, editor.producer(found.source))) is not None:
        scale, shift = found.scale * step.scale, found.scale * step.shift + found.shift
        found = Affine(step.source, scale, shift)
    return found


def clip_limits(editor: Editor, node: Node) -> tuple[float, float] | None:
    """The constant limits of a Clip or Relu (infinite where absent); None if they are computed."""
    if node.op == "Relu":
        return 0.0, float("inf")
    if node.op != "Clip":
        return None
    limits = [node.attrs.get("min", -np.inf), node.attrs.get("max", np.inf)]
    for index in (0, 1):
        if name := node.input(index + 1):
            number = editor.scalar(name)
            if number is None:
                return None
            limits[index] = number
    return float(limits[0]), float(limits[1])


def axes_of(editor: Editor, node: Node) -> list[int] | None:
    """The axes of a reduction, counted from the start; None if they are computed."""
    rank = editor.rank(node.inputs[0])
    if rank is None:
        return None
    given = node.attrs.get("axes")
    if given is None and node.input(1):
        given = editor.ints(node.input(1))
        if given is None:
            return None
    return sorted(int(a) % rank for a in given) if given else list(range(rank))


def squared(editor: Editor, value: str) -> str:
    """What a value is the square of; "" if it is none."""
    node = editor.producer(value)
    if node is None:
        return ""
    doubled = node.op == "Mul" and node.inputs[0] == node.inputs[1]
    raised = node.op == "Pow" and editor.scalar(node.inputs[1]) == 2
    return node.inputs[0] if doubled or raised else ""


REPEATING = frozenset({"edge", "reflect", "wrap", "symmetric"})
"""The modes of a Pad that add pixels of the picture, not a number."""


def pad_fill(editor: Editor, node: Node) -> float | None:
    """The number that a Pad adds, 0 where it repeats pixels; None where that is not known."""
    if node.attrs.get("mode", "constant") in REPEATING:
        return 0.0
    return editor.scalar(node.input(2)) if node.input(2) else 0.0


def mask(editor: Editor, value: str) -> str | None:
    """The boolean that a value is the 0 or 1 of, if it is a Cast of one."""
    node = editor.producer(value)
    if node is None or node.op != "Cast" or not editor.is_float(value):
        return None
    dtype = editor.dtype(node.inputs[0])
    return node.inputs[0] if dtype is not None and dtype.kind == "b" else None
