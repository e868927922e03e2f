"""Pooling on SHAVEs: MaxPool, AvgPool, GlobalMaxPool (section 4.5)."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..context import Planner, StageContext
from ..geometry import plan_padded
from ..operands import Step, nchw
from ..pool import plan_windows
from ..relayout import planned_copy

_AVERAGE = 2
_MOST_SAMPLES = 4096


def pooling(ctx: StageContext) -> None:
    """MaxPool 1, GlobalMaxPool 60: padding never wins. AvgPool 2: padding counts as zeros, and
    with exclude_pad the divisor is the number of real elements in the window."""
    source, target = ctx.source(0), ctx.target(1)
    x, out = nchw(source.data, source.desc), nchw(target.data, target.desc)
    kernel = (ctx.integer("kernel_h"), ctx.integer("kernel_w"))
    stride = (ctx.integer("stride_h"), ctx.integer("stride_w"))
    top, left = ctx.integer("pad_top"), ctx.integer("pad_left")
    if x.shape[:2] != out.shape[:2] or min(*kernel, *stride) < 1:
        raise ctx.fail(f"windows {kernel} by {stride} from {x.shape} to {out.shape}")
    size = tuple((n - 1) * s + k for n, s, k in zip(out.shape[2:], stride, kernel, strict=True))
    for need, have, span, before in zip(size, x.shape[2:], kernel, (top, left), strict=True):
        if before >= span + have or need > have + before + 2 * span:
            raise ctx.fail(f"windows {kernel} by {stride} from {x.shape} to {out.shape}")
    average = ctx.stage.type_id == _AVERAGE
    if x.shape[0] > _MOST_SAMPLES:
        raise ctx.fail(f"a batch of {x.shape[0]}")
    for sample in range(x.shape[0]):
        planes = x[sample]
        height, width = size
        fill = 0.0 if average else -np.inf
        padded = plan_padded(ctx, planes, (height, width), top, left, fill)
        place = out[sample]
        result = place
        if not place.flags.c_contiguous:
            result = ctx.scratch.array("planes", place.shape)
        plan_windows(ctx, padded, result, kernel, stride, np.add if average else np.maximum)
        if average:
            scale = _inverse(ctx, planes.shape[1:], result.shape[1:], kernel, stride, (top, left))
            ctx.then(_scale(result, scale))
        if result is not place:
            ctx.then(*planned_copy(result, place))
    ctx.finish(target, source)


def _scale(result: Array, scale: Array) -> Step:
    return lambda: np.multiply(result, scale, out=result)


def _inverse(
    ctx: StageContext,
    size: tuple[int, ...],
    out: tuple[int, ...],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int],
) -> Array:
    """One over the number of elements that each window counts."""
    if not ctx.integer("exclude_pad"):
        return np.full((1, 1), 1.0 / (kernel[0] * kernel[1]), np.float32)
    counts = []
    for n, have, span, step, before in zip(out, size, kernel, stride, pads, strict=True):
        start = np.arange(n) * step - before
        inside = np.minimum(start + span, have) - np.maximum(start, 0)
        counts.append(np.maximum(inside, 1).astype(np.float64))
    inverse: Array = 1.0 / (counts[0][:, None] * counts[1])
    return inverse.astype(np.float32)


PLANNERS: dict[int, Planner] = {1: pooling, _AVERAGE: pooling, 60: pooling}
