"""LRN, InnerLRN, MVN and Normalize (section 4.6)."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..context import Planner, StageContext
from ..operands import Source, Target, nchw


def _planes(ctx: StageContext, source: Source, target: Target) -> tuple[Array, Array]:
    x, out = nchw(source.data, source.desc), nchw(target.data, target.desc)
    if x.shape != out.shape:
        raise ctx.fail(f"{x.shape} does not give {out.shape}")
    return x, out


def lrn(ctx: StageContext) -> None:
    """LRN 11: x / (k + alpha / size * sum of squares over neighbouring channels) ^ beta.

    InnerLRN 18 sums over a size x size window of the same channel and divides by its area.
    """
    source, target = ctx.source(0), ctx.target(1)
    x, out = _planes(ctx, source, target)
    size, inner = ctx.integer("size"), ctx.stage.type_id == 18
    k, alpha, beta = (np.float32(ctx.number(n)) for n in ("k", "alpha", "beta"))
    if not 1 <= size <= max(x.shape) * 2:
        raise ctx.fail(f"a window of {size} for {x.shape}")
    axes = (2, 3) if inner else (1,)
    area = np.float32(alpha / size ** len(axes))
    ctx.spend(size * x.size * len(axes))

    def run() -> None:
        sums = np.square(x)
        for axis in axes:
            sums = _window_sum(sums, size, axis)
        np.multiply(sums, area, out=sums)
        np.add(sums, k, out=sums)
        np.power(sums, -beta, out=sums)
        np.multiply(x, sums, out=out)

    ctx.then(run)
    ctx.finish(target, source)


def _window_sum(values: Array, size: int, axis: int) -> Array:
    """Sums over windows centred on each element: (size - 1) // 2 before it, size // 2 behind."""
    count = values.shape[axis]
    result = np.zeros_like(values)
    for shift in range(-((size - 1) // 2), size // 2 + 1):
        if abs(shift) < count:
            to = [slice(None)] * values.ndim
            come = [slice(None)] * values.ndim
            to[axis] = slice(max(0, -shift), count - max(0, shift))
            come[axis] = slice(max(0, shift), count - max(0, -shift))
            result[tuple(to)] += values[tuple(come)]
    return result


def mvn(ctx: StageContext) -> None:
    """MVN 62: subtracts the mean, and divides by the deviation if asked.

    Over H and W, with across_channels over C as well, with across_width over W alone. eps is
    added inside the root, as ONNX does; the blob does not say what the chip does.
    """
    source, target = ctx.source(0), ctx.target(1)
    x, out = _planes(ctx, source, target)
    axes: tuple[int, ...] = (1, 2, 3) if ctx.integer("across_channels") else (2, 3)
    if ctx.stage.fields.get("across_width"):
        axes = (3,)
    eps, scaled = np.float32(ctx.number("eps")), bool(ctx.integer("normalize_variance"))

    def run() -> None:
        np.subtract(x, x.mean(axis=axes, keepdims=True, dtype=np.float32), out=out)
        if scaled:
            variance = np.square(out).mean(axis=axes, keepdims=True, dtype=np.float32)
            np.divide(out, np.sqrt(variance + eps), out=out)

    ctx.then(run)
    ctx.finish(target, source)


def normalize(ctx: StageContext) -> None:
    """Normalize 35: x / sqrt(sum of squares + eps) * scale, over C or, across_spatial, all."""
    source, target = ctx.source(0), ctx.target(1)
    x, out = _planes(ctx, source, target)
    scales = ctx.constant(2).reshape(-1)
    shared = bool(ctx.integer("channel_shared"))
    if scales.size < (1 if shared else x.shape[1]):
        raise ctx.fail(f"{scales.size} scales for {x.shape[1]} channels")
    factor = scales[:1].reshape(1, 1, 1, 1) if shared else scales[: x.shape[1]].reshape(1, -1, 1, 1)
    axes = (1, 2, 3) if ctx.integer("across_spatial") else (1,)
    eps = np.float32(ctx.number("eps"))

    def run() -> None:
        length = np.sqrt(np.square(x).sum(axis=axes, keepdims=True, dtype=np.float32) + eps)
        np.divide(x, length, out=out)
        np.multiply(out, factor, out=out)

    ctx.then(run)
    ctx.finish(target, source)


PLANNERS: dict[int, Planner] = {11: lrn, 18: lrn, 35: normalize, 62: mvn}
