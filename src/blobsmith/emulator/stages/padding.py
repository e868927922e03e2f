"""Pad and Upsampling: both put the input inside a larger tensor (section 4.1)."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..context import Planner, StageContext
from ..operands import Step
from ..primitives import to_half
from ..relayout import planned_copy

_MODES = ("constant", "edge", "reflect", "symmetric")


def _fill_bits(value: float, dtype: str) -> int:
    if dtype == "fp16":
        return int(to_half(np.float32(value).reshape(1)).view(np.uint16)[0])
    if dtype == "fp32":
        return int(np.float32(value).view(np.uint32))
    return int(value) & 0xFFFFFFFF if dtype == "i32" else int(value) & 0xFF


def _border(target: Array, axis: int, begin: int, size: int, end: int, mode: str) -> Step:
    """Fills both ends of one axis of `target` from its middle part, which is complete."""
    index = np.pad(np.arange(size), (begin, end), mode=mode)  # type: ignore[call-overload]
    inner = target[(slice(None),) * axis + (slice(begin, begin + size),)]
    head = target[(slice(None),) * axis + (slice(0, begin),)]
    tail = target[(slice(None),) * axis + (slice(begin + size, None),)]

    def fill() -> None:
        if begin:
            np.copyto(head, inner.take(index[:begin], axis=axis))
        if end:
            np.copyto(tail, inner.take(index[begin + size :], axis=axis))

    return fill


def pad(ctx: StageContext) -> None:
    """Pad 71: constant, edge, reflect (the edge is not repeated) or symmetric (it is)."""
    source, target = ctx.raw(0), ctx.raw(1, write=True)
    rank, number = source.ndim, ctx.integer("mode")
    if number >= len(_MODES):
        raise ctx.fail(f"padding mode {number}")
    mode = _MODES[number]
    begins, ends = ctx.integers("begins"), ctx.integers("ends")
    if rank > len(begins) or any(begins[rank:]) or any(ends[rank:]):
        raise ctx.fail(f"padding {begins}, {ends} of {rank} dimensions")
    begin, end = begins[:rank][::-1], ends[:rank][::-1]
    sizes = tuple(b + n + e for b, n, e in zip(begin, source.shape, end, strict=True))
    if sizes != target.shape or source.dtype != target.dtype:
        raise ctx.fail(f"{source.shape} padded by {begin} and {end} is not {target.shape}")
    source = ctx.detached(source, target)
    inner = tuple(slice(b, b + n) for b, n in zip(begin, source.shape, strict=True))
    if mode == "constant":
        bits = _fill_bits(ctx.number("value"), ctx.buffer(1).desc.dtype)
        value = target.dtype.type(bits)
        view = target
        for axis in range(rank):
            view = target[inner[:axis]]
            for part in (slice(0, begin[axis]), slice(begin[axis] + source.shape[axis], None)):
                edge = view[(slice(None),) * axis + (part,)]
                if edge.size:
                    ctx.then(_filler(edge, value))
        ctx.then(*planned_copy(source, target[inner]))
        return
    ctx.then(*planned_copy(source, target[inner]))
    for axis in reversed(range(rank)):
        if begin[axis] or end[axis]:
            if mode == "reflect" and source.shape[axis] == 1:
                raise ctx.fail("it reflects an axis of size 1")
            done = target[inner[:axis]]
            ctx.then(_border(done, axis, begin[axis], source.shape[axis], end[axis], mode))


def _filler(place: Array, value: np.generic) -> Step:
    return lambda: place.fill(value) if place.flags.c_contiguous else np.copyto(place, value)


def upsampling(ctx: StageContext) -> None:
    """Upsampling 73: zeros between the elements of W, H (and D), then zeros around them."""
    source, target = ctx.raw(0), ctx.raw(1, write=True)
    rank = source.ndim
    names = (("scale_x", "pad_left", "pad_right"), ("scale_y", "pad_top", "pad_bottom"),
             ("scale_z", "pad_front", "pad_back"))  # fmt: skip
    ids = ctx.buffer(0).desc.dim_ids[::-1]
    place: list[slice] = []
    for axis in range(rank):
        dim = {0: 0, 1: 1, 4: 2}.get(ids[axis])
        scale, before, after = (
            (1, 0, 0) if dim is None else tuple(ctx.integer(n) for n in names[dim])
        )
        size = source.shape[axis]
        if scale < 1 or before < 0 or after < 0:
            raise ctx.fail(f"scale {scale}, padding {before} and {after}")
        last = before + (size - 1) * scale
        if not last < target.shape[axis] <= last + scale + after:
            raise ctx.fail(f"{source.shape} does not become {target.shape}")
        place.append(slice(before, last + 1, scale))
    source = ctx.detached(source, target)
    spot = target[tuple(place)]
    ctx.then(lambda: np.copyto(target, 0), lambda: np.copyto(spot, source))


PLANNERS: dict[int, Planner] = {71: pad, 73: upsampling}
