"""Normalisation layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import arithmetic as ar
from .interval import UNBOUNDED, Interval, collapse, make
from .registry import Step, transfer


@transfer("BatchNormalization", ulps=4)
def _batch_norm(step: Step) -> Interval:
    factors = batch_norm_factors(step)
    shape = step.shape(0)
    if factors is None or shape is None or step.attr("training_mode", 0):
        return UNBOUNDED
    per_channel = (1, -1) + (1,) * (len(shape) - 2)
    factor, offset = (f.reshape(per_channel) for f in factors)
    result = ar.add(ar.scale(step[0], factor), make(offset, offset))
    weight = np.abs(factor) * step[0].magnitude + np.abs(offset)
    return ar.widen(result, step.slack(8, np.minimum(weight, 1e200)))


def batch_norm_factors(step: Step) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """Factor and offset of each channel, None if they are not constant."""
    values = [step.constant(i) for i in range(1, 5)]
    if any(v is None for v in values):
        return None
    scale, bias, mean, variance = (np.asarray(v, np.float64) for v in values)
    factor = scale / np.sqrt(variance + float(step.attr("epsilon", 1e-5)))
    return factor, bias - mean * factor


def _standardised(step: Step, count: int) -> Interval:
    """Bounds of (x - mean) / deviation: at most sqrt(n - 1) deviations from the mean."""
    if step[0].magnitude > 1e18:  # the variance may leave FP32
        return UNBOUNDED
    top = float(np.sqrt(max(count - 1, 1))) * 1.01
    return step.stored(make(-top, top, step[0].nan or not step[0].finite))


def _affine(step: Step, value: Interval, scale: int, bias: int, rank: int) -> Interval:
    shape = (1, -1) + (1,) * (rank - 2)

    def wide(index: int) -> Interval:
        x = step[index]
        return x if x.uniform else make(x.lo.reshape(shape), x.hi.reshape(shape), x.nan)

    result = ar.multiply(value, wide(scale)) if step.has(scale) else value
    return ar.add(result, wide(bias)) if step.has(bias) else result


@transfer("InstanceNormalization", ulps=64)
def _instance_norm(step: Step) -> Interval:
    shape = step.shape(0)
    if shape is None:
        return UNBOUNDED
    return _affine(step, _standardised(step, int(np.prod(shape[2:]))), 1, 2, len(shape))


@transfer("MeanVarianceNormalization", ulps=64)
def _mvn(step: Step) -> Interval:
    shape = step.shape(0)
    if shape is None:
        return UNBOUNDED
    # the variance, a difference of two means, may be rounded to less than 0
    return _standardised(step, int(np.prod(shape))).with_nan(True)


@transfer("LayerNormalization", ulps=64)
def _layer_norm(step: Step) -> Interval | list[Interval]:
    shape = step.shape(0)
    if shape is None:
        return UNBOUNDED
    axis = step.axis(-1)
    value = _standardised(step, int(np.prod(shape[axis:])))
    result = ar.multiply(value, step[1]) if step.has(1) else value
    result = ar.add(result, step[2]) if step.has(2) else result
    rest = [make(-np.inf, np.inf, True)] * (len(step.node.outputs) - 1)
    return [result, *rest]


@transfer("LpNormalization", ulps=64)
def _lp_norm(step: Step) -> Interval:
    x = step[0]
    if step.half:
        # Compiled as x * (sum x^2)^-1/2 without a guard: squares and sums may leave the range.
        shape = step.shape(0)
        count = shape[step.axis(-1)] if shape else 1 << 20
        smallest = float(ar.absolute(x).lo.min())
        if x.magnitude**2 * count >= 65504.0 or smallest < 2.0**-6 * count**0.5:
            return make(-np.inf, np.inf, True)
    top = 1.02 if step.half else 1.001
    return make(-top, top, x.nan or not x.finite or x.has_zero())


@transfer("LRN", ulps=64)
def _lrn(step: Step) -> Interval:
    alpha, bias = float(step.attr("alpha", 1e-4)), float(step.attr("bias", 1.0))
    beta = float(step.attr("beta", 0.75))
    x, shape = step[0], step.shape(0)
    if bias <= 0 or alpha < 0 or beta < 0:
        return UNBOUNDED
    flat = x.flat() if shape is None else collapse(x, range(1, len(shape)))
    reach = bias + alpha * flat.magnitude**2  # the mean of the squares is at most the largest
    low, high = min(bias**-beta, reach**-beta), max(bias**-beta, reach**-beta)
    return ar.multiply(x, make(low, high, not x.finite))
