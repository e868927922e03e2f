"""Convolutions: exact for constant weights, one input channel at a time.

The upper bound of a weighted sum of independent values is the sum of (positive weight * upper
bound + negative weight * lower bound). With zero padding, outputs near the border use only part
of the kernel: all parts that occur are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from ..fp16 import Array
from . import arithmetic as ar
from .interval import UNBOUNDED, Interval, collapse, make
from .registry import Step, transfer

_HUGE = 1e200
"""Stands for infinity inside sums, where inf * 0 would become NaN."""


def tame(value: Interval) -> tuple[Array, Array]:
    """Bounds with a huge number in place of infinity."""
    if value.finite:
        return value.lo, value.hi
    return np.clip(value.lo, -_HUGE, _HUGE), np.clip(value.hi, -_HUGE, _HUGE)


def wild(lo: Array, hi: Array, nan: bool) -> Interval:
    """The inverse of `tame`, after a sum."""
    lo = np.where(lo < -_HUGE * 1e-50, -np.inf, lo)
    hi = np.where(hi > _HUGE * 1e-50, np.inf, hi)
    return make(lo, hi, nan)


@transfer("Conv")
def _conv(step: Step) -> Interval:
    weights, x = step.constant(1), step[0]
    shape = step.shape(0)
    if weights is None or shape is None:
        return _loose(step, 1)
    per_channel = collapse(x, range(2, len(shape)))
    lo, hi = tame(per_channel)
    spans = tap_ranges(step, shape, weights.shape[2:])
    groups = int(step.attr("group", 1))
    batch = lo.shape[0] if lo.ndim else 1
    full = (batch, shape[1])
    flat = (batch, shape[1], 1) if lo.ndim else ()
    lows = np.broadcast_to(lo.reshape(flat[:1] + lo.shape[1:2]) if lo.ndim else lo, full)
    highs = np.broadcast_to(hi.reshape(flat[:1] + hi.shape[1:2]) if hi.ndim else hi, full)
    low, high, weight = weighted(np.asarray(weights, np.float64), lows, highs, groups, spans)
    result = wild(low, high, x.nan or not x.finite)
    spatial = (1,) * (len(shape) - 2)
    result = make(result.lo.reshape(*low.shape, *spatial), result.hi.reshape(*low.shape, *spatial),
                  result.nan)  # fmt: skip
    positive = lows.min() >= 0 and weights.min() >= 0
    if step.has(2):
        bias = _per_channel(step[2], len(shape))
        result = ar.add(result, bias)
        weight = weight + bias.magnitude
        positive = positive and bias.low >= 0
    count = int(np.prod(weights.shape[1:])) + 1
    result = ar.widen(result, step.slack(count, weight.reshape(*low.shape, *spatial)))
    return ar.not_negative(result) if positive else result


def _per_channel(bias: Interval, rank: int) -> Interval:
    if bias.uniform:
        return bias
    shape = (1, -1) + (1,) * (rank - 2)
    return make(bias.lo.reshape(shape), bias.hi.reshape(shape), bias.nan)


def weighted(
    weights: Array, lows: Array, highs: Array, groups: int, spans: Sequence[set[tuple[int, int]]]
) -> tuple[Array, Array, Array]:
    """Bounds (batch, out channels) of a convolution, and the sum of |weight| * |value|.

    Args:
        weights: (out channels, in channels / groups, *kernel).
        lows, highs: (batch, in channels).
        groups: ONNX's group.
        spans: for each spatial axis, the ranges of taps that lie inside at some position.
    """
    outs, per_group = weights.shape[:2]
    kernel = weights.shape[2:]
    batch = lows.shape[0]
    lows = lows.reshape(batch, groups, 1, per_group)
    highs = highs.reshape(batch, groups, 1, per_group)
    whole = all(len(s) == 1 and next(iter(s)) == (0, k) for s, k in zip(spans, kernel, strict=True))
    if (
        not whole
        and np.all(lows <= 0)
        and np.all(highs >= 0)
        and all(any(span == (0, k) for span in s) for s, k in zip(spans, kernel, strict=True))
    ):
        whole = True  # leaving taps out only narrows the bounds
    taps = int(np.prod(kernel))
    flat = weights.reshape(groups, outs // groups, per_group, taps)
    up, down = np.maximum(flat, 0), np.minimum(flat, 0)
    size = np.maximum(np.abs(lows), np.abs(highs))
    weight = _dot((up - down).sum(axis=-1), size).reshape(batch, outs)
    if whole:
        up1, down1 = up.sum(axis=-1), down.sum(axis=-1)
        low = _dot(up1, lows) + _dot(down1, highs)
        high = _dot(up1, highs) + _dot(down1, lows)
        return low.reshape(batch, outs), high.reshape(batch, outs), weight
    up, down = np.moveaxis(up, -1, 0), np.moveaxis(down, -1, 0)
    low_taps = np.stack([_dot(u, lows) + _dot(d, highs) for u, d in zip(up, down, strict=True)], -1)
    high_taps = np.stack(
        [_dot(u, highs) + _dot(d, lows) for u, d in zip(up, down, strict=True)], -1
    )
    shape = (batch, outs, *kernel)
    low = _parts(low_taps.reshape(shape), spans).min(axis=0)
    high = _parts(high_taps.reshape(shape), spans).max(axis=0)
    return low, high, weight


def _dot(weights: Array, values: Array) -> Array:
    """(groups, outs, ins) with (batch, groups, 1, ins) -> (batch, groups, outs)."""
    return np.asarray((values @ np.swapaxes(weights, -1, -2)[None])[..., 0, :])


def _parts(taps: Array, spans: Sequence[set[tuple[int, int]]]) -> Array:
    """Sums over every rectangle of taps that occurs."""
    sums = []
    for chosen in product(*[sorted(s) for s in spans]):
        where = (slice(None), slice(None), *[slice(a, b) for a, b in chosen])
        sums.append(taps[where].reshape(*taps.shape[:2], -1).sum(axis=-1))
    return np.stack(sums)


def tap_ranges(
    step: Step, shape: Sequence[int], kernel: Sequence[int]
) -> list[set[tuple[int, int]]]:
    """For each spatial axis, the ranges of kernel taps that lie inside the tensor."""
    rank = len(kernel)
    strides = step.attr("strides") or [1] * rank
    dilations = step.attr("dilations") or [1] * rank
    outs = step.out_shape()
    begin = leading_pads(step, shape, kernel)
    spans = []
    for axis in range(rank):
        size, k, d, s = shape[2 + axis], kernel[axis], dilations[axis], strides[axis]
        length = outs[2 + axis] if outs else size
        found = set()
        positions = range(length) if length <= 4 * k * d + 8 else (
            *range(2 * k * d + 4), *range(length - 2 * k * d - 4, length)
        )  # fmt: skip
        for p in positions:
            first = p * s - begin[axis]
            a = max(0, -(first // d)) if first < 0 else 0
            b = min(k, (size - 1 - first) // d + 1)
            found.add((a, max(a, b)))
        spans.append(found)
    return spans


def leading_pads(step: Step, shape: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """Padding in front of each spatial axis, `auto_pad` resolved."""
    rank = len(kernel)
    mode = step.attr("auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        return list(step.attr("pads") or [0] * 2 * rank)[:rank]
    if mode == "VALID":
        return [0] * rank
    strides = step.attr("strides") or [1] * rank
    dilations = step.attr("dilations") or [1] * rank
    begin = []
    for axis in range(rank):
        out = -(-shape[2 + axis] // strides[axis])
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        total = max((out - 1) * strides[axis] + reach - shape[2 + axis], 0)
        begin.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
    return begin


def _loose(step: Step, weights_at: int) -> Interval:
    """A sum of products of two computed tensors, any part of them."""
    shape = step.shape(weights_at)
    if shape is None:
        return UNBOUNDED
    term = ar.multiply(step[0].flat(), step[weights_at].flat())
    count = int(np.prod(shape[1:]))
    lo, hi = np.minimum(term.lo, 0) * count, np.maximum(term.hi, 0) * count
    result = make(lo, hi, term.nan or not term.finite)
    if step.has(2):
        result = ar.add(result, step[2].flat())
    return ar.widen(result, step.slack(count, result.magnitude))


@transfer("ConvTranspose")
def _conv_transpose(step: Step) -> Interval:
    weights, x, shape = step.constant(1), step[0], step.shape(0)
    if weights is None or shape is None:
        return _loose(step, 1)
    lo, hi = tame(collapse(x, (0, *range(2, len(shape)))))
    ins = (shape[1],)
    low = np.broadcast_to(lo.reshape(-1) if lo.ndim else lo, ins)
    high = np.broadcast_to(hi.reshape(-1) if hi.ndim else hi, ins)
    groups = int(step.attr("group", 1))
    w = np.asarray(weights, np.float64)
    kernel = w.shape[2:]
    w = w.reshape(groups, shape[1] // groups, w.shape[1], *kernel)
    spread = (groups, shape[1] // groups, 1) + (1,) * len(kernel)
    low, high = low.reshape(spread), high.reshape(spread)
    up, down = np.maximum(w, 0), np.minimum(w, 0)
    low_taps = (up * low + down * high).sum(axis=1).reshape(-1, *kernel)
    high_taps = (up * high + down * low).sum(axis=1).reshape(-1, *kernel)
    strides = step.attr("strides") or [1] * len(kernel)
    lows, highs = [], []
    for phase in product(*[range(s) for s in strides]):
        where = (slice(None), *[slice(p, None, s) for p, s in zip(phase, strides, strict=True)])
        lows.append(np.minimum(low_taps[where], 0).reshape(low_taps.shape[0], -1).sum(axis=1))
        highs.append(np.maximum(high_taps[where], 0).reshape(low_taps.shape[0], -1).sum(axis=1))
    result = wild(np.min(lows, axis=0), np.max(highs, axis=0), x.nan or not x.finite)
    per_channel = (1, -1) + (1,) * len(kernel)
    result = make(result.lo.reshape(per_channel), result.hi.reshape(per_channel), result.nan)
    if step.has(2):
        result = ar.add(result, _per_channel(step[2], len(shape)))
    size = np.abs(w).sum() * max(abs(low.min()), abs(high.max()))
    return ar.widen(result, step.slack(int(np.prod(w.shape[1:2] + kernel)), min(size, _HUGE)))
