"""Whole numbers that must stay whole, and remainders of them: where one FP16 unit is an error of 1.

The chip divides by multiplying with a reciprocal of eleven bits: 6 / 3 is 1.9995, its floor 1;
it sums by averaging and multiplying again, so a sum of 300 ones may be 299.9; and 0.85 * 290 is
rounded to an eighth before it is rounded to a whole. Bounds know which values are integers, or
multiples of a step; these rules give rounding the room that it needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...bounds import FP16_EXACT_INTEGERS, bounds
from ...builder import Builder
from ...editor import Editor
from ...extract import extract
from ...node import Node
from ..check import session
from ..rule import Approx, Change, Outcome, Refused, Rule

_LARGEST_DIVIDEND = 500.0


def find_quotient(editor: Editor, node: Node) -> Outcome:
    """floor(a / b) of integers: floor((a + 1/2) / b)."""
    quotient = editor.producer(node.inputs[0])
    if quotient is None or quotient.op != "Div" or editor.scalar(quotient.inputs[1]) is not None:
        return None
    a, b = (bounds(editor, i) for i in quotient.inputs)
    if not a.whole or not b.whole or b.low <= 0:
        return None
    if a.magnitude > _LARGEST_DIVIDEND:
        return Refused(f"its dividend reaches {a.magnitude:g}: FP16 is too coarse for the quotient")
    over, under = quotient.inputs
    above = editor.producer(over)
    if above is not None and above.op == "Add" and editor.scalar(above.inputs[1]) == 0.5:
        return None

    def apply() -> None:
        build = Builder(editor, like=node)
        shifted = build.op("Add", over, 0.5)
        result = build.op("Floor", build.op("Div", shifted, under))
        build.commit([quotient, node], {node.output: result})

    return Change(apply, nodes=(quotient, node))


def find_sum(editor: Editor, node: Node) -> Outcome:
    """A sum of integers whose number is no power of two."""
    known, total = bounds(editor, node.inputs[0]), bounds(editor, node.output)
    shape, out = editor.shape(node.inputs[0]), editor.shape(node.output)
    if not known.integral or not editor.is_float(node.output) or shape is None or out is None:
        return None
    count = math.prod(shape) // max(math.prod(out), 1)
    if count & (count - 1) == 0 or total.magnitude > FP16_EXACT_INTEGERS:
        return None
    if any(n.op == "Round" for n in editor.consumers(node.output)):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        total = b.op(node.op, *node.inputs, **node.attrs)
        b.commit([node], {node.output: b.op("Round", total)})

    return Change(apply, nodes=(node,))


def find_product(editor: Editor, node: Node) -> Outcome:
    """round(k * c) or floor(k * c) of a small integer k: looked up in a table.

    Halves decide, and FP32's own rounding decides halves, so the table holds what FP32 gives.
    """
    product, clip = editor.producer(node.inputs[0]), None
    if product is not None and product.op == "Clip":
        clip, product = product, editor.producer(product.inputs[0])
    if product is None or product.op not in ("Mul", "Div"):
        return None
    factor, source = editor.scalar(product.inputs[1]), product.inputs[0]
    if factor is None and product.op == "Mul":
        factor, source = editor.scalar(product.inputs[0]), product.inputs[1]
    if not factor or factor < 0 or math.log2(factor) == int(math.log2(factor)):
        return None
    scale = 1 / factor if product.op == "Div" else factor
    known = bounds(editor, source)
    low, high = 0.0, math.inf
    if clip is not None:
        low, high = (editor.scalar(clip.input(i)) if clip.input(i) else None for i in (1, 2))  # type: ignore[assignment]
        low, high = -math.inf if low is None else low, math.inf if high is None else high
    if not known.integral or (known.low < 0 and low < 0):
        return None
    top = min(known.high, high / scale + 1)
    unit = 2.0 ** (math.floor(math.log2(max(top * scale, 1.0))) - 10)
    if not 0 < top <= FP16_EXACT_INTEGERS or unit < scale * 2.0**-4:
        return None
    k = np.arange(math.ceil(top) + 2, dtype=np.float32)
    exact = k / np.float32(factor) if product.op == "Div" else k * np.float32(factor)
    table = (np.rint if node.op == "Round" else np.floor)(np.clip(exact, low, high))

    def apply() -> None:
        b = Builder(editor, like=node)
        index = b.cast(b.clip(source, 0.0, float(k[-1])), np.int32)
        found = b.op("Gather", table.astype(np.float32), index, axis=0)
        b.commit([product, node], {node.output: found})

    return Change(apply, nodes=(product, node))


@dataclass(frozen=True)
class _Scaled:
    """A value as a factor times another one, whose elements FP16 holds exactly."""

    base: str
    factor: float


def _exact(editor: Editor, value: str) -> bool:
    """Whether FP16 holds the elements: integers, or a difference that this rule has made."""
    if bounds(editor, value).integral:
        return True
    node = editor.producer(value)
    if node is None or node.op != "Sub":
        return False
    product = editor.producer(node.inputs[1])
    if product is None or product.op != "Mul":
        return False
    steps = editor.scalar(product.inputs[1])
    return (
        steps is not None
        and steps * 64 == round(steps * 64)
        and bounds(editor, product.inputs[0]).integral
        and _exact(editor, node.inputs[0])
    )


def _scaled(editor: Editor, value: str) -> _Scaled | None:
    """The value as factor * base, with a base of whole numbers at the other end of a chain."""
    moves = ("Gather", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Transpose", "Split", "Identity")
    path: list[Node] = []
    base = value
    while not _exact(editor, base):
        node = editor.producer(base)
        if node is None or len(path) > 12:
            return None
        index = 0
        if node.op == "Mul" and editor.constant(node.inputs[1]) is None:
            index = 1
        constant_rest = all(
            editor.constant(i) is not None for k, i in enumerate(node.inputs) if k != index and i
        )
        if node.op not in (*moves, "Mul", "Div") or not constant_rest or len(node.outputs) > 1:
            return None
        path.append(node)
        base = node.inputs[index]
    if not path:
        return None
    moved = [n for n in path if n.op not in ("Mul", "Div")]
    shape = editor.shape(base) or ()
    part = extract(editor, [value], stop=lambda name: name == base)
    probe = session(part.proto).run(None, {base: np.ones(shape, np.float32)})[0]
    if np.ptp(probe) > 1e-6 * np.abs(probe).max() or (moved and editor.shape(base) is None):
        return None
    return _Scaled(base, float(probe.reshape(-1)[0]))


def find_difference(editor: Editor, node: Node) -> Outcome:
    """s k - w, a fraction: s (k - w / s), which FP16 computes without loss."""
    value, other = node.inputs
    known, whole = bounds(editor, value), bounds(editor, other)
    if _exact(editor, value) or not whole.integral or whole.magnitude > 64:
        return None
    if known.magnitude < 1 or editor.constant(other) is not None:
        return None
    scaled = _scaled(editor, value)
    if scaled is None or not 1e-4 < abs(scaled.factor) < 1:
        return None
    inverse = 1 / scaled.factor
    exact = round(inverse * 64) / 64
    if abs(inverse / exact - 1) > 1e-5 or abs(exact) * whole.magnitude > 1024:
        return None
    shape, found = editor.shape(value), scaled

    def apply() -> None:
        b = Builder(editor, like=node)
        base = _moved_base(b, editor, value, found)
        steps = round(64 / found.factor) / 64
        difference = b.op("Sub", base, b.op("Mul", other, steps))
        b.commit([node], {node.output: b.op("Mul", difference, found.factor)})

    if shape is None:
        return None
    return Change(apply, nodes=(node,))


def _moved_base(b: Builder, editor: Editor, value: str, found: _Scaled) -> str:
    """The base with the chain's movements, without its factors."""
    path: list[Node] = []
    name = value
    while name != found.base:
        node = editor.producer(name)
        assert node is not None
        path.append(node)
        name = node.inputs[1 if node.op == "Mul" and editor.constant(node.inputs[1]) is None else 0]
    for node in reversed(path):
        if node.op not in ("Mul", "Div"):
            name = b.op(node.op, name, *node.inputs[1:], **node.attrs)
    return name


RULES = (
    Rule(
        "whole-quotient", "needed", "exact", "the floor of an integers' quotient, kept from a miss",
        ("Floor",), find_quotient, order=50,
    ),
    Rule(
        "whole-sum", "needed", "exact", "a sum of integers, rounded to the integer that it is",
        ("ReduceSum",), find_sum, order=44,
    ),
    Rule(
        "whole-product", "needed", "exact", "an integer times a fraction, rounded: from a table",
        ("Round", "Floor"), find_product, order=50,
    ),
    Rule(
        "exact-difference", "needed", Approx(1.0, of_scale=2.0**-8, flips=0.01),
        "a fraction of multiples of a step, computed from whole numbers",
        ("Sub",), find_difference, order=50,
    ),
)  # fmt: skip
