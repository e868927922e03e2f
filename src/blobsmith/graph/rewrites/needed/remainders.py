"""Steps of a filter's result: decided by the remainder, which FP16 holds, not by the result.

`floor(0.299 r + 0.587 g + 0.114 b)` is off by one wherever FP16 rounds 127.97 up to 128: it steps
by 1/8 there, and the weights themselves are three digits long. So the step is taken twice: of the
result as FP16 has it, and of what the filter leaves beyond that whole number. The convolution
engine computes the remainder in one sum, with each weight in two parts (its FP16 value and the
rest of it), and rounds it once, where it is small.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ...bounds import FP16_EXACT_INTEGERS, bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..linear import emit
from ..linear.form import MAX_INPUTS, Array, Axis, Form
from ..linear.step import PARTED
from ..linear.trace import trace
from ..patterns import clip_limits
from ..rule import Approx, Change, Outcome, Refused, Rule

_REST = 1 / PARTED
"""What the rest of a weight is multiplied by, and its pixels divided by: both stay normal."""
_FINE = 2.0**-9
"""FP16 steps of a result up to which its own rounding decides few pixels wrongly."""
_TIE = 2.0**-12
"""Sums of weights that make 1 reach a whole number in FP32; the two parts may stay just below."""
_MOST_CHANNELS = 16


def find(editor: Editor, node: Node) -> Outcome:
    """Floor, Ceil or Round of a linear map of whole numbers, perhaps clipped before."""
    clip = editor.producer(node.inputs[0])
    limits = clip_limits(editor, clip) if clip is not None else None
    value = clip.inputs[0] if clip is not None and limits is not None else node.inputs[0]
    if limits is not None and any(math.isfinite(v) and v != round(v) for v in limits):
        return None
    shape, known = editor.shape(value), bounds(editor, value)
    if shape is None or len(shape) < 2 or not known.finite or known.whole:
        return None
    unit = 2.0 ** (math.floor(math.log2(max(known.magnitude, 2.0**-14))) - 10)
    if unit <= _FINE or _decided(editor, node):
        return None
    form = trace(editor, value)
    if form is None or form.sources == (value,) or _exact(form, known.magnitude):
        return None
    if not all(bounds(editor, s).integral for s in form.sources):
        return None
    if known.magnitude > FP16_EXACT_INTEGERS:
        return Refused(f"it reaches {known.magnitude:g}, where FP16 knows every other number")
    if not all(map(_in_step, (form.y, form.x), form.taps)) or form.rows > _MOST_CHANNELS:
        return None
    if 2 * form.inputs + form.rows > MAX_INPUTS:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        near = b.op(node.op, value)
        rest = _remainder(b, form, near, {"Floor": _TIE, "Ceil": -_TIE}.get(node.op, 0.0))
        step = b.op(node.op, b.reshape(rest, shape))
        total = b.op("Add", near, step)
        if limits is not None:
            low, high = (v if math.isfinite(v) else None for v in limits)
            total = b.clip(total, low, high)
        b.commit([node], {node.output: total})

    return Change(apply, nodes=(node,))


def _decided(editor: Editor, node: Node) -> bool:
    """Whether this rule has made the node: two steps, added."""
    for reader in editor.consumers(node.output):
        makers = [editor.producer(i) for i in reader.inputs]
        if reader.op == "Add" and all(m is not None and m.op == node.op for m in makers):
            return True
    return False


def _exact(form: Form, magnitude: float) -> bool:
    """Whether FP16 holds every weight and every result."""
    step = 2.0 ** (math.ceil(math.log2(magnitude)) - 11)
    whole = np.concatenate([form.kernel.ravel(), form.bias]) / step
    return bool(np.allclose(whole, np.round(whole), rtol=1e-6, atol=1e-9))


def _in_step(axis: Axis, taps: int) -> bool:
    """Whether each result lies on a pixel of the sources that its kernel sees."""
    return axis.stride == 1 and axis.size == axis.base and 0 <= -axis.start < taps


def _remainder(b: Builder, form: Form, near: str, tie: float) -> str:
    """What the form gives beyond `near`, (1, rows, height, width)."""
    high = form.kernel.astype(np.float16).astype(np.float64)
    low = (form.kernel - high) * _REST
    away: Array = np.zeros((form.rows, form.rows, *form.taps))
    away[np.arange(form.rows), np.arange(form.rows), -form.y.start, -form.x.start] = -1
    pixels = emit.source(b, form)
    result = b.reshape(near, (1, form.rows, form.y.base, form.x.base))
    whole = replace(
        form,
        sources=(pixels, b.op("Mul", pixels, PARTED), result),
        channels=(form.inputs, form.inputs, form.rows),
        kernel=np.concatenate([high, _normal(low), away], 1),
        bias=form.bias + tie,
        lead=(1, form.rows),
        flat=False,
    )
    return emit.convolution(b, whole)


def _normal(weights: Array) -> Array:
    """Without what FP16 has no normal number for: less than the remainder's own rounding."""
    return np.where(np.abs(weights) < emit.SMALLEST, 0.0, weights)


RULES = (
    Rule(
        "step-of-remainder", "needed", Approx(1.0, flips=0.02),
        "a filter's result is rounded to whole numbers by what is left beyond them",
        ("Floor", "Ceil", "Round"), find, order=60,
    ),
)  # fmt: skip
