"""Interp (linear) and Resample (nearest) of W and H (section 4.6)."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..context import Planner, StageContext
from ..operands import nchw

_HALF, _TORCH_HALF, _ASYMMETRIC, _TF_HALF, _ALIGN = range(5)


def _positions(ctx: StageContext, mode: int, size: int, count: int) -> Array:
    """Where each of `count` outputs lies on an axis of `size` inputs, as in ONNX's Resize."""
    at = np.arange(count, dtype=np.float64)
    if mode == _HALF or (mode == _TORCH_HALF and count > 1):
        return (at + 0.5) * size / count - 0.5
    if mode == _TORCH_HALF:
        return np.zeros(count)
    if mode == _ASYMMETRIC:
        return at * size / count
    if mode == _TF_HALF:
        return (at + 0.5) * size / count
    if mode == _ALIGN:
        return at * (size - 1) / (count - 1) if count > 1 else np.zeros(count)
    raise ctx.fail(f"coordinate mode {mode}")


def linear(ctx: StageContext) -> None:
    """Interp 67: bilinear; positions outside are moved to the border."""
    source, target = ctx.source(0), ctx.target(1)
    x, out = nchw(source.data, source.desc), nchw(target.data, target.desc)
    if x.shape[:2] != out.shape[:2] or ctx.integer("mode") not in (1, 3):
        raise ctx.fail(f"mode {ctx.integer('mode')} from {x.shape} to {out.shape}")
    mode = _ALIGN if ctx.integer("align_corners") else ctx.integer("coord_mode")
    low: list[Array] = []
    high: list[Array] = []
    share: list[Array] = []
    for axis in (2, 3):
        size = x.shape[axis]
        at = np.clip(_positions(ctx, mode, size, out.shape[axis]), 0, size - 1)
        below = np.floor(at).astype(np.intp)
        low.append(below)
        high.append(np.minimum(below + 1, size - 1))
        share.append((at - below).astype(np.float32))
    down = share[0].reshape(-1, 1)
    ctx.spend(4 * out.size)

    def run() -> None:
        rows = x.take(low[0], axis=2)
        rows += (x.take(high[0], axis=2) - rows) * down
        left = rows.take(low[1], axis=3)
        right = rows.take(high[1], axis=3)
        right -= left
        right *= share[1]
        np.add(left, right, out=out)

    ctx.then(run)
    ctx.finish(target, source)


def _nearest(ctx: StageContext, at: Array, size: int) -> Array:
    mode = ctx.integer("nearest_mode")
    if mode == 0:
        picked = np.ceil(at - 0.5)
    elif mode == 1:
        picked = np.floor(at + 0.5)
    elif mode == 2:
        picked = np.floor(at)
    elif mode == 3:
        picked = np.ceil(at)
    elif mode == 4:  # "simple": truncation where the picture grows, else rounding up
        picked = np.floor(at) if at.size >= size else np.ceil(at)
    else:
        raise ctx.fail(f"nearest mode {mode}")
    return np.clip(picked, 0, size - 1).astype(np.intp)


def nearest(ctx: StageContext) -> None:
    """Resample 72: the nearest element, by five ways of placing and four of rounding."""
    source, target = ctx.raw(0), ctx.raw(1, write=True)
    x = nchw(source, ctx.buffer(0).desc)
    out = nchw(target, ctx.buffer(1).desc)
    if x.shape[:2] != out.shape[:2] or source.dtype != target.dtype or ctx.integer("type") != 0:
        raise ctx.fail(f"resampling type {ctx.integer('type')} from {x.shape} to {out.shape}")
    mode = ctx.integer("coord_mode")
    rows, columns = (
        _nearest(ctx, _positions(ctx, mode, x.shape[i], out.shape[i]), x.shape[i]) for i in (2, 3)
    )
    ctx.then(lambda: np.copyto(out, x.take(rows, axis=2).take(columns, axis=3)))


PLANNERS: dict[int, Planner] = {67: linear, 72: nearest}
