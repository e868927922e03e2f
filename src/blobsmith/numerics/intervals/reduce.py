"""Reductions, soft maxima, cumulative sums, sorting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..fp16 import Array
from . import arithmetic as ar
from .interval import UNBOUNDED, Interval, make
from .linear import tame, wild
from .registry import Step, transfer

Bounds = tuple[Array, Array]


def partial_sums(count: int) -> int:
    """Roundings that one element of a long sum goes through.

    Vectorised code adds in at least 8 partial sums once a row is long.
    """
    return count if count <= 256 else 256 + count // 8


def signed(total: Interval, x: Interval) -> Interval:
    """A sum of values of one sign has that sign, however it is rounded."""
    if x.low >= 0:
        return ar.not_negative(total)
    if x.high <= 0:
        return make(total.lo, np.minimum(total.hi, 0), total.nan)
    return total


def _axes(step: Step) -> tuple[int, ...] | None:
    """The reduced axes; None if they are unknown."""
    shape = step.shape(0)
    if shape is None:
        return None
    found = step.axes()
    if found is None:
        if step.has(1) and step.constant(1) is None:
            return None
        return () if step.attr("noop_with_empty_axes", 0) else tuple(range(len(shape)))
    if not found:
        return () if step.attr("noop_with_empty_axes", 0) else tuple(range(len(shape)))
    return tuple(sorted(set(found)))


def _finish(step: Step, value: Interval, axes: tuple[int, ...]) -> Interval:
    """Drops the reduced dimensions of bounds of full rank where the operator does."""
    if value.uniform or int(step.attr("keepdims", 1)):
        return value
    lo, hi = np.squeeze(value.lo, axes), np.squeeze(value.hi, axes)
    return make(lo, hi, value.nan)


def _count(step: Step, axes: tuple[int, ...]) -> int:
    shape = step.shape(0) or ()
    return int(np.prod([shape[a] for a in axes], dtype=np.int64))


def _total(step: Step, x: Interval, axes: tuple[int, ...]) -> Interval:
    """Bounds of the sum over `axes`, kept as dimensions of size 1."""
    shape = step.shape(0) or ()
    lo, hi = tame(x)
    weight = np.maximum(np.abs(lo), np.abs(hi))
    if x.uniform:
        parts: list[Array] = [a * float(_count(step, axes)) for a in (lo, hi, weight)]
    else:
        repeat = np.prod([shape[a] for a in axes if x.lo.shape[a] == 1], dtype=np.float64)
        parts = [a.sum(axis=axes, keepdims=True) * repeat for a in (lo, hi, weight)]
    total = wild(parts[0], parts[1], x.nan or not x.finite)
    total = signed(ar.widen(total, step.slack(partial_sums(_count(step, axes)), parts[2])), x)
    if not step.half:
        return total
    # compiled as an average, stored, times the number of elements
    count = float(max(_count(step, axes), 1))
    return ar.scale(step.stored(ar.scale(total, 1.0 / count)), count)


@transfer("ReduceSum")
def _reduce_sum(step: Step) -> Interval:
    axes = _axes(step)
    return UNBOUNDED if axes is None else _finish(step, _total(step, step[0], axes), axes)


@transfer("ReduceMean")
def _reduce_mean(step: Step) -> Interval:
    axes = _axes(step)
    if axes is None:
        return step[0].flat()
    exact = replace(step, half=False)
    mean = ar.scale(_total(exact, step[0], axes), 1.0 / max(_count(step, axes), 1))
    return _finish(step, mean, axes)


@transfer("ReduceSumSquare")
def _reduce_sum_square(step: Step) -> Interval:
    axes = _axes(step)
    if axes is None:
        return UNBOUNDED
    return _finish(step, _total(step, step.stored(ar.square(step[0])), axes), axes)


@transfer("ReduceL1")
def _reduce_l1(step: Step) -> Interval:
    axes = _axes(step)
    if axes is None:
        return UNBOUNDED
    return _finish(step, _total(step, ar.absolute(step[0]), axes), axes)


@transfer("ReduceL2", ulps=4)
def _reduce_l2(step: Step) -> Interval:
    axes = _axes(step)
    if axes is None:
        return UNBOUNDED
    total = step.stored(_total(step, step.stored(ar.square(step[0])), axes))
    root = make(np.sqrt(np.maximum(total.lo, 0)), np.sqrt(np.maximum(total.hi, 0)), total.nan)
    return _finish(step, root, axes)


@transfer("ReduceLogSum", "ReduceLogSumExp", ulps=16)
def _reduce_log_sum(step: Step) -> Interval:
    axes = _axes(step)
    if axes is None:
        return UNBOUNDED
    exponential = step.node.op == "ReduceLogSumExp"
    x = step[0]
    if exponential and not step.half:
        count = np.log(max(_count(step, axes), 1))
        ends = _extreme(step, x, axes, largest=True)
        return _finish(step, ar.widen(make(ends.lo, ends.hi + count, x.nan), 1e-5), axes)
    powers = ar.widen_relative(ar.monotone(x, np.exp), 1e-6)
    total = step.stored(_total(step, step.stored(powers) if exponential else x, axes))
    negative = bool(np.any(total.lo < 0))
    clipped = make(np.maximum(total.lo, 0), np.maximum(total.hi, 0), total.nan or negative)
    return _finish(step, ar.widen(ar.monotone(clipped, np.log), 1e-5), axes)


@transfer("ReduceProd", ulps=8)
def _reduce_prod(step: Step) -> Interval:
    axes = _axes(step)
    if axes is None:
        return UNBOUNDED
    top = max(step[0].magnitude, 1.0)
    with np.errstate(over="ignore"):
        bound = float(np.float64(top) ** _count(step, axes))
    low = 0.0 if step[0].low >= 0 else -bound
    return make(low, bound, step[0].nan or not step[0].finite or bound > 3e38)


def _extreme(step: Step, x: Interval, axes: tuple[int, ...], *, largest: bool) -> Interval:
    if x.nan:  # what comes out for a row of nothing but NaN is up to the implementation
        return make(-np.inf, np.inf, True)
    if x.uniform or not axes:
        return x
    pick = np.max if largest else np.min
    return make(pick(x.lo, axis=axes, keepdims=True), pick(x.hi, axis=axes, keepdims=True))


@transfer("ReduceMax", moves=True)
def _reduce_max(step: Step) -> Interval:
    axes = _axes(step)
    if axes is None:
        return step[0].flat()
    return _finish(step, _extreme(step, step[0], axes, largest=True), axes)


@transfer("ReduceMin", moves=True)
def _reduce_min(step: Step) -> Interval:
    axes = _axes(step)
    if axes is None:
        return step[0].flat()
    return _finish(step, _extreme(step, step[0], axes, largest=False), axes)


@transfer("ArgMax", "ArgMin", moves=True)
def _arg(step: Step) -> Interval:
    shape = step.shape(0)
    return make(0.0, float(shape[step.axis(0)] - 1) if shape else np.inf)


@transfer("Softmax", ulps=64)
def _softmax(step: Step) -> Interval:
    return make(0.0, 1.0, step[0].nan or not step[0].finite)


@transfer("LogSoftmax", ulps=64)
def _log_softmax(step: Step) -> Interval:
    x, shape = step[0], step.shape(0)
    count = int(np.prod(shape)) if shape else 1 << 24
    if not x.finite:
        return make(-np.inf, 0.0, True)
    slack = 0.02 + 4e-3 * x.magnitude if step.half else 1e-5 * (1 + x.magnitude)
    overflows = step.half and count >= 65504
    low = -np.inf if overflows else x.low - x.high - np.log(max(count, 1)) - slack
    return make(low, slack, x.nan or overflows)


@transfer("Hardmax", moves=True)
def _hardmax(step: Step) -> Interval:
    return make(0.0, 1.0, step[0].nan)


@transfer("CumSum")
def _cumsum(step: Step) -> Interval:
    axis, shape, x = step.integers(1), step.shape(0), step[0]
    if axis is None or shape is None:
        return UNBOUNDED
    at = axis[0] % len(shape)
    count = shape[at]
    flat = make(x.lo if x.uniform else x.lo.min(axis=at, keepdims=True),
                x.hi if x.uniform else x.hi.max(axis=at, keepdims=True), x.nan)  # fmt: skip
    first = 0 if step.attr("exclusive", 0) else 1
    lo = np.minimum(flat.lo * first, flat.lo * count)
    hi = np.maximum(flat.hi * first, flat.hi * count)
    return ar.widen(make(lo, hi, x.nan or not x.finite), step.slack(count, flat.magnitude * count))


@transfer("TopK", moves=True)
def _topk(step: Step) -> list[Interval]:
    shape, axis = step.shape(0), step.axis(-1)
    x = step[0]
    values = x
    if not x.uniform:
        lo, hi = x.lo.min(axis=axis, keepdims=True), x.hi.max(axis=axis, keepdims=True)
        values = make(lo, hi, x.nan)
    return [values, make(0.0, float(shape[axis] - 1) if shape else np.inf)]
