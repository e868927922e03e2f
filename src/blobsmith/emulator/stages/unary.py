"""Stages that map each element by itself, some with a vector per channel (section 4.3)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from ..arrays import Array
from ..context import Planner, StageContext
from ..operands import Source, Target
from ..primitives import HALF_MAX

Map = Callable[[Array, Array], object]


def _mapped(ctx: StageContext, plan: Callable[[Array, Array], None]) -> None:
    source, target = ctx.source(0), ctx.target(1)
    data = ctx.aligned(source, target.desc)
    if data.shape != target.data.shape:
        raise ctx.fail(f"{data.shape} does not give {target.data.shape}")
    plan(data, target.data)
    ctx.finish(target, source)


def _simple(function: Map) -> Planner:
    def planner(ctx: StageContext) -> None:
        _mapped(ctx, lambda x, out: ctx.then(lambda: function(x, out)))

    return planner


def _sigmoid(x: Array, out: Array) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    np.reciprocal(out, out=out)


def _softplus(x: Array, out: Array) -> None:
    # log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), which does not overflow
    np.copyto(out, np.log1p(np.exp(-np.abs(x))))
    np.add(out, np.maximum(x, 0), out=out)


def _hswish(x: Array, out: Array) -> None:
    np.add(x, np.float32(3), out=out)
    np.clip(out, 0, 6, out=out)
    np.multiply(out, x, out=out)
    np.multiply(out, np.float32(1 / 6), out=out)


def _mish(x: Array, out: Array) -> None:
    _softplus(x, out)
    np.tanh(out, out=out)
    np.multiply(out, x, out=out)


@functools.cache
def _erf_table() -> Array:
    """erf of every half, as FP32; NumPy has no erf."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64)
    return np.array([math.erf(v) for v in halves], np.float64).astype(np.float32)


@functools.cache
def _gelu_table() -> Array:
    """x (1 + erf(x / sqrt 2)) / 2 of every half, as FP32."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64)
    values = [
        v * math.erfc(-v * math.sqrt(0.5)) / 2 if v != -math.inf else -0.0 for v in halves.tolist()
    ]
    return np.array(values, np.float64).astype(np.float32)


def _table(table: Callable[[], Array]) -> Planner:
    """A function of one half, looked up: its operand is FP16, so there are 65536 cases."""

    def planner(ctx: StageContext) -> None:
        source, target = ctx.source(0), ctx.target(1)
        if source.desc.dtype != "fp16":
            raise ctx.fail(f"its operand is {source.desc.dtype}, not fp16")
        data = ctx.aligned(source, target.desc)
        values = table()

        def look_up() -> None:
            bits = data.astype(np.float16).view(np.uint16)  # exact: data came from FP16
            np.copyto(target.data, values[bits])

        ctx.then(look_up)
        ctx.finish(target, source)

    return planner


def power(ctx: StageContext) -> None:
    """Power 26: (x * scale + bias) ^ power."""
    scale, bias = np.float32(ctx.number("scale")), np.float32(ctx.number("bias"))
    exponent = np.float32(ctx.number("power"))

    def plan(x: Array, out: Array) -> None:
        here = x
        if scale != 1:
            ctx.then(lambda: np.multiply(x, scale, out=out))
            here = out
        if bias != 0:
            before = here
            ctx.then(lambda: np.add(before, bias, out=out))
            here = out
        last = here
        if exponent == 1:
            if here is x:
                ctx.then(lambda: np.copyto(out, x))
        elif exponent == 2:
            ctx.then(lambda: np.square(last, out=out))
        elif exponent == 0.5:
            ctx.then(lambda: np.sqrt(last, out=out))
        elif exponent == -1:
            ctx.then(lambda: np.reciprocal(last, out=out))
        elif exponent == -0.5:
            ctx.then(lambda: np.sqrt(last, out=out), lambda: np.reciprocal(out, out=out))
        else:
            ctx.then(lambda: np.power(last, exponent, out=out))

    _mapped(ctx, plan)


def _leak(ctx: StageContext, x: Array, out: Array) -> None:
    slope = np.float32(ctx.number("negative_slope"))
    if ctx.stage.type_id in (6, 45) or slope == 0:
        ctx.then(lambda: np.maximum(x, 0, out=out))
    elif 0 <= slope <= 1:
        low = ctx.scratch.array("leak", out.shape)
        ctx.then(lambda: np.multiply(x, slope, out=low), lambda: np.maximum(x, low, out=out))
    else:
        ctx.then(lambda: np.copyto(out, np.where(x < 0, x * slope, x)))


def relu(ctx: StageContext) -> None:
    """Relu 6 and LeakyRelu 44."""
    if ctx.integer("has_bias"):
        raise ctx.fail("it says it has a bias, which belongs to BiasRelu")
    _mapped(ctx, lambda x, out: _leak(ctx, x, out))


def clamp(ctx: StageContext) -> None:
    """Clamp 57: min(max(x, min), max). A bound that FP16 cannot hold is none."""
    low, high = (np.float32(ctx.number(name)) for name in ("min_value", "max_value"))
    low = low if low >= -HALF_MAX else np.float32(-np.inf)
    high = high if high <= HALF_MAX else np.float32(np.inf)
    _mapped(
        ctx,
        lambda x, out: ctx.then(
            lambda: np.maximum(x, low, out=out), lambda: np.minimum(out, high, out=out)
        ),
    )


def elu(ctx: StageContext) -> None:
    """Elu 23: x above 0, alpha * (e^x - 1) below."""
    alpha = np.float32(ctx.number("alpha"))

    def function(x: Array, out: Array) -> None:
        np.copyto(out, np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))

    _simple(function)(ctx)


def swish(ctx: StageContext) -> None:
    """Swish 135: x / (1 + e^(-beta x))."""
    beta = np.float32(ctx.number("beta"))

    def function(x: Array, out: Array) -> None:
        np.multiply(x, -beta, out=out)
        np.exp(out, out=out)
        np.add(out, 1, out=out)
        np.divide(x, out, out=out)

    _simple(function)(ctx)


def rounding(ctx: StageContext) -> None:
    """Round 140: 0 half to even, 1 half away from zero."""
    mode = ctx.integer("mode")
    if mode not in (0, 1):
        raise ctx.fail(f"rounding mode {mode}")

    def away(x: Array, out: Array) -> None:
        np.copyto(out, np.copysign(np.floor(np.abs(x) + np.float32(0.5)), x))

    _simple(away if mode else lambda x, out: np.rint(x, out=out))(ctx)


def _channel_vector(ctx: StageContext, index: int, target: Target) -> Array:
    """A vector over dimension C (id 2), shaped to broadcast along it."""
    source: Source = ctx.source(index)
    ids = target.desc.dim_ids[::-1]
    if 2 not in ids:
        raise ctx.fail("a vector per channel, but no channels")
    axis = ids.index(2)
    count = target.data.shape[axis]
    if source.data.size not in (1, count):
        raise ctx.fail(f"a vector of {source.data.size} for {count} channels")
    shape = [1] * target.data.ndim
    shape[axis] = source.data.size
    flat = source.data.reshape(-1)
    if not source.constant and not np.may_share_memory(flat, source.data):
        raise ctx.fail("a vector per channel with gaps between its elements")
    return flat.reshape(shape)


def per_channel(ctx: StageContext) -> None:
    """Bias 9, Scale 15, ScaleShift 47, BiasRelu 45, BiasLeakyRelu 46, PRelu 10."""
    kind = ctx.stage.type_id
    source, target = ctx.source(0), ctx.target(1)
    x, out = ctx.aligned(source, target.desc), target.data
    first = _channel_vector(ctx, 2, target)
    if kind in (9, 45, 46):
        ctx.then(lambda: np.add(x, first, out=out))
        if kind != 9:
            _leak(ctx, out, out)
    elif kind == 10:
        ctx.then(lambda: np.copyto(out, np.where(x < 0, x * first, x)))
    else:
        ctx.then(lambda: np.multiply(x, first, out=out))
        if kind == 47:
            second = _channel_vector(ctx, 3, target)
            ctx.then(lambda: np.add(out, second, out=out))
    ctx.finish(target, source)


PLANNERS: dict[int, Planner] = {
    6: relu,
    44: relu,
    45: per_channel,
    46: per_channel,
    9: per_channel,
    10: per_channel,
    15: per_channel,
    47: per_channel,
    20: _simple(_sigmoid),
    21: _simple(lambda x, out: np.tanh(x, out=out)),
    23: elu,
    26: power,
    57: clamp,
    92: _simple(lambda x, out: np.log(x, out=out)),
    101: _simple(lambda x, out: np.exp(x, out=out)),
    102: _simple(lambda x, out: np.floor(x, out=out)),
    110: _table(_erf_table),
    131: _simple(_mish),
    132: _table(_gelu_table),
    134: _simple(_softplus),
    135: swish,
    137: _simple(_hswish),
    138: _simple(lambda x, out: np.ceil(x, out=out)),
    140: rounding,
}
