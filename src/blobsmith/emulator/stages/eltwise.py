"""Eltwise stages: two or three operands, broadcast by dimension id (section 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..arrays import Array
from ..context import Planner, StageContext
from ..operands import Source
from ..primitives import HALF_MAX

Binary = Callable[[Array, Array, Array], object]


def _floor_mod(a: Array, b: Array, out: Array) -> None:
    np.copyto(out, np.mod(a, b), casting="unsafe")


def _squared_difference(a: Array, b: Array, out: Array) -> None:
    np.subtract(a, b, out=out)
    np.multiply(out, out, out=out)


def _divide(a: Array, b: Array, out: Array) -> None:
    if out.dtype == np.float32:
        np.divide(a, b, out=out)
    else:  # integers truncate as in C; division by zero gives 0
        quotient = np.divide(a, b, dtype=np.float64)
        np.copyto(out, np.trunc(np.nan_to_num(quotient, posinf=0, neginf=0)), casting="unsafe")


def _logical(function: np.ufunc) -> Binary:
    def apply(a: Array, b: Array, out: Array) -> None:
        np.copyto(out, function(a, b), casting="unsafe")

    return apply


_ARITHMETIC: dict[int, Binary] = {
    13: partial(np.multiply),
    14: partial(np.maximum),
    75: _divide,
    76: partial(np.minimum),
    77: _squared_difference,
    88: partial(np.power),
    89: _floor_mod,
}
_LOGIC: dict[int, Binary] = {
    78: _logical(np.equal),
    79: _logical(np.not_equal),
    80: _logical(np.greater),
    81: _logical(np.greater_equal),
    82: _logical(np.less),
    83: _logical(np.less_equal),
    85: _logical(np.logical_and),
    86: _logical(np.logical_or),
    87: _logical(np.logical_xor),
}


def _operands(ctx: StageContext, *indices: int) -> list[Source]:
    return [ctx.source(i) for i in indices]


def _post(ctx: StageContext, out: Array) -> None:
    """The operation that follows inside the stage: ReLU 6, LeakyReLU 44, Clamp 57."""
    kind = ctx.integer("post_operation")
    if kind == -1:
        return
    if kind == 6:
        ctx.then(lambda: np.maximum(out, 0, out=out))
    elif kind == 44:
        slope = out.dtype.type(ctx.number("negative_slope"))
        ctx.then(lambda: np.multiply(out, slope, out=out, where=out < 0))
    elif kind == 57:
        low = out.dtype.type(ctx.number("min_value"))
        high = out.dtype.type(ctx.number("max_value"))
        if out.dtype == np.float32:  # a bound that FP16 cannot hold is none
            low = low if low >= -HALF_MAX else -np.inf
            high = high if high <= HALF_MAX else np.inf
        ctx.then(lambda: np.maximum(out, low, out=out), lambda: np.minimum(out, high, out=out))
    else:
        raise ctx.fail(f"the post-operation {kind} is not known")


def _result(ctx: StageContext, sources: list[Source], planner: Callable[..., None]) -> None:
    target = ctx.target(1)
    arrays = [ctx.aligned(source, target.desc) for source in sources]
    planner(target.data, *arrays)
    _post(ctx, target.data)
    ctx.finish(target, *sources)


def _as(values: Array, dtype: np.dtype[Any]) -> Array:
    return values if values.dtype == dtype else values.astype(dtype)


def total(ctx: StageContext) -> None:
    """Sum 12: coeff1 * a + coeff2 * b."""

    def planner(out: Array, a: Array, b: Array) -> None:
        kind = out.dtype.type
        c1, c2 = kind(ctx.number("coeff1")), kind(ctx.number("coeff2"))
        if c1 == 1 and c2 == 1:
            ctx.then(lambda: np.add(a, b, out=out, casting="unsafe"))
        elif c1 == 1 and c2 == -1:
            ctx.then(lambda: np.subtract(a, b, out=out, casting="unsafe"))
        else:
            ctx.then(
                lambda: np.multiply(a, c1, out=out, casting="unsafe"),
                lambda: np.add(out, np.multiply(b, c2), out=out, casting="unsafe"),
            )

    _result(ctx, _operands(ctx, 0, 2), planner)


def arithmetic(ctx: StageContext) -> None:
    """Prod, Max, Div, Min, Squared_diff, Pow, Floor_mod."""
    function = _ARITHMETIC[ctx.stage.type_id]

    def planner(out: Array, a: Array, b: Array) -> None:
        if a.dtype == b.dtype == out.dtype:
            if ctx.stage.type_id == 13 and a is b:
                ctx.then(lambda: np.square(a, out=out))
            elif ctx.stage.type_id == 88 and out.dtype.kind == "i":
                ctx.then(lambda: _integer_power(a, b, out))
            else:
                ctx.then(lambda: function(a, b, out))
            return
        ctx.then(lambda: function(_as(a, out.dtype), _as(b, out.dtype), out))

    _result(ctx, _operands(ctx, 0, 2), planner)


def _integer_power(a: Array, b: Array, out: Array) -> None:
    wide = np.power(a.astype(np.float64), b)
    limits = np.iinfo(out.dtype)
    finite = np.nan_to_num(wide, posinf=limits.max, neginf=limits.min)
    np.copyto(out, np.clip(finite, limits.min, limits.max), casting="unsafe")


def logic(ctx: StageContext) -> None:
    """Compares and logical operations: 1 where true, 0 elsewhere."""
    function = _LOGIC[ctx.stage.type_id]

    def planner(out: Array, a: Array, b: Array) -> None:
        ctx.then(lambda: function(a, b, out))

    _result(ctx, _operands(ctx, 0, 2), planner)


def unary(ctx: StageContext) -> None:
    """Logical_NOT 84 and Abs 142."""
    negate = ctx.stage.type_id == 84

    def planner(out: Array, a: Array) -> None:
        if negate:
            ctx.then(lambda: np.copyto(out, np.logical_not(a), casting="unsafe"))
        else:
            ctx.then(lambda: np.abs(a, out=out, casting="unsafe"))

    _result(ctx, _operands(ctx, 0), planner)


def select(ctx: StageContext) -> None:
    """Select 90: the second operand where the condition is not 0, else the third."""

    def planner(
        out: Array,
        cond: Array,
        yes: Array,
        no: Array,
    ) -> None:
        ctx.then(
            lambda: np.copyto(out, no, casting="unsafe"),
            lambda: np.copyto(out, yes, casting="unsafe", where=cond != 0),
        )

    _result(ctx, _operands(ctx, 0, 2, 3), planner)


PLANNERS: dict[int, Planner] = {
    12: total,
    **dict.fromkeys(_ARITHMETIC, arithmetic),
    **dict.fromkeys(_LOGIC, logic),
    84: unary,
    142: unary,
    90: select,
}
