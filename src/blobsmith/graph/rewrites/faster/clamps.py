"""Clip: joined to the stage before it, which clamps for nothing.

The compiler lets a sum, product, minimum or maximum of two tensors clamp its result, but it turns a
number times a tensor into a stage of another kind, which cannot. A row of equal numbers is a tensor
to it. Scales behind a Clip move before it, where they meet the ones that are there.
"""

from __future__ import annotations

import math

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import affine, affine_step, clip_limits
from ..rule import Change, Outcome, Rule

_SMALLEST = 2.0**-14
_LARGEST = 65504.0
_FP16_STEP = 2.0**-11


def find_joined(editor: Editor, node: Node) -> Outcome:
    """A Clip of a number times an image, or of an image plus a number."""
    limits = clip_limits(editor, node)
    step = affine(editor, node.inputs[0])
    shape = editor.shape(node.output)
    if limits is None or step.source == node.inputs[0] or shape is None:
        return None
    if len(shape) < 2 or shape[-1] < 2 or editor.uses(node.inputs[0]) != 1:
        return None
    maker = editor.producer(node.inputs[0])
    rows = (
        [editor.constants[i].shape for i in maker.inputs if i in editor.constants] if maker else []
    )
    if any(row and row[-1] == shape[-1] for row in rows):
        return None  # it is joined already
    op, number = ("Add", step.shift) if step.shift else ("Mul", step.scale)
    maker = editor.producer(step.source)
    if (step.scale != 1 and step.shift) or (maker is not None and maker.op == "Conv"):
        return None
    if not _SMALLEST <= abs(number) <= _LARGEST:
        return None
    if op == "Add" and not _exact(number) and abs(number) > limits[1] - limits[0]:
        return None
    row = np.full((1,) * (len(shape) - 1) + (shape[-1],), number, np.float32)

    def apply() -> None:
        b = Builder(editor, like=node)
        low, high = (None if math.isinf(v) else v for v in limits)
        value = b.op(op, step.source, row)
        made = b.op("Relu", value) if node.op == "Relu" else b.clip(value, low, high)
        b.commit([node], {node.output: made})

    return Change(apply, nodes=(node,), by_cost=True, without_cost=False, signature=node.output)


def _exact(number: float) -> bool:
    return float(np.float16(number)) == number


def find_scaled(editor: Editor, node: Node) -> Outcome:
    """A number applied to a Clip whose operand is scaled, or computed by a Conv, too."""
    step = affine_step(editor, node)
    inner = editor.producer(step.source) if step is not None else None
    limits = clip_limits(editor, inner) if inner is not None else None
    if step is None or inner is None or limits is None or editor.uses(inner.output) != 1:
        return None
    before = editor.producer(inner.inputs[0])
    if before is None or step.scale == 0:
        return None
    if affine_step(editor, before) is None or editor.uses(before.output) != 1:
        return None
    low, high = sorted(v * step.scale + step.shift for v in limits)

    def apply() -> None:
        b = Builder(editor, like=node)
        value = inner.inputs[0]
        if step.scale != 1:
            value = b.op("Mul", value, step.scale)
        if step.shift:
            value = b.op("Add", value, step.shift)
        made = b.clip(value, *(None if math.isinf(v) else v for v in (low, high)))
        b.commit([inner, node], {node.output: made})

    return Change(apply, nodes=(inner, node))


RULES = (
    Rule(
        "scale-before-clip", "faster", "reorder",
        "a scale behind a Clip joins the one before it",
        ("Mul", "Add", "Sub", "Div", "Neg"), find_scaled, order=20,
    ),
    Rule(
        "joined-clip", "faster", "reorder",
        "a product or sum of two tensors clamps its result in the same stage",
        ("Clip", "Relu"), find_joined, order=60,
    ),
)  # fmt: skip
