"""Ranges through the stages that compute; arithmetic as docs/blob-format.md section 4 gives it.

A rule gets the stage and memory, and returns the range of what the stage stores, before rounding:
1-d bounds for one range a channel, 0-d for one range for all. Stages that only move data (module
`moves`) move the map's entries and return None.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..blob.records import Stage
from ..numerics.intervals import UNBOUNDED, Interval, hull, make
from ..numerics.intervals import arithmetic as ar
from ..numerics.intervals.activations import sigmoid
from ..numerics.intervals.elementwise import power
from .context import RULES, Context, rule
from .weights import convolution, deconvolution, fully_connected, product


@rule(111)
def _convert(ctx: Context) -> Interval:
    scale, bias = ctx.number("scale"), ctx.number("bias")
    return ar.add(ar.scale(ctx.value(0), scale), make(bias, bias))


@rule(26)
def _power(ctx: Context) -> Interval:
    scale, bias = ctx.number("scale"), ctx.number("bias")
    inner = ar.add(ar.scale(ctx.value(0), scale), make(bias, bias))
    return ar.widen_relative(power(inner, ctx.number("power")), 1e-6)


@rule(6, 44, 45, 46)
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


@rule(57)
def _clamp(ctx: Context) -> Interval:
    return ar.clip(ctx.value(0), ctx.number("min_value"), ctx.number("max_value"))


@rule(9)
def _bias(ctx: Context) -> Interval:
    return ar.add(ctx.value(0), ctx.value(2))


@rule(15, 47)
def _scale_shift(ctx: Context) -> Interval:
    scaled = ar.multiply(ctx.value(0), ctx.value(2))
    return ar.add(scaled, ctx.value(3)) if ctx.stage.type_id == 47 else scaled


@rule(10)
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


@rule(135, 131, 132, 137)
def _dips(ctx: Context) -> Interval:
    """Swish, Mish, Gelu, HSwish: between the input and 0, and a little below 0."""
    x = ctx.value(0)
    return make(np.where(x.lo >= 0, 0.0, -2.0), np.maximum(x.hi, 0.0), x.nan or not x.finite)


@rule(92)
def _log(ctx: Context) -> Interval:
    x = ctx.value(0)
    positive = make(np.maximum(x.lo, 0), np.maximum(x.hi, 0), x.nan or bool(np.any(x.lo < 0)))
    return ar.widen(ar.monotone(positive, np.log), 1e-4)


@rule(12, 13, 14, 75, 76, 77, *range(78, 91), 142)
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


@rule(105, 112, 114)
def _reduce(ctx: Context) -> Interval:
    return ctx.value(0).flat()


@rule(113)
def _reduce_sum(ctx: Context) -> Interval:
    count = ctx.buffer(0).desc.elements // max(ctx.buffer(1).desc.elements, 1)
    return ar.scale(ctx.value(0).flat(), float(max(count, 1)) * 1.0001)


@rule(62)
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
