"""Stages that move elements: Convert, Copy, Permute, Tile, Broadcast, Concat (section 4.1)."""

from __future__ import annotations

import numpy as np

from ..context import Planner, StageContext
from ..relayout import planned_copy


def convert(ctx: StageContext) -> None:
    """Convert 111: out = in * scale + bias in another type.

    FP16 and FP32 become integers by truncation, what does not fit is clipped; the specification
    leaves both open, and scale and bias other than 1 and 0 were never seen.
    """
    source, target = ctx.source(0), ctx.target(1)
    ctx.same_shape(source.desc, target.desc)
    scale, bias = np.float32(ctx.number("scale")), np.float32(ctx.number("bias"))
    data, out = source.data, target.data
    plain = scale == 1 and bias == 0
    if out.dtype == np.float32:
        ctx.then(lambda: np.copyto(out, data, casting="unsafe"))
        if plain and source.desc.dtype == "u8":  # 0 to 255: no overflow to look for
            ctx.then(*target.steps)
            return
        if not plain:
            ctx.then(lambda: np.multiply(out, scale, out=out), lambda: np.add(out, bias, out=out))
    elif plain and data.dtype.kind == "i" and out.dtype == np.int32:
        ctx.then(lambda: np.copyto(out, data))
    else:
        limits = np.iinfo(out.dtype)

        def to_integer() -> None:
            values = np.trunc(data * scale + bias) if not plain else np.trunc(data)
            wide = np.nan_to_num(values.astype(np.float64), posinf=limits.max, neginf=limits.min)
            np.copyto(out, np.clip(wide, limits.min, limits.max), casting="unsafe")

        ctx.then(to_integer)
    ctx.finish(target, source)


def copy(ctx: StageContext) -> None:
    """Copy 19: elements in memory order; the sizes agree as a sequence, the strides do not."""
    source, target = ctx.raw(0), ctx.raw(1, write=True)
    if source.shape != target.shape or source.dtype != target.dtype:
        raise ctx.fail(f"it copies {source.dtype}{source.shape} to {target.dtype}{target.shape}")
    ctx.then(*planned_copy(source, target))


def permute(ctx: StageContext) -> None:
    """Permute 34: output dimension i is input dimension p[i], minor first."""
    source, target = ctx.raw(0), ctx.raw(1, write=True)
    rank = source.ndim
    order = ctx.integers("permutation")[:rank]
    if sorted(order) != list(range(rank)):
        raise ctx.fail(f"{order} is no permutation of {rank} dimensions")
    view = source.transpose([rank - 1 - p for p in reversed(order)])
    if view.shape != target.shape or source.dtype != target.dtype:
        raise ctx.fail(f"a permutation of {source.shape} does not give {target.shape}")
    ctx.then(*planned_copy(ctx.detached(view, target), target))


def tile(ctx: StageContext) -> None:
    """Tile 28: repeats along one axis."""
    source, target = ctx.raw(0), ctx.raw(1, write=True)
    axis, tiles = ctx.axis(ctx.buffer(0).desc), ctx.integer("tiles")
    size = source.shape[axis]
    shape = (*source.shape[:axis], size * tiles, *source.shape[axis + 1 :])
    if shape != target.shape or source.dtype != target.dtype:
        raise ctx.fail(f"{tiles} tiles of {source.shape} do not give {target.shape}")
    source = ctx.detached(source, target)
    split = (*source.shape[:axis], tiles, size, *source.shape[axis + 1 :])
    blocks = target.reshape(split)  # splitting an axis never copies
    repeated = np.expand_dims(source, axis)
    ctx.then(lambda: np.copyto(blocks, repeated))


def broadcast(ctx: StageContext) -> None:
    """Broadcast 129: mode 0 as NumPy does, 1 with an axes map, 2 both ways.

    The target shape is taken from the output's descriptor, which must agree with it anyway. With
    an axes map, entry i is the position of input axis i in the output, both in ONNX order.
    """
    last = len(ctx.stage.buffers) - 1
    source, target = ctx.raw(0), ctx.raw(last, write=True)
    view = ctx.detached(source, target)
    if ctx.integer("mode") == 1:
        axes = [int(i) for i in ctx.constant(2).reshape(-1)]
        ordered = sorted(axes) == axes and len(set(axes)) == len(axes) == source.ndim
        if not ordered or any(not 0 <= i < target.ndim for i in axes):
            raise ctx.fail(f"the axes map {axes} does not place {source.ndim} dimensions")
        shape = [1] * target.ndim
        for size, axis in zip(source.shape, axes, strict=True):
            shape[axis] = size
        view = view.reshape(shape)
    wide = np.broadcast_to(view, target.shape)
    ctx.then(lambda: np.copyto(target, wide))


def concat(ctx: StageContext) -> None:
    """Concat 128: joins inputs along an axis; emitted only where inputs have dynamic shapes."""
    count = ctx.integer("num_inputs")
    if count != len(ctx.stage.buffers) - 1:
        raise ctx.fail(f"{count} inputs, but {len(ctx.stage.buffers)} operands")
    target = ctx.raw(count, write=True)
    axis, start = ctx.axis(ctx.buffer(count).desc), 0
    sources = [ctx.raw(i) for i in range(count)]
    parts = [ctx.detached(s, target, f"concat{i}") for i, s in enumerate(sources)]
    for source in parts:
        stop = start + source.shape[axis]
        place = target[(slice(None),) * axis + (slice(start, stop),)]
        if place.shape != source.shape or source.dtype != target.dtype:
            raise ctx.fail(f"an input of {source.shape} does not fit into {target.shape}")
        ctx.then(*planned_copy(source, place))
        start = stop
    if start != target.shape[axis]:
        raise ctx.fail(f"the inputs fill {start} of {target.shape[axis]} places")


PLANNERS: dict[int, Planner] = {
    19: copy,
    28: tile,
    34: permute,
    111: convert,
    128: concat,
    129: broadcast,
}
