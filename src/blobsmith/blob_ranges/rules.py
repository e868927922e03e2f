"""Ranges through each stage type; arithmetic as docs/blob-format.md section 4 gives it.

A rule gets the stage and memory, and returns the range of what the stage stores, before rounding:
1-d bounds for one range a channel, 0-d for one range for all. Stages that only move data move the
map's entries and return None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..blob.records import Buffer, Location, Stage
from ..numerics.intervals import UNBOUNDED, Interval, hull, make
from ..numerics.intervals import arithmetic as ar
from ..numerics.intervals.activations import sigmoid
from ..numerics.intervals.elementwise import power
from .regions import Memory
from .weights import convolution, deconvolution, fully_connected, product

Rule = Callable[["Context"], "Interval | None"]


@dataclass
class Context:
    """One stage while its range is found."""

    stage: Stage
    memory: Memory

    def number(self, name: str) -> float:
        """A numeric parameter."""
        value = self.stage.fields[name]
        return float(value) if not isinstance(value, tuple) else float(value[0])

    def value(self, index: int) -> Interval:
        """The range of an operand."""
        return self.memory.read(self.stage.buffers[index])

    def buffer(self, index: int) -> Buffer:
        """An operand."""
        return self.stage.buffers[index]


RULES: dict[int, Rule] = {}


def _rule(*types: int) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for kind in types:
            RULES[kind] = function
        return function

    return register


# ------------------------------------------------------------------ movement


@_rule(19, 56)
def _copy(ctx: Context) -> None:
    source = ctx.memory.view(ctx.buffer(0)).copy()
    ctx.memory.put(ctx.buffer(1), source.reshape(ctx.buffer(1).desc.shape))


@_rule(34)
def _permute(ctx: Context) -> None:
    order = ctx.stage.fields["permutation"]
    assert isinstance(order, tuple)
    rank = len(ctx.buffer(0).desc.dims)
    axes = [rank - 1 - order[rank - 1 - k] for k in range(rank)]
    ctx.memory.put(ctx.buffer(1), ctx.memory.view(ctx.buffer(0)).copy().transpose(axes))


@_rule(28)
def _tile(ctx: Context) -> None:
    source = ctx.memory.view(ctx.buffer(0)).copy()
    axis = source.ndim - 1 - int(ctx.number("axis"))
    repeats = [1] * source.ndim
    repeats[axis] = int(ctx.number("tiles"))
    ctx.memory.put(ctx.buffer(1), np.tile(source, repeats))


@_rule(71)
def _pad(ctx: Context) -> Interval | None:
    begins, ends = ctx.stage.fields["begins"], ctx.stage.fields["ends"]
    assert isinstance(begins, tuple)
    assert isinstance(ends, tuple)
    source = ctx.memory.view(ctx.buffer(0)).copy()
    pads = [(begins[i], ends[i]) for i in range(source.ndim)][::-1]
    mode = {0: "constant", 1: "edge", 2: "reflect", 3: "symmetric"}[int(ctx.number("mode"))]
    if mode == "constant":
        fill = int(ctx.memory.add(make(ctx.number("value"), ctx.number("value")))[0])
        ctx.memory.put(ctx.buffer(1), np.pad(source, pads, constant_values=fill))
    else:
        ctx.memory.put(ctx.buffer(1), np.pad(source, pads, mode=mode))  # type: ignore[call-overload]
    return None


@_rule(100)
def _gather(ctx: Context) -> Interval | None:
    if ctx.buffer(2).location is not Location.BLOB:
        return ctx.value(0).flat()
    source = ctx.memory.view(ctx.buffer(0)).copy()
    axis = source.ndim - 1 - int(ctx.number("axis"))
    where = ctx.memory.constants(ctx.buffer(2)).astype(np.int64)
    taken = np.take(source, where, axis)
    target = ctx.buffer(1).desc.shape
    if taken.size != int(np.prod(target)):
        return ctx.value(0).flat()
    ctx.memory.put(ctx.buffer(1), taken.reshape(target))
    return None


@_rule(72, 1, 60, 133)
def _selects(ctx: Context) -> Interval:
    """Elements of the same channel."""
    value = ctx.value(0)
    return value.flat() if ctx.stage.type_id == 133 else value


@_rule(139)
def _selects_anywhere(ctx: Context) -> Interval:
    return ctx.value(0).flat()


@_rule(73, 2, 67)
def _mixes(ctx: Context) -> Interval:
    """Means of elements of the same channel, zeros among them where there is padding."""
    value = ctx.value(0)
    if ctx.stage.type_id == 67:
        return value
    pads = ctx.stage.type_id == 2 and not ctx.number("pad_left") and not ctx.number("pad_top")
    if pads and _inside(ctx):
        return value
    return make(np.minimum(value.lo, 0), np.maximum(value.hi, 0), value.nan)


def _inside(ctx: Context) -> bool:
    """Whether no pooling window reaches beyond the input."""
    before = dict(zip(ctx.buffer(0).desc.dim_ids, ctx.buffer(0).desc.dims, strict=True))
    after = dict(zip(ctx.buffer(1).desc.dim_ids, ctx.buffer(1).desc.dims, strict=True))
    spans = ((0, "w"), (1, "h"))
    return all(
        (after.get(d, 1) - 1) * ctx.number(f"stride_{s}") + ctx.number(f"kernel_{s}")
        <= before.get(d, 1)
        for d, s in spans
    )


# ------------------------------------------------------------------ element by element


@_rule(111)
def _convert(ctx: Context) -> Interval:
    scale, bias = ctx.number("scale"), ctx.number("bias")
    return ar.add(ar.scale(ctx.value(0), scale), make(bias, bias))


@_rule(26)
def _power(ctx: Context) -> Interval:
    scale, bias = ctx.number("scale"), ctx.number("bias")
    inner = ar.add(ar.scale(ctx.value(0), scale), make(bias, bias))
    return ar.widen_relative(power(inner, ctx.number("power")), 1e-6)


@_rule(6, 44, 45, 46)
def _relu(ctx: Context) -> Interval:
    value = ctx.value(0)
    if ctx.stage.type_id in (45, 46):
        value = ar.add(value, ctx.value(2))
    return _leaky(value, ctx.number("negative_slope"))


def _leaky(value: Interval, slope: float) -> Interval:
    below = ar.scale(make(np.minimum(value.lo, 0), np.minimum(value.hi, 0), value.nan), slope)
    above = make(np.maximum(value.lo, 0), np.maximum(value.hi, 0), value.nan)
    lo = np.where(value.lo >= 0, above.lo, np.where(value.hi <= 0, below.lo,
                                                    np.minimum(below.lo, 0)))  # fmt: skip
    hi = np.where(value.lo >= 0, above.hi, np.where(value.hi <= 0, below.hi,
                                                    np.maximum(above.hi, below.hi)))  # fmt: skip
    return ar.mixed(make(lo, hi, value.nan), 0.0, 0.0)


@_rule(57)
def _clamp(ctx: Context) -> Interval:
    return ar.clip(ctx.value(0), ctx.number("min_value"), ctx.number("max_value"))


@_rule(9)
def _bias(ctx: Context) -> Interval:
    return ar.add(ctx.value(0), ctx.value(2))


@_rule(15, 47)
def _scale_shift(ctx: Context) -> Interval:
    scaled = ar.multiply(ctx.value(0), ctx.value(2))
    return ar.add(scaled, ctx.value(3)) if ctx.stage.type_id == 47 else scaled


@_rule(10)
def _prelu(ctx: Context) -> Interval:
    value, slope = ctx.value(0), ctx.value(2)
    below = ar.multiply(make(np.minimum(value.lo, 0), np.minimum(value.hi, 0), value.nan), slope)
    return hull(below, make(np.maximum(value.lo, 0), np.maximum(value.hi, 0), value.nan))


def _function(kind: int, apply: Callable[[Interval], Interval]) -> None:
    RULES[kind] = lambda ctx: apply(ctx.value(0))


_function(20, lambda x: ar.clip(ar.widen(ar.monotone(x, sigmoid), 1e-5), 0.0, 1.0))
_function(21, lambda x: ar.clip(ar.widen(ar.monotone(x, np.tanh), 1e-5), -1.0, 1.0))
_function(101, lambda x: ar.widen_relative(ar.monotone(x, np.exp), 1e-5))
_function(102, lambda x: ar.monotone(x, np.floor))
_function(138, lambda x: ar.monotone(x, np.ceil))
_function(140, lambda x: ar.monotone(x, np.round))
_function(142, ar.absolute)
_function(134, lambda x: ar.widen(ar.monotone(x, lambda v: np.logaddexp(0.0, v)), 1e-5))
_function(110, lambda x: make(-1.0, 1.0, x.nan))
_function(3, lambda x: make(0.0, 1.0, x.nan or not x.finite))
_function(23, lambda x: make(np.maximum(np.minimum(x.lo, 0), -16.0), np.maximum(x.hi, 0), x.nan))


@_rule(135, 131, 132, 137)
def _dips(ctx: Context) -> Interval:
    """Swish, Mish, Gelu, HSwish: between the input and 0, and a little below 0."""
    x = ctx.value(0)
    return make(np.where(x.lo >= 0, 0.0, -2.0), np.maximum(x.hi, 0.0), x.nan or not x.finite)


@_rule(92)
def _log(ctx: Context) -> Interval:
    x = ctx.value(0)
    positive = make(np.maximum(x.lo, 0), np.maximum(x.hi, 0), x.nan or bool(np.any(x.lo < 0)))
    return ar.widen(ar.monotone(positive, np.log), 1e-4)


@_rule(12, 13, 14, 75, 76, 77, *range(78, 91), 142)
def _eltwise(ctx: Context) -> Interval:
    kind, a = ctx.stage.type_id, ctx.value(0)
    if kind == 142:
        return ar.absolute(a)
    if 78 <= kind <= 87:
        return make(0.0, 1.0)
    b = ctx.value(2)
    if not a.uniform and not b.uniform and a.lo.size != b.lo.size:  # no common channels
        a, b = a.flat(), b.flat()
    same = ctx.buffer(0) == ctx.buffer(2)
    if kind == 12:
        result = ar.add(ar.scale(a, ctx.number("coeff1")), ar.scale(b, ctx.number("coeff2")))
    elif kind == 13:
        result = ar.square(a) if same else ar.multiply(a, b)
    elif kind in (14, 76):
        result = ar.maximum(a, b) if kind == 14 else ar.minimum(a, b)
    elif kind == 75:
        result = ar.divide(a, b)
    elif kind == 77:
        result = ar.square(ar.subtract(a, b))
    elif kind == 90:
        result = hull(b, ctx.value(3))
    else:
        return UNBOUNDED
    return _after(ctx, result)


def _after(ctx: Context, value: Interval) -> Interval:
    """The operation that an element-wise stage carries behind it."""
    after = int(ctx.number("post_operation"))
    if after == 6:
        return _leaky(value, 0.0)
    if after == 44:
        return _leaky(value, ctx.number("negative_slope"))
    if after == 57:
        return ar.clip(value, ctx.number("min_value"), ctx.number("max_value"))
    return value


# ------------------------------------------------------------------ sums


@_rule(105, 112, 114)
def _reduce(ctx: Context) -> Interval:
    return ctx.value(0).flat()


@_rule(113)
def _reduce_sum(ctx: Context) -> Interval:
    count = ctx.buffer(0).desc.elements // max(ctx.buffer(1).desc.elements, 1)
    return ar.scale(ctx.value(0).flat(), float(max(count, 1)) * 1.0001)


@_rule(62)
def _mvn(ctx: Context) -> Interval:
    x = ctx.value(0)
    top = float(np.sqrt(ctx.buffer(0).desc.elements)) * 1.01
    return make(-top, top, x.nan or not x.finite)


RULES.update(
    {
        0: convolution,
        8: convolution,
        49: convolution,
        22: deconvolution,
        4: fully_connected,
        91: product,
    }
)


def moves_only(stage: Stage) -> bool:
    """Whether a stage's results are its inputs' elements, so that nothing is rounded."""
    return stage.type_id in (1, 14, 19, 28, 34, 56, 60, 71, 72, 76, 90, 100, 105, 112, 133, 139)
