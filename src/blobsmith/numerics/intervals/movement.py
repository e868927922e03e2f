"""Operators that move, repeat or select elements."""

from __future__ import annotations

from functools import reduce

import numpy as np

from ..fp16 import Array
from . import arithmetic as ar
from .interval import LIMIT, Interval, collapse, hull, make, reshape, uniformise
from .registry import Step, transfer


@transfer("Identity", "Dropout", "ReverseSequence", moves=True)
def _same(step: Step) -> list[Interval]:
    x = step[0]
    if step.node.op == "ReverseSequence":
        x = x.flat()
    rest = [make(0.0, 1.0)] * (len(step.node.outputs) - 1)
    return [x, *rest]


@transfer("Reshape", "Flatten", "Squeeze", "Unsqueeze", moves=True)
def _reshape(step: Step) -> Interval:
    return reshape(step[0], step.shape(0), step.out_shape())


@transfer("Transpose", moves=True)
def _transpose(step: Step) -> Interval:
    x = step[0]
    if x.uniform:
        return x
    perm = step.attr("perm") or list(range(x.lo.ndim))[::-1]
    return Interval(x.lo.transpose(perm), x.hi.transpose(perm), x.nan)


def _index(x: Interval, axis: int, where: slice) -> Interval:
    """Elements `where` along an axis; bounds that do not change along it stay."""
    if x.uniform or x.lo.shape[axis] == 1:
        return x
    at = (slice(None),) * axis + (where,)
    return Interval(x.lo[at], x.hi[at], x.nan)


@transfer("Slice", moves=True)
def _slice(step: Step) -> Interval:
    x, ranges = step[0], slice_ranges(step)
    if ranges is None:
        return x.flat()
    for axis, where in ranges.items():
        x = _index(x, axis, where)
    return x


def slice_ranges(step: Step) -> dict[int, slice] | None:
    """The ranges of a Slice by axis, as Python slices with all three parts; None if computed."""
    shape = step.shape(0)
    starts, ends = step.integers(1, "starts"), step.integers(2, "ends")
    if shape is None or starts is None or ends is None:
        return None
    axes, steps = step.integers(3, "axes"), step.integers(4)
    if (axes is None and step.has(3)) or (steps is None and step.has(4)):
        return None
    found: dict[int, slice] = {}
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = (axes[i] if axes else i) % len(shape)
        stride = steps[i] if steps else 1
        low, high, stride = slice(start, _end(end, stride), stride).indices(shape[axis])
        found[axis] = slice(low, None if high < 0 else high, stride)
    return found


def _end(end: int, stride: int) -> int | None:
    """ONNX's "to the very beginning" for negative steps; -1 would mean the last element."""
    return None if stride < 0 and end < -(1 << 30) else end


@transfer("Gather", moves=True)
def _gather(step: Step) -> Interval:
    x, axis, indices = step[0], step.axis(0), step.constant(1)
    shape, index_shape = step.shape(0), step.shape(1)
    if x.uniform or shape is None or index_shape is None:
        return x.flat()
    size = x.lo.shape[axis]
    if indices is None or size == 1 or np.asarray(indices).size > LIMIT:
        x = collapse(x, (axis,))
        lo = x.lo.reshape(*x.lo.shape[:axis], *(1,) * len(index_shape), *x.lo.shape[axis + 1 :])
        hi = x.hi.reshape(lo.shape)
        return make(lo, hi, x.nan)
    lo, hi = np.take(x.lo, indices, axis), np.take(x.hi, indices, axis)
    return uniformise(make(lo, hi, x.nan))


@transfer("GatherElements", moves=True)
def _gather_elements(step: Step) -> Interval:
    return step[0] if step[0].uniform else collapse(step[0], (step.axis(0),)).flat()


@transfer("GatherND", "Compress", "Unique", moves=True)
def _gather_any(step: Step) -> list[Interval]:
    return [step[0].flat(), *[make(0.0, np.inf)] * (len(step.node.outputs) - 1)]


@transfer("Concat", moves=True)
def _concat(step: Step) -> Interval:
    parts = [step[i] for i in range(len(step.inputs))]
    shapes = [step.shape(i) for i in range(len(parts))]
    nan = any(p.nan for p in parts)
    first = parts[0]
    if all(p.uniform and p.lo == first.lo and p.hi == first.hi for p in parts):
        return make(first.lo, first.hi, nan)
    known = [s for s in shapes if s is not None]
    if len(known) != len(parts):
        return reduce(hull, [p.flat() for p in parts])
    rank, axis = len(known[0]), step.axis(0)
    common = [1] * rank
    for part in parts:
        if not part.uniform:
            common = [max(a, b) for a, b in zip(common, part.lo.shape, strict=True)]
    total = sum(s[axis] for s in known)
    if total * int(np.prod(common)) // common[axis] > LIMIT:
        return reduce(hull, [p.flat() for p in parts])
    lows, highs = [], []
    for part, shape in zip(parts, known, strict=True):
        target = [*common[:axis], shape[axis], *common[axis + 1 :]]
        lo, hi = part.full(target)
        lows.append(lo)
        highs.append(hi)
    return uniformise(make(np.concatenate(lows, axis), np.concatenate(highs, axis), nan))


@transfer("Split", moves=True)
def _split(step: Step) -> list[Interval]:
    x, axis = step[0], step.axis(0)
    outputs = step.node.outputs
    if x.uniform or x.lo.shape[axis] == 1:
        return [x] * len(outputs)
    found, start = [], 0
    for i in range(len(outputs)):
        shape = step.out_shape(i)
        if shape is None:
            return [collapse(x, (axis,))] * len(outputs)
        found.append(_index(x, axis, slice(start, start + shape[axis])))
        start += shape[axis]
    return found


@transfer("Pad", moves=True)
def _pad(step: Step) -> Interval:
    x, mode, shape = step[0], step.attr("mode", "constant"), step.shape(0)
    pads = step.integers(1, "pads")
    if shape is None or pads is None:
        grown: list[int] = list(range(len(shape or ())))
    else:
        axes = step.integers(3) or list(range(len(shape)))
        half = len(axes)
        grown = [a % len(shape) for i, a in enumerate(axes) if pads[i] or pads[i + half]]
    if not x.uniform:
        x = collapse(x, grown) if shape is not None else x.flat()
    if mode != "constant" or (pads is not None and not any(p > 0 for p in pads)):
        return x
    value = step[2] if step.has(2) else make(step.attr("value", 0.0), step.attr("value", 0.0))
    return hull(x, value.flat())


@transfer("Tile", "Expand", moves=True)
def _repeat(step: Step) -> Interval:
    x, before, after = step[0], step.shape(0), step.out_shape()
    if x.uniform:
        return x
    if before is None or after is None:
        return x.flat()
    offset = len(after) - len(before)
    changed = [i for i in range(len(before)) if before[i] not in (1, after[i + offset])]
    return collapse(x, changed)


@transfer("DepthToSpace", "SpaceToDepth", moves=True)
def _blocks(step: Step) -> Interval:
    x = step[0]
    return x if x.uniform else collapse(x, (1, 2, 3))


@transfer("ScatterND", "ScatterElements", "Scatter", moves=True)
def _scatter(step: Step) -> Interval:
    if step.attr("reduction", "none") not in ("none", "max", "min"):
        return make(-np.inf, np.inf, step[0].nan or step[2].nan)
    return hull(step[0].flat(), step[2].flat())


@transfer("ConstantOfShape", moves=True)
def _constant_of_shape(step: Step) -> Interval:
    value = float(np.asarray(step.attr("value", 0.0)).reshape(-1)[0])
    return make(value, value)


@transfer("Shape", "Size", "NonZero", moves=True)
def _sizes(step: Step) -> Interval:
    return make(0.0, np.inf)


@transfer("Range", moves=True)
def _range(step: Step) -> Interval:
    ends = hull(step[0].flat(), step[1].flat())
    return ends


@transfer("OneHot", moves=True)
def _one_hot(step: Step) -> Interval:
    return step[2].flat()


@transfer("EyeLike", moves=True)
def _eye(step: Step) -> Interval:
    return make(0.0, 1.0)


@transfer("Trilu", moves=True)
def _trilu(step: Step) -> Interval:
    return hull(step[0], make(0.0, 0.0))


_CUBIC_STEPS = 256


def cubic_gain(a: float) -> tuple[float, float]:
    """The largest sums of positive and of negative weights of cubic interpolation."""
    t = np.linspace(0.0, 1.0, _CUBIC_STEPS + 1)
    distance = np.stack([1 + t, t, 1 - t, 2 - t])
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    far = a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a
    weights = np.where(distance <= 1, near, far)
    up = float(np.maximum(weights, 0).sum(axis=0).max())
    down = float(-np.minimum(weights, 0).sum(axis=0).min())
    return up * 1.001, down * 1.001


def _convex(x: Interval, step: Step) -> Interval:
    """Any weighted mean of elements of one channel."""
    shape = step.shape(0)
    inner = x.flat() if shape is None else collapse(x, range(2, len(shape)))
    size = np.maximum(np.abs(inner.lo), np.abs(inner.hi))
    mean = ar.widen(make(inner.lo, inner.hi, x.nan or not x.finite), step.slack(16, size))
    return ar.not_negative(mean) if inner.low >= 0 else mean


@transfer("Resize", "Upsample")
def _resize(step: Step) -> Interval:
    mode, x, shape = step.attr("mode", "nearest"), step[0], step.shape(0)
    outside = step.attr("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    if outside or shape is None:
        value = float(step.attr("extrapolation_value", 0.0))
        x = hull(x.flat(), make(value, value))
    if mode == "nearest":
        return x if x.uniform else collapse(x, range(2, x.lo.ndim))
    if mode != "cubic":
        return _convex(x, step)
    return _cubic(x, step, float(step.attr("cubic_coeff_a", -0.75)), 2)


def _cubic(x: Interval, step: Step, a: float, dims: int) -> Interval:
    up, down = cubic_gain(a)
    for _ in range(dims):
        lo: Array = np.minimum(up * x.lo, x.lo) - down * np.maximum(x.hi, 0)
        hi: Array = np.maximum(up * x.hi, x.hi) - down * np.minimum(x.lo, 0)
        # weights sum to 1: value = lowest + sum(w * (v - lowest)), each v - lowest in 0..span
        span = x.hi - x.lo
        x = make(np.maximum(lo, x.lo - down * span), np.minimum(hi, x.lo + up * span), x.nan)
    return _convex(x, step)


@transfer("GridSample", "com.microsoft.GridSample")
def _grid_sample(step: Step) -> Interval:
    x = step[0]
    if step.attr("padding_mode", "zeros") == "zeros":
        x = hull(x, make(0.0, 0.0))
    mode = step.attr("mode", "bilinear")
    if mode in ("bicubic", "cubic"):
        return _cubic(x.flat(), step, -0.75, 2)
    nan = x.nan or step[1].nan or not step[1].finite
    return _convex(x.with_nan(nan), step)
