"""Trigonometric and hyperbolic functions, Sign and Mod, which the compiler lacks."""

from __future__ import annotations

import math

from ...bounds import bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Approx, Change, Outcome, Refused, Rule
from .functions import DIRECT, atan2, cos, sign, sin

_LARGEST_ANGLE = 600.0


def find_function(editor: Editor, node: Node) -> Outcome:
    """A function of one argument."""
    x = node.inputs[0]

    def apply() -> None:
        b = Builder(editor, like=node)
        b.commit([node], {node.output: DIRECT[node.op](b, x)})

    return Change(apply, nodes=(node,))


def find_periodic(editor: Editor, node: Node) -> Outcome:
    """Sin, Cos and Tan."""
    x = node.inputs[0]
    largest = bounds(editor, x).magnitude
    if math.isfinite(largest) and _LARGEST_ANGLE < largest < 60000:
        return Refused(f"its angles reach {largest:g}: FP16 is too coarse there")

    def apply() -> None:
        b = Builder(editor, like=node)
        if node.op == "Tan":
            result = b.op("Div", sin(b, x, largest), cos(b, x, largest))
        else:
            result = (sin if node.op == "Sin" else cos)(b, x, largest)
        b.commit([node], {node.output: result})

    return Change(apply, nodes=(node,))


def find_atan2(editor: Editor, node: Node) -> Outcome:
    """What the exporters make of atan2: atan(y / x), put into its quadrant by two Wheres."""
    quotient = editor.producer(node.inputs[0])
    if quotient is None or quotient.op != "Div":
        return None
    y, x = quotient.inputs
    outer = _quadrant(editor, node, y, x)
    if outer is None:
        return None

    def apply() -> None:
        b = Builder(editor, like=outer)
        b.commit([outer], {outer.output: atan2(b, y, x)})
        editor.drop_dead()

    return Change(apply, nodes=(quotient, node, outer))


def _quadrant(editor: Editor, arc: Node, y: str, x: str) -> Node | None:
    """The node that completes a = atan(y / x): where(x < 0, where(y > 0, a + pi, a - pi), a)."""
    for outer in editor.consumers(arc.output):
        if outer.op != "Where" or outer.inputs[2] != arc.output:
            continue
        left, inner = editor.producer(outer.inputs[0]), editor.producer(outer.inputs[1])
        if left is None or inner is None or left.op != "Less" or inner.op != "Where":
            continue
        if left.inputs[0] != x or editor.scalar(left.inputs[1]) != 0:
            continue
        above = editor.producer(inner.inputs[0])
        ends = [editor.producer(inner.inputs[i]) for i in (1, 2)]
        if above is None or above.op not in ("Greater", "GreaterOrEqual") or above.inputs[0] != y:
            continue
        if [e.op if e else "" for e in ends] == ["Add", "Sub"]:
            return outer
    return None


def find_sign(editor: Editor, node: Node) -> Outcome:
    """Sign of floats."""
    if not editor.is_float(node.inputs[0]):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        b.commit([node], {node.output: sign(b, node.inputs[0])})

    return Change(apply, nodes=(node,))


def find_mod(editor: Editor, node: Node) -> Outcome:
    """Mod of floats, with either sign convention."""
    a, n = node.inputs
    if not editor.is_float(a):
        return None
    integral = bounds(editor, a).integral and bounds(editor, n).integral

    def apply() -> None:
        b = Builder(editor, like=node)
        top = b.op("Add", a, 0.5) if integral and not node.attrs.get("fmod", 0) else a
        quotient = b.op("Div", top, n)
        if node.attrs.get("fmod", 0):
            whole = b.op("Floor", b.op("Abs", quotient))
            quotient = b.op("Where", b.op("Less", quotient, 0.0), b.op("Neg", whole), whole)
        else:
            quotient = b.op("Floor", quotient)
        b.commit([node], {node.output: b.op("Sub", a, b.op("Mul", quotient, n))})

    return Change(apply, nodes=(node,))


_HALF = Approx(1.0, floor=0.5)

RULES = (
    Rule(
        "atan2", "needed", Approx(2.0, floor=0.5, flips=0.01, period=2 * math.pi),
        "atan2 as exporters write it, right on the axes, by a polynomial",
        ("Atan",), find_atan2, order=14,
    ),
    Rule(
        "functions", "needed", _HALF, "functions that the compiler lacks, by polynomials",
        tuple(DIRECT), find_function, order=30,
    ),
    Rule(
        "periodic", "needed", Approx(4.0, floor=1.0, flips=0.02), "Sin, Cos and Tan by polynomials",
        ("Sin", "Cos", "Tan"), find_periodic, order=30,
    ),
    Rule(
        "sign", "needed", "exact", "Sign by two comparisons", ("Sign",), find_sign, order=30,
    ),
    Rule(
        "modulo", "needed", Approx(4.0, of_scale=1.0, flips=0.01),
        "Mod by a Floor of the quotient", ("Mod",), find_mod, order=30,
    ),
)  # fmt: skip
