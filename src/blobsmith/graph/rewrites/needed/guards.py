"""Small constants that FP16 does not hold: epsilons that keep a root, quotient or logarithm safe.

The compiler sets constants below 2^-15 to 0 and those up to 2^-14 to 2^-14 (docs/compiler.md, trap
4), so sqrt(x + 1e-6) loses its floor and x / (y + 1e-8) divides by 0. The sum is scaled up by a
power of two, in which the epsilon is a normal number, and the function undoes the factor: a root by
its root, a logarithm by a difference, a quotient by scaling the other side. How far up, bounds say:
FP16 ends at 65504.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...bounds import FP16_MAX, Interval, bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import squared
from ..rule import Approx, Change, Outcome, Refused, Rule
from .scaling import lifted, times

SMALLEST = 2.0**-14
_ROOM = 2.0**15
_SMALL_SQUARES = 4.0
_LARGE_ENOUGH = 0.5
_MOST = 14  # powers of two: what FP16 holds of the factor and of its inverse


@dataclass(frozen=True)
class _Floor:
    """A value kept away from 0: value + epsilon, or at least epsilon."""

    node: Node
    value: str
    epsilon: float
    added: bool


def _floor(editor: Editor, value: str) -> _Floor | None:
    """The sum or maximum with a small constant that makes a value, if one does."""
    node = editor.producer(value)
    if node is None:
        return None
    if node.op in ("Squeeze", "Unsqueeze", "Reshape", "Expand", "Transpose", "Flatten"):
        return None
    if node.op in ("Add", "Max") and len(node.inputs) == 2:
        for index in (0, 1):
            epsilon = editor.scalar(node.inputs[index])
            if epsilon is not None and 0 < epsilon < SMALLEST:
                return _Floor(node, node.inputs[1 - index], epsilon, node.op == "Add")
    if node.op == "Clip" and node.input(1):
        epsilon, top = editor.scalar(node.inputs[1]), editor.scalar(node.input(2))
        if epsilon is not None and 0 < epsilon < SMALLEST and (not node.input(2) or top is None):
            return _Floor(node, node.inputs[0], epsilon, False)
    return None


def scale_for(known: Interval, epsilon: float, even: bool = False) -> float:
    """The power of two (of four, if even) that lifts epsilon, as far as the value leaves room."""
    wanted = math.ceil(math.log2(SMALLEST / epsilon))
    largest = known.magnitude
    room = math.floor(math.log2(_ROOM / largest)) if 0 < largest < math.inf else wanted
    if math.isinf(largest):
        room = 0
    power = max(min(wanted, room, 2 * _MOST if even else _MOST), 0)
    return 2.0 ** (power - power % 2 if even else power)


def _lifted(b: Builder, floor: _Floor, factor: float) -> str:
    """(value + epsilon) * factor, with an epsilon that FP16 holds."""
    value = lifted(b, floor.value, factor)
    epsilon = max(floor.epsilon * factor, SMALLEST)
    return b.op("Add" if floor.added else "Max", value, epsilon)


def find(editor: Editor, node: Node) -> Outcome:
    """A root, logarithm, power or reciprocal of a value with a small floor."""
    source = node.inputs[0]
    if not editor.is_float(source):
        return None
    floor = _floor(editor, source)
    if floor is None:
        return None
    exponent = editor.scalar(node.inputs[1]) if node.op == "Pow" else None
    if node.op == "Pow" and exponent is None:
        return None
    known = bounds(editor, floor.value)
    if known.low < 0:
        return Refused("the value under its epsilon may be negative")
    factor = scale_for(known, floor.epsilon, even=node.op == "Sqrt")
    if node.op in ("Sqrt", "Pow") and (exponent or 0.5) > 0 and floor.epsilon * factor < SMALLEST:
        return None  # without it the root is 0 where it was almost 0
    found = floor

    def apply() -> None:
        b = Builder(editor, like=node)
        lifted = _lifted(b, found, factor)
        if node.op == "Log":
            result = b.op("Log", lifted)
            undone = b.op("Sub", result, math.log(factor)) if factor != 1 else result
        else:
            power = {"Sqrt": 0.5, "Reciprocal": -1.0}.get(node.op, exponent or 1.0)
            result = b.op(node.op, lifted, *node.inputs[1:])
            undone = times(b, result, factor**-power)
        b.commit([node], {node.output: undone})

    return Change(apply, nodes=(floor.node, node))


def find_root(editor: Editor, node: Node) -> Outcome:
    """The root of a sum of products that may leave FP16's range, at either end."""
    source = node.inputs[0]
    maker = editor.producer(source)
    while maker is not None and maker.op in ("Abs", "Relu", "Max"):
        maker = editor.producer(maker.inputs[0])
    if maker is None or maker.op not in ("Add", "Sub"):
        return None
    if not _products(editor, maker):
        return None
    known = bounds(editor, source)
    reach = max(known.magnitude, *(bounds(editor, i).magnitude for i in maker.inputs))
    if not 0 < reach < math.inf or _SMALL_SQUARES < reach <= FP16_MAX:
        return None
    if known.low >= _LARGE_ENOUGH:
        return None  # what FP16 loses of small squares is not seen beside the rest
    power = math.floor(math.log2(_ROOM / reach))
    power = min(power - power % 2, 16)
    factor = 2.0**power
    if factor == 1:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        result = b.op("Sqrt", lifted(b, source, factor))
        b.commit([node], {node.output: times(b, result, factor**-0.5)})

    return Change(apply, nodes=(node,))


def find_deviation(editor: Editor, node: Node) -> Outcome:
    """The root of a mean of squares that may leave FP16's range: a standard deviation."""
    maker = editor.producer(node.inputs[0])
    while maker is not None and (
        maker.op in ("Reshape", "Squeeze", "Unsqueeze")
        or (maker.op in ("Mul", "Div") and editor.scalar(maker.inputs[1]) is not None)
    ):
        maker = editor.producer(maker.inputs[0])
    if maker is None or maker.op not in ("ReduceMean", "GlobalAveragePool", "AveragePool"):
        return None
    if not squared(editor, maker.inputs[0]):
        return None
    reach = bounds(editor, maker.inputs[0]).magnitude
    if not FP16_MAX < reach < math.inf:
        return None
    power = math.floor(math.log2(_ROOM / reach))
    factor = 2.0 ** max(power - power % 2, -_MOST)

    def apply() -> None:
        b = Builder(editor, like=node)
        result = b.op("Sqrt", lifted(b, node.inputs[0], factor))
        b.commit([node], {node.output: times(b, result, factor**-0.5)})

    return Change(apply, nodes=(node,))


def _products(editor: Editor, total: Node) -> bool:
    """Whether a sum is one of products and constants, with a product at least."""
    terms = [i for i in total.inputs if editor.constant(i) is None]
    makers = [editor.producer(i) for i in terms]
    return bool(makers) and all(
        m is not None
        and (m.op in ("Pow", "Mul") or (m.op in ("Add", "Sub") and _products(editor, m)))
        for m in makers
    )


def find_quotient(editor: Editor, node: Node) -> Outcome:
    """A quotient by a value with a small floor."""
    if not editor.is_float(node.output):
        return None
    over, under = node.inputs
    path: list[Node] = []
    while (maker := editor.producer(under)) is not None and maker.op in (
        "Expand", "Unsqueeze", "Squeeze", "Reshape",
    ):  # fmt: skip
        path.append(maker)
        under = maker.inputs[0]
    floor = _floor(editor, under)
    if floor is None:
        return None
    known, top = bounds(editor, floor.value), bounds(editor, over)
    if known.low < 0:
        return Refused("the value under its epsilon may be negative")
    factor = scale_for(known, floor.epsilon)
    found = floor

    def apply() -> None:
        b = Builder(editor, like=node)
        lifted = _lifted(b, found, factor)
        for step in reversed(path):
            lifted = b.op(step.op, lifted, *step.inputs[1:], **step.attrs)
        if top.magnitude * factor <= _ROOM:
            scaled = times(b, over, factor)
            result = b.op("Div", scaled, lifted)
        else:
            result = b.op("Div", over, lifted)
            result = times(b, result, factor)
        b.commit([node], {node.output: result})

    return Change(apply, nodes=(floor.node, node))


_KEPT = Approx(1.0, floor=2.0**-12, of_scale=2.0**-10, flips=0.02)

RULES = (
    Rule(
        "small-epsilon", "needed", _KEPT, "an epsilon that FP16 does not hold, scaled",
        ("Sqrt", "Log", "Reciprocal", "Pow"), find, order=35,
    ),
    Rule(
        "root-in-range", "needed", "reorder",
        "the root of a sum of squares beyond FP16's range, scaled before it is squared",
        ("Sqrt",), find_root, order=36,
    ),
    Rule(
        "deviation-in-range", "needed", "reorder",
        "the root of a mean of squares beyond FP16's range, scaled before it is squared",
        ("Sqrt",), find_deviation, order=36,
    ),
    Rule(
        "small-divisor", "needed", _KEPT, "a divisor's epsilon that FP16 does not hold, scaled",
        ("Div",), find_quotient, order=35,
    ),
)  # fmt: skip
