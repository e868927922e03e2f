"""Reductions over axes and SoftMax (section 4.6)."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..context import Planner, StageContext
from ..operands import in_ir_order, ir_axes


def reduction(ctx: StageContext) -> None:
    """ReduceAnd 93, ReduceMin 105, ReduceMax 112, ReduceSum 113, ReduceMean 114.

    The axes are memory indices, 0 the minor dimension.
    """
    source, target = ctx.source(0), ctx.target(1)
    axes = [int(i) for i in ctx.constant(2).reshape(-1)]
    rank = source.data.ndim
    if len(set(axes)) != len(axes) or any(not 0 <= i < rank for i in axes):
        raise ctx.fail(f"axes {axes} of {rank} dimensions")
    x, order = in_ir_order(source.data, source.desc), ir_axes(source.desc)
    where = tuple(sorted(order.index(rank - 1 - i) for i in axes))
    kept = tuple(1 if i in where else n for i, n in enumerate(x.shape))
    out = in_ir_order(target.data, target.desc)
    if [n for n in kept if n != 1] != [n for n in out.shape if n != 1]:
        raise ctx.fail(f"{x.shape} reduced over {where} is not {out.shape}")
    place = _with_ones(out, kept)
    kind = ctx.stage.type_id

    def run() -> None:
        if kind == 93:
            np.copyto(place, np.all(x, axis=where, keepdims=True), casting="unsafe")
        elif kind == 105:
            np.min(x, axis=where, keepdims=True, out=place)
        elif kind == 112:
            np.max(x, axis=where, keepdims=True, out=place)
        elif kind == 113:
            np.sum(x, axis=where, keepdims=True, out=place, dtype=place.dtype)
        elif place.dtype == np.float32:
            np.mean(x, axis=where, keepdims=True, out=place, dtype=np.float32)
        else:
            mean = np.mean(x, axis=where, keepdims=True, dtype=np.float64)
            np.copyto(place, np.trunc(mean), casting="unsafe")

    ctx.then(run)
    ctx.finish(target, source)


def _with_ones(array: Array, shape: tuple[int, ...]) -> Array:
    """A view with the axes of size 1 as in `shape`, whatever the strides."""
    view = np.squeeze(array)
    return np.expand_dims(view, tuple(i for i, n in enumerate(shape) if n == 1))


def softmax(ctx: StageContext) -> None:
    """SoftMax 3 along one memory axis, after subtracting the largest element."""
    source, target = ctx.source(0), ctx.target(1)
    axis = ctx.axis(source.desc)
    axis = target.desc.dim_ids[::-1].index(source.desc.dim_ids[::-1][axis])
    x, out = ctx.aligned(source, target.desc), target.data
    if x.shape != out.shape:
        raise ctx.fail(f"{x.shape} does not give {out.shape}")

    def run() -> None:
        np.subtract(x, x.max(axis=axis, keepdims=True), out=out)
        np.exp(out, out=out)
        np.divide(out, out.sum(axis=axis, keepdims=True), out=out)

    ctx.then(run)
    ctx.finish(target, source)


PLANNERS: dict[int, Planner] = {
    3: softmax,
    **dict.fromkeys((93, 105, 112, 113, 114), reduction),
}
