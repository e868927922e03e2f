"""Pooling."""

from __future__ import annotations

import numpy as np

from . import arithmetic as ar
from .interval import Interval, collapse, make
from .reduce import signed
from .registry import Step, transfer


def _per_channel(step: Step) -> Interval:
    shape = step.shape(0)
    return step[0].flat() if shape is None else collapse(step[0], range(2, len(shape)))


@transfer("MaxPool", moves=True)
def _max_pool(step: Step) -> list[Interval]:
    x = _per_channel(step)
    if x.nan:
        x = make(-np.inf, np.inf, True)
    if len(step.node.outputs) == 1:
        return [x]
    return [x, make(0.0, np.inf)]


@transfer("GlobalMaxPool", moves=True)
def _global_max(step: Step) -> Interval:
    x = _per_channel(step)
    return make(-np.inf, np.inf, True) if x.nan else x


def _average(step: Step, count: int, zero: bool) -> Interval:
    x = _per_channel(step)
    lo, hi = x.lo, x.hi
    if zero:
        lo, hi = np.minimum(lo, 0), np.maximum(hi, 0)
    size = np.maximum(np.abs(lo), np.abs(hi))
    mean = make(lo, hi, x.nan or not x.finite)
    return signed(ar.widen(mean, step.slack(min(count, 4096), size)), x)


@transfer("AveragePool")
def _average_pool(step: Step) -> Interval:
    kernel = step.attr("kernel_shape") or [1]
    padded = any(step.attr("pads") or []) or step.attr("auto_pad", "NOTSET").startswith("SAME")
    # Without count_include_pad the hardware still divides by the whole window
    # (docs/blob-format.md, section 5): zeros may count whatever the attribute says.
    return _average(step, int(np.prod(kernel)), bool(padded) or bool(step.attr("ceil_mode", 0)))


@transfer("GlobalAveragePool")
def _global_average(step: Step) -> Interval:
    shape = step.shape(0)
    return _average(step, int(np.prod(shape[2:])) if shape else 4096, False)


@transfer("LpPool", "GlobalLpPool", ulps=64)
def _lp_pool(step: Step) -> Interval:
    x, shape = _per_channel(step), step.shape(0)
    kernel = step.attr("kernel_shape") or (list(shape[2:]) if shape else [1 << 20])
    p = float(step.attr("p", 2))
    top = x.magnitude * float(np.prod(kernel)) ** (1.0 / p)
    return make(0.0, top, x.nan or not x.finite)
