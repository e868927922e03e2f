"""Bounds of values that hold for every input: enough to decide whether a rule may apply.

Plain interval arithmetic in the reals, each node by itself: a value may be narrower than said
here, never wider. It knows what rules ask: can a value be NaN or infinite (then IsNaN is not
constant), is it an integer small enough for FP16 to hold, is it ever negative. FP16 rounding
and chains of linear operators taken together are the business of `numerics`, not of these bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .editor import Array, Editor
from .node import Node

INF = math.inf
FP16_MAX = 65504.0
FP16_EXACT_INTEGERS = 2048


@dataclass(frozen=True)
class Interval:
    """All elements of a value lie in low..high; `nan` if one of them may be NaN.

    Attributes:
        low, high: may be infinite.
        nan: whether NaN is possible.
        integral: every element is an integer, and computed from integers alone: FP16 makes no
            error in it while it stays small.
        step: every element is a multiple of this, mathematically; 0 if nothing is known. Pixels
            divided by 255 have 1/255.
    """

    low: float = -INF
    high: float = INF
    nan: bool = True
    integral: bool = False
    step: float = 0.0

    @property
    def whole(self) -> bool:
        """Every element is mathematically an integer, whatever rounding did to it."""
        nearest = round(self.step)
        near = nearest >= 1 and abs(self.step - nearest) < 1e-5 * nearest
        return not self.nan and (self.integral or near)

    @property
    def finite(self) -> bool:
        """Neither infinite nor NaN."""
        return not self.nan and math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def magnitude(self) -> float:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))

    @property
    def exact_in_fp16(self) -> bool:
        """Integers that FP16 holds exactly."""
        return self.integral and not self.nan and self.magnitude <= FP16_EXACT_INTEGERS


ANYTHING = Interval()
_MASK = Interval(0.0, 1.0, False, True)
UNKNOWN_INPUT = Interval(-255.0, 255.0, False, False)
"""What is taken for granted of an input whose range nobody gave."""

_FIRST = frozenset(
    [
        "Identity",
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Slice",
        "Gather",
        "GatherND",
        "GatherElements",
        "Expand",
        "Tile",
        "Split",
        "DepthToSpace",
        "SpaceToDepth",
        "MaxPool",
        "GlobalMaxPool",
        "ReduceMax",
        "ReduceMin",
        "Dropout",
        "Upsample",
        "ReverseSequence",
        "Trilu",
    ]
)
_AVERAGES = frozenset(["AveragePool", "GlobalAveragePool", "ReduceMean", "Mean"])
_MASKS = frozenset(
    [
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Equal",
        "And",
        "Or",
        "Xor",
        "Not",
        "IsNaN",
        "IsInf",
    ]
)
_MONOTONE: Mapping[str, Callable[[float], float]] = {
    "Relu": lambda v: max(v, 0.0),
    "Exp": lambda v: math.exp(v) if v < 700 else INF,
    "Tanh": math.tanh,
    "Atan": math.atan,
    "Erf": math.erf,
    "Sigmoid": lambda v: 1 / (1 + math.exp(-v)) if v > -700 else 0.0,
    "Softplus": lambda v: math.log1p(math.exp(v)) if v < 700 else v,
    "Sinh": lambda v: math.sinh(v) if abs(v) < 700 else math.copysign(INF, v),
    "Asinh": math.asinh,
}
_ROUNDING: Mapping[str, Callable[[float], float]] = {
    "Floor": math.floor, "Ceil": math.ceil, "Round": round,
}  # fmt: skip


class Bounds:
    """Bounds of an editor's values, computed when asked and kept by name.

    Value names stand for the same values through all rewriting, so results stay true while the
    graph changes.

    Args:
        editor: the graph.
        ranges: known ranges of graph inputs; others are taken as -255..255, as pixels and their
            differences are.
        earlier: bounds of an earlier state of the same graph.
    """

    def __init__(
        self,
        editor: Editor,
        ranges: Mapping[str, tuple[float, float]] | None = None,
        earlier: Bounds | None = None,
    ) -> None:
        self.editor = editor
        self._known: dict[str, Interval] = {
            name: Interval(float(low), float(high), False, name in editor.whole_inputs, 1.0)
            if name in editor.whole_inputs
            else Interval(float(low), float(high), False)
            for name, (low, high) in (ranges or {}).items()
        }
        if earlier is not None:
            self._known.update(earlier._known)

    def of(self, value: str) -> Interval:
        """Bounds of a value; `ANYTHING` where nothing is known."""
        pending = [value]
        while pending:
            name = pending[-1]
            if name in self._known:
                pending.pop()
                continue
            node = self.editor.producer(name)
            if node is None:
                self._known[name] = self._leaf(name)
                continue
            missing = [r for r in node.inputs if r and r not in self._known]
            if missing and node.op in _READS_INPUTS:
                pending.extend(missing)
                continue
            self._known.update(self._node(node))
            self._known.setdefault(name, ANYTHING)
        return self._known[value]

    def _leaf(self, name: str) -> Interval:
        array = self.editor.constant(name)
        if array is None:
            integral = (dtype := self.editor.dtype(name)) is not None and dtype.kind in "iub"
            return replace(UNKNOWN_INPUT, integral=integral, step=float(integral))
        return of_array(array)

    def _node(self, node: Node) -> dict[str, Interval]:
        inputs = [self._known.get(i, ANYTHING) for i in node.inputs]
        result = _interval(self.editor, node, inputs)
        step = max(_step(self.editor, node, inputs), float(result.integral))
        result = replace(result, step=step)
        if result.whole and _exact_factor(self.editor, node) and inputs[0].integral:
            result = replace(result, integral=True)
        dtype = self.editor.dtype(node.output)
        if dtype is not None and dtype.kind in "iu" and not result.integral:
            result = Interval(result.low, result.high, False, True)
        if dtype is not None and dtype.kind == "b":
            result = _MASK
        return {o: result for o in node.outputs if o}


def of_array(array: Array) -> Interval:
    """Bounds of a constant's elements."""
    if array.dtype.kind not in "fiub" or array.size == 0:
        return ANYTHING
    values = array.astype(np.float64)
    finite = values[~np.isnan(values)]
    nan = finite.size < values.size
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (-INF, INF)
    integral = not nan and bool(np.all(np.isfinite(finite)) and np.all(finite == np.rint(finite)))
    return Interval(low, high, nan, integral, float(integral))


def union(items: Sequence[Interval]) -> Interval:
    """The smallest interval that holds all."""
    return Interval(
        min(i.low for i in items),
        max(i.high for i in items),
        any(i.nan for i in items),
        all(i.integral for i in items),
    )


def _sum(a: Interval, b: Interval) -> Interval:
    nan = (a.low == -INF and b.high == INF) or (a.high == INF and b.low == -INF)
    low, high = a.low + b.low, a.high + b.high
    low = -INF if math.isnan(low) else low
    high = INF if math.isnan(high) else high
    return Interval(low, high, a.nan or b.nan or nan, a.integral and b.integral)


def _negated(a: Interval) -> Interval:
    return Interval(-a.high, -a.low, a.nan, a.integral)


def _product(a: Interval, b: Interval) -> Interval:
    corners = [x * y if x and y else 0.0 for x in (a.low, a.high) for y in (b.low, b.high)]
    zero_times_inf = (math.isinf(a.magnitude) and b.low <= 0 <= b.high) or (
        math.isinf(b.magnitude) and a.low <= 0 <= a.high
    )
    return Interval(
        min(corners), max(corners), a.nan or b.nan or zero_times_inf, a.integral and b.integral
    )


def _reciprocal(a: Interval) -> Interval:
    if a.low > 0 or a.high < 0:
        return Interval(1 / a.high, 1 / a.low, a.nan)
    return Interval(-INF if a.low < 0 else 0.0, INF, a.nan)


def _quotient(a: Interval, b: Interval) -> Interval:
    nan = a.nan or b.nan
    if b.low <= 0 <= b.high:
        zero_by_zero = a.low <= 0 <= a.high
        if a.low >= 0 and b.low >= 0:
            return Interval(0.0, INF, nan or zero_by_zero)
        return Interval(-INF, INF, nan or zero_by_zero)
    both_infinite = math.isinf(a.magnitude) and math.isinf(b.magnitude)
    found = _product(Interval(a.low, a.high, nan), _reciprocal(b))
    return Interval(found.low, found.high, nan or both_infinite)


def _power(a: Interval, exponent: float | None) -> Interval:
    if exponent is None:
        return ANYTHING if a.low < 0 or a.nan else Interval(0.0, INF, False)
    even = exponent == int(exponent) and int(exponent) % 2 == 0
    if a.low < 0 and exponent != int(exponent):
        return ANYTHING
    if exponent < 0:
        return _reciprocal(_power(a, -exponent))

    def raised(v: float) -> float:
        try:
            return float(abs(v) ** exponent) * (1 if even or v >= 0 else -1)
        except OverflowError:
            return INF if even or v >= 0 else -INF

    ends = [raised(a.low), raised(a.high)]
    low = 0.0 if even and a.low <= 0 <= a.high else min(ends)
    return Interval(low, max(ends), a.nan, a.integral and exponent == int(exponent))


def _weighted(x: Interval, rows: Array, bias: Array | None) -> Interval:
    """Bounds of rows @ x + bias, for rows of constant weights; x may also be padded by 0."""
    low, high = min(x.low, 0.0), max(x.high, 0.0)
    if math.isinf(low) or math.isinf(high):
        return ANYTHING
    rows = rows.astype(np.float64)
    up = np.maximum(rows, 0).sum(1)
    down = np.minimum(rows, 0).sum(1)
    offset = 0.0 if bias is None else bias.astype(np.float64)
    lows, highs = up * low + down * high + offset, up * high + down * low + offset
    integral = x.integral and bool(np.all(rows == np.rint(rows))) and bias is None
    return Interval(float(lows.min()), float(highs.max()), x.nan, integral)


def _interval(editor: Editor, node: Node, x: list[Interval]) -> Interval:
    op = node.op
    if op in _FIRST:
        return x[0]
    if op in _AVERAGES:
        first = union(x)
        if op == "AveragePool":
            first = union([first, Interval(0.0, 0.0, False, True)])
        return Interval(first.low, first.high, first.nan)
    if op in _MASKS:
        return _MASK
    if op in _MONOTONE:
        return Interval(_MONOTONE[op](x[0].low), _MONOTONE[op](x[0].high), x[0].nan)
    if op in _ROUNDING:
        ends = [v if math.isinf(v) else float(_ROUNDING[op](v)) for v in (x[0].low, x[0].high)]
        return Interval(ends[0], ends[1], x[0].nan, not any(map(math.isinf, ends)))
    if op in ("Add", "Sum"):
        total = x[0]
        for other in x[1:]:
            total = _sum(total, other)
        return total
    if op == "Sub":
        remainder = _remainder(editor, node, x[0])
        if remainder is not None:
            return remainder
        return _sum(x[0], _negated(x[1]))
    if op == "Mul":
        if node.inputs[0] == node.inputs[1]:
            return _power(x[0], 2.0)
        return _product(x[0], x[1])
    if op == "Div":
        return _quotient(x[0], x[1])
    if op == "Reciprocal":
        return _reciprocal(x[0])
    if op == "Neg":
        return _negated(x[0])
    if op == "Abs":
        low = 0.0 if x[0].low <= 0 <= x[0].high else min(abs(x[0].low), abs(x[0].high))
        return Interval(low, x[0].magnitude, x[0].nan, x[0].integral)
    if op == "Sign":
        return Interval(-1.0, 1.0, x[0].nan, True)
    if op in ("Sin", "Cos"):
        return Interval(-1.0, 1.0, not x[0].finite)
    if op == "Sqrt":
        return Interval(
            math.sqrt(max(x[0].low, 0.0)), math.sqrt(max(x[0].high, 0.0)), x[0].nan or x[0].low < 0
        )
    if op == "Log":
        low, high = (math.log(v) if v > 0 else -INF for v in (x[0].low, x[0].high))
        return Interval(low, high, x[0].nan or x[0].low < 0)
    if op == "Pow":
        return _power(x[0], editor.scalar(node.inputs[1]))
    if op in ("Max", "Min"):
        pick = max if op == "Max" else min
        nan, integral = any(i.nan for i in x), all(i.integral for i in x)
        return Interval(pick(i.low for i in x), pick(i.high for i in x), nan, integral)
    if op == "Clip":
        return _clip(editor, node, x)
    if op in ("Concat",):
        return union(x)
    if op == "Where":
        return union(x[1:3])
    if op == "Pad":
        if node.attrs.get("mode", "constant") != "constant":
            return x[0]
        fill = editor.scalar(node.input(2)) if node.input(2) else 0.0
        return ANYTHING if fill is None else union([x[0], of_array(np.array(fill))])
    if op == "Cast":
        return _cast(editor, node, x[0])
    if op in ("ReduceSum", "ReduceL1", "ReduceSumSquare", "ReduceL2"):
        return _reduced_sum(editor, node, x[0])
    if op in ("Conv", "MatMul", "Gemm"):
        return _linear(editor, node, x)
    if op in ("Softmax", "Hardmax"):
        return Interval(0.0, 1.0, not x[0].finite)
    if op == "Resize":
        mode = node.attrs.get("mode", "nearest")
        if mode == "cubic":
            return _sum(x[0], Interval(-0.5 * x[0].magnitude, 0.5 * x[0].magnitude, False))
        return Interval(x[0].low, x[0].high, x[0].nan, x[0].integral and mode == "nearest")
    if op == "GridSample":
        zero = union([x[0], Interval(0.0, 0.0, False, True)])
        cubic = str(node.attrs.get("mode", "")).endswith("cubic")
        extra = 0.5 * zero.magnitude if cubic else 0.0
        return Interval(zero.low - extra, zero.high + extra, zero.nan)
    if op in ("ArgMax", "ArgMin"):
        return Interval(0.0, FP16_MAX, False, True)
    return ANYTHING


def _remainder(editor: Editor, node: Node, x: Interval) -> Interval | None:
    """x - floor(x / n) * n, as exporters write a remainder: in 0..n."""
    product = editor.producer(node.inputs[1])
    if product is None or product.op != "Mul":
        return None
    for index in (0, 1):
        size, floor = (
            editor.scalar(product.inputs[index]),
            editor.producer(product.inputs[1 - index]),
        )
        if size is None or size <= 0 or floor is None or floor.op != "Floor":
            continue
        quotient = editor.producer(floor.inputs[0])
        if (
            quotient is not None
            and quotient.op == "Div"
            and quotient.inputs[0] == node.inputs[0]
            and editor.scalar(quotient.inputs[1]) == size
        ):
            integral = x.integral and size == int(size)
            return Interval(0.0, size - 1 if integral else size, not x.finite, integral)
    return None


def _step(editor: Editor, node: Node, x: list[Interval]) -> float:
    """Of what every element of a node's result is a multiple; 0 if that is not known."""
    op = node.op
    if op in _FIRST or op in ("Neg", "Abs", "Relu", "ReduceSum", "Identity"):
        return x[0].step
    if op in ("Mul", "Div"):
        for index in (0, 1):
            factor = editor.scalar(node.inputs[index])
            if factor and x[1 - index].step and math.isfinite(factor):
                if op == "Mul":
                    return x[1 - index].step * abs(factor)
                return x[0].step / abs(factor) if index == 1 else 0.0
        return 0.0
    if op == "Sub":
        whole = _whole_part(editor, node)
        if whole:
            return whole
    if op in ("Add", "Sub", "Concat", "Where", "Max", "Min", "Clip", "Pad"):
        parts = [i for i, name in zip(x, node.inputs, strict=True) if name]
        if op == "Where":
            parts = parts[1:]
        if op == "Pad":
            fill = editor.scalar(node.input(2)) if node.input(2) else 0.0
            return x[0].step if fill == 0 or node.attrs.get("mode") != "constant" else 0.0
        return _common([p for p in parts if (p.low, p.high) != (0.0, 0.0)])
    return 0.0


def _whole_part(editor: Editor, node: Node) -> float:
    """n where the node is x - (x mod n), which is a multiple of it; 0 for anything else."""
    rest = editor.producer(node.inputs[1])
    if rest is None or rest.op != "Sub" or rest.inputs[0] != node.inputs[0]:
        return 0.0
    found = _remainder(editor, rest, replace(ANYTHING, nan=False))
    return found.high if found is not None else 0.0


def _exact_factor(editor: Editor, node: Node) -> bool:
    """Whether a node divides or multiplies by a power of two, which rounds nothing."""
    factor = editor.scalar(node.inputs[1]) if node.op in ("Mul", "Div") else None
    return factor is not None and factor > 0 and math.log2(factor) == int(math.log2(factor))


def _common(parts: Sequence[Interval]) -> float:
    """A step that all share: the smallest, if the others are multiples of it."""
    steps = [p.step or (abs(p.low) if p.low == p.high else 0.0) for p in parts]
    if not steps or not all(steps):
        return 0.0
    least = min(steps)
    ratios = [s / least for s in steps]
    return least if all(abs(r - round(r)) < 1e-5 * r for r in ratios) else 0.0


def _clip(editor: Editor, node: Node, x: list[Interval]) -> Interval:
    if "min" in node.attrs or "max" in node.attrs:
        low, high = node.attrs.get("min", -INF), node.attrs.get("max", INF)
    else:
        low = x[1].low if node.input(1) else -INF
        high = x[2].high if node.input(2) else INF
    return Interval(
        min(max(x[0].low, low), high), max(min(x[0].high, high), low), x[0].nan, x[0].integral
    )


def _cast(editor: Editor, node: Node, x: Interval) -> Interval:
    dtype = editor.dtype(node.output)
    if dtype is not None and dtype.kind in "iu":
        ends = [v if math.isinf(v) else float(math.trunc(v)) for v in (x.low, x.high)]
        return Interval(ends[0], ends[1], False, True)
    return x


def _reduced_sum(editor: Editor, node: Node, x: Interval) -> Interval:
    shape, out = editor.shape(node.inputs[0]), editor.shape(node.output)
    if shape is None or out is None or not math.prod(out):
        return ANYTHING
    count = math.prod(shape) / math.prod(out)
    if node.op == "ReduceL1":
        x = Interval(0.0, x.magnitude, x.nan, x.integral)
    if node.op in ("ReduceSumSquare", "ReduceL2"):
        x = _power(x, 2.0)
    if node.op == "ReduceL2":
        return Interval(0.0, math.sqrt(count * x.high), x.nan)
    return _product(x, Interval(count, count, False, True))


def _linear(editor: Editor, node: Node, x: list[Interval]) -> Interval:
    left, right = (editor.constant(node.inputs[i]) for i in (0, 1))
    if node.op == "Conv" and right is not None:
        bias = editor.constant(node.input(2)) if node.input(2) else None
        if node.input(2) and bias is None:
            return ANYTHING
        return _weighted(x[0], right.reshape(right.shape[0], -1), bias)
    if node.op == "MatMul" and right is not None and right.ndim >= 2:
        return _weighted(x[0], np.swapaxes(right, -1, -2).reshape(-1, right.shape[-2]), None)
    if node.op == "MatMul" and left is not None and left.ndim >= 2:
        return _weighted(x[1], left.reshape(-1, left.shape[-1]), None)
    return ANYTHING


_READS_INPUTS = (
    _FIRST
    | _AVERAGES
    | set(_MONOTONE)
    | set(_ROUNDING)
    | frozenset(
        [
            "Add",
            "Sum",
            "Sub",
            "Mul",
            "Div",
            "Reciprocal",
            "Neg",
            "Abs",
            "Sqrt",
            "Log",
            "Pow",
            "Max",
            "Min",
            "Clip",
            "Concat",
            "Where",
            "Pad",
            "Cast",
            "ReduceSum",
            "ReduceL1",
            "ReduceL2",
            "ReduceSumSquare",
            "Conv",
            "MatMul",
            "Gemm",
            "Softmax",
            "Hardmax",
            "Resize",
            "GridSample",
            "Sin",
            "Cos",
            "Sign",
        ]
    )
)


def bounds(editor: Editor, value: str) -> Interval:
    """Bounds of a value, kept with the editor between calls."""
    calculator = editor.memo.get("bounds")
    if not isinstance(calculator, Bounds) or calculator.editor is not editor:
        calculator = Bounds(editor, editor.ranges, calculator)
        editor.memo["bounds"] = calculator
    return calculator.of(value)
