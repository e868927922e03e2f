"""Gather, GatherElements, StridedSlice (section 4.1), and GatherND and OneHot.

The last two are none of the specification's verified types; their layouts were found from blobs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array
from ..context import Planner, StageContext
from ..operands import in_ir_order, ir_axes
from ..relayout import planned_copy


def _clipped(ctx: StageContext, data: Array, constant: bool, size: int) -> Callable[[], Array]:
    """The indices as integers within an axis of `size`; negative ones count from its end."""

    def read() -> Array:
        wide = data.astype(np.int64)
        wide = np.where(wide < 0, wide + size, wide)
        outside = int(np.count_nonzero((wide < 0) | (wide >= size)))
        if outside:
            ctx.warn("index", outside, f"{outside} indices lie outside 0..{size - 1}: clipped")
        return np.clip(wide, 0, size - 1)

    if not constant:
        return read
    fixed = read()
    return lambda: fixed


def gather(ctx: StageContext) -> None:
    """Gather 100: takes along one axis; indices are S32 or FP16."""
    desc = ctx.buffer(0).desc
    source = in_ir_order(ctx.raw(0), desc)
    target = in_ir_order(ctx.raw(1, write=True), ctx.buffer(1).desc)
    axis = ir_axes(desc).index(ctx.axis(desc))
    indices = ctx.source(2)
    count = indices.data.size
    outer, inner = source.shape[:axis], source.shape[axis + 1 :]
    if int(np.prod((*outer, count, *inner))) != target.size or source.dtype != target.dtype:
        raise ctx.fail(f"{count} of {source.shape} along axis {axis} do not give {target.shape}")
    read = _clipped(ctx, indices.data, indices.constant, source.shape[axis])
    if indices.constant and count > 1:
        fixed = read().reshape(-1)
        steps = np.diff(fixed)
        step = int(steps[0])
        if step and (steps == step).all():
            stop: int | None = int(fixed[-1]) + step
            part = slice(int(fixed[0]), None if stop is not None and stop < 0 else stop, step)
            view = source[(slice(None),) * axis + (part,)]
            if view.shape == target.shape:
                ctx.then(*planned_copy(ctx.detached(view, target), target))
                return

    def take() -> None:
        np.copyto(target, source.take(read().reshape(-1), axis=axis).reshape(target.shape))

    ctx.then(take)


def gather_elements(ctx: StageContext) -> None:
    """GatherElements 139: out[i] = in[i with index[i] on one axis]. The axis looks like ONNX's."""
    source = in_ir_order(ctx.raw(0), ctx.buffer(0).desc)
    target = in_ir_order(ctx.raw(1, write=True), ctx.buffer(1).desc)
    indices = ctx.source(2)
    axis = ctx.integer("axis")
    if not 0 <= axis < source.ndim:
        raise ctx.fail(f"axis {axis} of {source.ndim} dimensions")
    picks = in_ir_order(indices.data, indices.desc)
    if picks.shape != target.shape or source.ndim != target.ndim:
        raise ctx.fail(f"indices {picks.shape} do not give {target.shape}")
    fits = all(
        n <= m for i, (n, m) in enumerate(zip(target.shape, source.shape, strict=True)) if i != axis
    )
    if not fits or source.dtype != target.dtype:
        raise ctx.fail(f"indices {picks.shape} reach outside {source.shape}")
    read = _clipped(ctx, picks, indices.constant, source.shape[axis])
    region = tuple(slice(None) if i == axis else slice(0, n) for i, n in enumerate(target.shape))
    part = source[region]
    ctx.then(lambda: np.copyto(target, np.take_along_axis(part, read(), axis)))


def gather_nd(ctx: StageContext) -> None:
    """GatherND 136: the last axis of the indices, in ONNX order, holds positions in the input.

    Its one parameter is the number of leading batch axes.
    """
    source = in_ir_order(ctx.raw(0), ctx.buffer(0).desc)
    target = in_ir_order(ctx.raw(1, write=True), ctx.buffer(1).desc)
    indices = ctx.source(2)
    picks = in_ir_order(indices.data, indices.desc)
    (batch,) = _unpacked(ctx, "<I")
    depth = picks.shape[-1]
    if not batch + depth <= source.ndim or batch >= picks.ndim:
        raise ctx.fail(f"{batch} batch axes and positions of {depth} in {source.shape}")
    outer, rest = picks.shape[:-1], source.shape[batch + depth :]
    if source.shape[:batch] != outer[:batch] or source.dtype != target.dtype:
        raise ctx.fail(f"{source.shape} and indices {picks.shape} have different batches")
    if int(np.prod((*outer, *rest))) != target.size:
        raise ctx.fail(f"indices {picks.shape} into {source.shape} do not give {target.shape}")
    reads = [
        _clipped(ctx, picks[..., i], indices.constant, source.shape[batch + i])
        for i in range(depth)
    ]
    grid: tuple[Array, ...] = np.indices(outer[:batch], sparse=True)
    widen = (slice(None),) * batch + (None,) * (len(outer) - batch)
    leading = tuple(positions[widen] for positions in grid)

    def take() -> None:
        where = (*leading, *(read() for read in reads))
        np.copyto(target, source[where].reshape(target.shape))

    ctx.then(take)


def one_hot(ctx: StageContext) -> None:
    """OneHot 117: `on` where the position along the new axis is the index, `off` elsewhere.

    Parameters: memory axis of the output, its size, on, off. Indices outside give `off`.
    """
    axis, depth, on, off = _unpacked(ctx, "<2I2f")
    indices, target = ctx.source(0), ctx.target(1)
    place = target.data.ndim - 1 - axis
    if not 0 <= place < target.data.ndim or target.data.shape[place] != depth:
        raise ctx.fail(f"axis {axis} of {target.data.shape} is not {depth} long")
    rest = (*target.data.shape[:place], *target.data.shape[place + 1 :])
    if indices.data.size != int(np.prod(rest)):
        raise ctx.fail(f"indices {indices.data.shape} do not give {target.data.shape}")
    shape = [1] * target.data.ndim
    shape[place] = depth
    classes = np.arange(depth).reshape(shape)

    def spread() -> None:
        picked = np.expand_dims(indices.data.reshape(rest).astype(np.int64), place)
        picked = np.where(picked < 0, picked + depth, picked)
        np.copyto(target.data, np.where(picked == classes, on, off), casting="unsafe")

    ctx.then(spread)
    ctx.finish(target)


def _unpacked(ctx: StageContext, code: str) -> tuple[Any, ...]:
    if len(ctx.stage.params) != struct.calcsize(code):
        raise ctx.fail(f"{len(ctx.stage.params)} bytes of parameters")
    return struct.unpack(code, ctx.stage.params)


def strided_slice(ctx: StageContext) -> None:
    """StridedSlice 133: NumPy slicing; bit a of a mask is ONNX axis a, set: the value is used."""
    source = in_ir_order(ctx.raw(0), ctx.buffer(0).desc)
    target = in_ir_order(ctx.raw(4, write=True), ctx.buffer(4).desc)
    fields = ctx.stage.fields
    if fields.get("ellipsis_mask"):
        raise ctx.fail("an ellipsis is not supported")
    rank = source.ndim
    begin, end = (ctx.constant(i).reshape(-1) for i in (1, 2))
    step = ctx.constant(3).reshape(-1) if ctx.present(3) else np.ones(begin.size, np.int32)
    if not len(begin) == len(end) == len(step):
        raise ctx.fail("begin, end and strides differ in length")
    new, shrink = int(fields.get("new_axis_mask", 0)), int(fields.get("shrink_axis_mask", 0))  # type: ignore[arg-type]
    places: list[slice] = [slice(None)] * rank
    axis = 0
    for bit in range(len(begin)):
        if new >> bit & 1:
            continue
        if axis >= rank or step[bit] == 0:
            raise ctx.fail(f"slice {bit} of {rank} dimensions with step {step[bit]}")
        low = int(begin[bit]) if ctx.integer("begin_mask") >> bit & 1 else None
        high = int(end[bit]) if ctx.integer("end_mask") >> bit & 1 else None
        if shrink >> bit & 1:
            low = int(begin[bit])
            places[axis] = slice(low, low + 1 if low != -1 else None)
        else:
            places[axis] = slice(low, high, int(step[bit]))
        axis += 1
    view = source[tuple(places)]
    if view.size != target.size or source.dtype != target.dtype:
        raise ctx.fail(f"the slice of {source.shape} is {view.shape}, not {target.shape}")
    view = ctx.detached(view, target)
    if view.shape == target.shape:
        ctx.then(*planned_copy(view, target))
    else:  # axes of size 1 came or went
        ctx.then(lambda: np.copyto(target, view.reshape(target.shape)))


PLANNERS: dict[int, Planner] = {
    100: gather,
    117: one_hot,
    133: strided_slice,
    136: gather_nd,
    139: gather_elements,
}
