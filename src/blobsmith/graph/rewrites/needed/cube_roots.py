"""Differences of cube roots, as CIELAB takes them: a = 500 (f(X) - f(Y)).

FP16 holds a cube root near 1 to 1/2048, and the factor makes a quarter of a unit of that. But
u - v = (u^3 - v^3) / (u^2 + u v + v^2), and u^3 - v^3 = X - Y is one sum of the convolution
engine, as exact as its own size allows. Where f is a line (dark pixels) it stays as it is.

Source: CIE 15, Colorimetry, for f.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..linear import emit
from ..linear.form import Form
from ..linear.trace import trace
from ..patterns import affine, clip_limits
from ..rule import Approx, Change, Outcome, Rule

_THIRD = 1 / 3
_SAME = 1e-4
_CLOSE = 1e-3
"""CIELAB's line and root meet to four digits."""
_PICKS = frozenset({"Gather", "Slice"})


@dataclass(frozen=True)
class _Root:
    """One channel of f(t): where(t > limit, cbrt(t), line)."""

    number: int
    whole: str
    t: str
    limit: float


def find(editor: Editor, node: Node) -> Outcome:
    """The difference of two channels of f(t)."""
    if _decided(editor, node):
        return None
    first, second = (_channel(editor, name) for name in node.inputs)
    if first is None or second is None or first.whole != second.whole:
        return None
    form = trace(editor, first.t)
    if form is None or form.flat or not form.pointwise or form.sources == (first.t,):
        return None
    if max(first.number, second.number) >= form.rows or not _channels_first(form):
        return None
    one, other = first.number, second.number

    def apply() -> None:
        b = Builder(editor, like=node)
        shape = b.shape(node.output)
        apart = replace(
            form, kernel=form.kernel[one : one + 1] - form.kernel[other : other + 1],
            bias=form.bias[one : one + 1] - form.bias[other : other + 1], lead=(1, 1),
        )  # fmt: skip
        cubes = b.reshape(emit.convolution(b, apart), shape)
        u, v = node.inputs
        below = b.sum([b.op("Mul", u, u), b.op("Mul", u, v), b.op("Mul", v, v)])
        # f rises with t: both are roots where the smaller one is
        both = b.op("Greater", b.op("Min", u, v), first.limit**_THIRD)
        made = b.op("Where", both, b.op("Div", cubes, below), b.op("Sub", u, v))
        b.commit([node], {node.output: made})

    return Change(apply, nodes=(node,))


def _decided(editor: Editor, node: Node) -> bool:
    """Whether this rule has made the node: what is taken where f is a line."""
    return any(
        reader.op == "Where"
        and reader.inputs[2] == node.output
        and (other := editor.producer(reader.inputs[1])) is not None
        and other.op == "Div"
        for reader in editor.consumers(node.output)
    )


def _channels_first(form: Form) -> bool:
    """Whether the channels of the value are its only other dimension."""
    return form.rows == max(form.lead, default=1)


def _channel(editor: Editor, value: str) -> _Root | None:
    """Which channel of which f(t) a value is."""
    pick = editor.producer(value)
    if pick is None or pick.op not in _PICKS:
        return None
    number = _number(editor, pick)
    whole = editor.producer(pick.inputs[0])
    if number is None or whole is None or whole.op != "Where":
        return None
    above, power = editor.producer(whole.inputs[0]), editor.producer(whole.inputs[1])
    if above is None or above.op != "Greater" or power is None or power.op != "Pow":
        return None
    limit, exponent = editor.scalar(above.inputs[1]), editor.scalar(power.inputs[1])
    if limit is None or limit <= 0 or exponent is None or abs(exponent - _THIRD) > _SAME:
        return None
    t = above.inputs[0]
    if not _is_root(editor, power.inputs[0], t, limit):
        return None
    if not _stays_below(editor, whole.inputs[2], t, limit):
        return None
    return _Root(number, whole.output, t, limit)


def _is_root(editor: Editor, base: str, t: str, limit: float) -> bool:
    """Whether what the root is taken of is t wherever t is above the limit."""
    guard = editor.producer(base)
    if base == t or guard is None:
        return base == t
    limits = clip_limits(editor, guard)
    unchanged = limits is not None and limits[0] <= limit * (1 + _SAME) and math.isinf(limits[1])
    return unchanged and guard.inputs[0] == t


def _stays_below(editor: Editor, line: str, t: str, limit: float) -> bool:
    """Whether the line rises with t, and ends where the root begins: f then tells which it is."""
    made, base = affine(editor, line), affine(editor, t)
    if made.source != base.source or not base.scale:
        return False
    slope = made.scale / base.scale
    end = slope * (limit - base.shift) + made.shift
    return slope >= 0 and end <= limit**_THIRD * (1 + _CLOSE)


def _number(editor: Editor, pick: Node) -> int | None:
    """The channel that is picked along the third axis from the end."""
    shape = editor.shape(pick.inputs[0])
    if shape is None or len(shape) < 3:
        return None
    channel = len(shape) - 3
    if pick.op == "Gather":
        index = editor.constant(pick.inputs[1])
        if index is None or index.size != 1 or pick.attrs.get("axis", 0) % len(shape) != channel:
            return None
        return int(index.reshape(-1)[0]) % shape[channel]
    given = [editor.ints(pick.input(i)) if pick.input(i) else None for i in range(1, 4)]
    starts, ends, axes = given
    if starts is None or ends is None or axes is None or pick.input(4):
        return None
    if [a % len(shape) for a in axes] != [channel]:
        return None
    start = starts[0] % shape[channel]
    return start if ends[0] == start + 1 else None


RULES = (
    Rule(
        "difference-of-cube-roots", "needed", Approx(1.0, of_scale=2.0**-10, flips=0.01),
        "a difference of cube roots from the difference of their cubes",
        ("Sub",), find, order=32,
    ),
)  # fmt: skip
