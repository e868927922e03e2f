"""Activation functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..fp16 import Array
from . import arithmetic as ar
from .interval import Interval, hull, make
from .registry import Step, transfer


@transfer("Relu", moves=True)
def _relu(step: Step) -> Interval:
    return ar.mixed(ar.monotone(step[0], lambda v: np.maximum(v, 0)), 0.0, 0.0)


@transfer("LeakyRelu", keeps=True)
def _leaky(step: Step) -> Interval:
    slope = float(step.attr("alpha", 0.01))
    return _two_slopes(step[0], slope)


def _two_slopes(x: Interval, slope: float) -> Interval:
    def function(v: Array) -> Array:
        return np.where(v < 0, v * slope, v) if slope else np.maximum(v, 0)

    ends = ar.monotone(x, function)
    crosses = (x.lo < 0) & (x.hi > 0)
    lo, hi = np.minimum(ends.lo, ends.hi), np.maximum(ends.lo, ends.hi)
    return make(np.where(crosses, np.minimum(lo, 0), lo), np.where(crosses, np.maximum(hi, 0), hi),
                x.nan)  # fmt: skip


@transfer("PRelu", keeps=True)
def _prelu(step: Step) -> Interval:
    x, slope = step[0], step[1]
    negative = make(np.minimum(x.lo, 0), np.minimum(x.hi, 0), x.nan)
    scaled = ar.multiply(negative, slope)
    positive = make(np.maximum(x.lo, 0), np.maximum(x.hi, 0), x.nan)
    both = hull(scaled, positive)
    below, above = x.hi <= 0, x.lo >= 0
    lo = np.where(below, scaled.lo, np.where(above, positive.lo, both.lo))
    hi = np.where(below, scaled.hi, np.where(above, positive.hi, both.hi))
    return make(lo, hi, x.nan or scaled.nan)


@transfer("ThresholdedRelu")
def _thresholded(step: Step) -> Interval:
    x, threshold = step[0], float(step.attr("alpha", 1.0))
    return make(np.minimum(np.maximum(x.lo, threshold), 0), np.maximum(x.hi, 0), x.nan)


def sigmoid(v: Array) -> Array:
    """1 / (1 + exp(-v)) without overflow."""
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-v)))


@transfer("Sigmoid", ulps=32, keeps=True)
def _sigmoid(step: Step) -> Interval:
    return ar.clip(ar.widen(ar.monotone(step[0], sigmoid), 1e-6), 0.0, 1.0)


@transfer("Tanh", ulps=32, keeps=True)
def _tanh(step: Step) -> Interval:
    return ar.clip(ar.widen(ar.monotone(step[0], np.tanh), 1e-6), -1.0, 1.0)


@transfer("HardSigmoid", ulps=4, keeps=True)
def _hard_sigmoid(step: Step) -> Interval:
    alpha, beta = float(step.attr("alpha", 0.2)), float(step.attr("beta", 0.5))
    line = ar.add(ar.scale(step[0], alpha), make(beta, beta))
    return ar.clip(line, 0.0, 1.0)


@transfer("Elu", ulps=16, keeps=True)
def _elu(step: Step) -> Interval:
    alpha = float(step.attr("alpha", 1.0))
    return _exponential_tail(step[0], alpha, 1.0, 1.0)


@transfer("Selu", ulps=16, keeps=True)
def _selu(step: Step) -> Interval:
    alpha, gamma = float(step.attr("alpha", 1.67326319)), float(step.attr("gamma", 1.05070102))
    return _exponential_tail(step[0], alpha, gamma, 1.0)


@transfer("Celu", ulps=16, keeps=True)
def _celu(step: Step) -> Interval:
    alpha = float(step.attr("alpha", 1.0))
    return _exponential_tail(step[0], alpha, 1.0, alpha)


def _exponential_tail(x: Interval, alpha: float, gamma: float, width: float) -> Interval:
    def function(v: Array) -> Array:
        tail = alpha * np.expm1(np.minimum(v, 0) / width)
        return np.asarray(gamma * np.where(v < 0, tail, v))

    ends = ar.monotone(x, function)
    lo, hi = np.minimum(ends.lo, ends.hi), np.maximum(ends.lo, ends.hi)
    if alpha * gamma < 0:
        lo, hi = np.minimum(lo, 0), np.maximum(hi, 0)
        hi = np.maximum(hi, abs(alpha * gamma))
    return ar.widen(make(lo, hi, x.nan), 1e-6)


@transfer("Softplus", ulps=16, keeps=True)
def _softplus(step: Step) -> Interval:
    return ar.widen(ar.monotone(step[0], lambda v: np.logaddexp(0.0, v)), 1e-6)


@transfer("Softsign", ulps=4)
def _softsign(step: Step) -> Interval:
    x = step[0]
    ends = ar.monotone(x, lambda v: np.where(np.isinf(v), np.sign(v), v / (1 + np.abs(v))))
    return make(ends.lo, ends.hi, x.nan or not x.finite)


@transfer("HardSwish")
def _hard_swish(step: Step) -> Interval:
    return _one_dip(step[0], lambda v: v * np.clip(v / 6 + 0.5, 0, 1), -1.5, -0.375)


@transfer("Mish", ulps=32)
def _mish(step: Step) -> Interval:
    return _one_dip(step[0], lambda v: v * np.tanh(np.logaddexp(0.0, v)), -1.1924312, -0.30884014)


@transfer("Swish", "com.microsoft.QuickGelu", ulps=32)
def _swish(step: Step) -> Interval:
    alpha = float(step.attr("alpha", 1.0))
    if alpha <= 0:
        return make(-np.inf, np.inf, step[0].nan)
    return _one_dip(
        step[0], lambda v: v * sigmoid(alpha * v), -1.2784645 / alpha, -0.2784645 / alpha
    )


@transfer("Gelu", "com.microsoft.Gelu", ulps=64)
def _gelu(step: Step) -> Interval:
    # Either form of Gelu lies within these of v * Phi(v); 1e-3 covers the tanh approximation.
    from math import erf, sqrt

    phi = np.vectorize(lambda v: 0.5 * (1 + erf(v / sqrt(2))), otypes=[np.float64])
    return ar.widen(_one_dip(step[0], lambda v: v * phi(v), -0.7518, -0.17005), 1e-3)


def _one_dip(x: Interval, function: Callable[[Array], Array], at: float, lowest: float) -> Interval:
    """A function that falls from 0 to `lowest` at `at`, and rises from there on."""

    def safe(v: Array) -> Array:
        with np.errstate(invalid="ignore"):
            result = function(v)
        return np.where(np.isneginf(v), 0.0, np.asarray(result))

    ends = ar.monotone(x, safe)
    lo, hi = np.minimum(ends.lo, ends.hi), np.maximum(ends.lo, ends.hi)
    dips = (x.lo <= at) & (x.hi >= at)
    lo = np.where(dips, np.minimum(lo, lowest), lo)
    hi = np.where(dips & (x.hi < 0), np.maximum(hi, 0.0), hi)
    nan = x.nan or not x.finite
    return ar.widen(make(lo, hi, nan), 1e-6)
