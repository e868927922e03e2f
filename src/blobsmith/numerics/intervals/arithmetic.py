"""Interval arithmetic on real numbers, infinities included; rounding is added by the engine.

Every function returns bounds that hold for all operands within theirs. 0 * inf, inf - inf and
inf / inf set the NaN flag.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..fp16 import Array
from .interval import Interval, make


def _infinite(a: Interval) -> bool:
    return not a.finite


def add(a: Interval, b: Interval) -> Interval:
    """a + b."""
    with np.errstate(invalid="ignore"):
        lo, hi = a.lo + b.lo, a.hi + b.hi
    nan = a.nan or b.nan
    if _infinite(a) and _infinite(b):
        opposite = ((a.hi == np.inf) & (b.lo == -np.inf)) | ((a.lo == -np.inf) & (b.hi == np.inf))
        nan = nan or bool(np.any(opposite))
        lo = np.where(np.isnan(lo), -np.inf, lo)
        hi = np.where(np.isnan(hi), np.inf, hi)
    return make(lo, hi, nan)


def negate(a: Interval) -> Interval:
    """-a."""
    return Interval(-a.hi, -a.lo, a.nan)


def subtract(a: Interval, b: Interval) -> Interval:
    """a - b for operands that vary independently."""
    return add(a, negate(b))


def _times(x: Array, y: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        product = x * y
    return np.where(np.isnan(product), 0.0, product)


def multiply(a: Interval, b: Interval) -> Interval:
    """a * b for operands that vary independently."""
    corners = [_times(a.lo, b.lo), _times(a.lo, b.hi), _times(a.hi, b.lo), _times(a.hi, b.hi)]
    nan = a.nan or b.nan
    if (_infinite(a) and b.has_zero()) or (_infinite(b) and a.has_zero()):
        nan = True
    lo = np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))
    hi = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))
    return make(lo, hi, nan)


def scale(a: Interval, factor: Array | float) -> Interval:
    """a times a constant."""
    return multiply(a, make(factor, factor))


def square(a: Interval) -> Interval:
    """a * a for one and the same a: never negative."""
    size = absolute(a)
    with np.errstate(over="ignore"):
        return make(size.lo * size.lo, size.hi * size.hi, a.nan)


def absolute(a: Interval) -> Interval:
    """|a|."""
    lo = np.where((a.lo <= 0) & (a.hi >= 0), 0.0, np.minimum(np.abs(a.lo), np.abs(a.hi)))
    return make(lo, np.maximum(np.abs(a.lo), np.abs(a.hi)), a.nan)


def reciprocal(a: Interval) -> Interval:
    """1 / a; unbounded on the side of 0 where a may come to it."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        low, high = 1.0 / a.hi, 1.0 / a.lo
    touches = (a.lo <= 0) & (a.hi >= 0)
    # 1/(+0) and 1/(-0) differ in sign; a result of 0 may carry either.
    lo = np.where(touches, -np.inf, low)
    hi = np.where(touches, np.inf, high)
    return make(lo, hi, a.nan)


def divide(a: Interval, b: Interval) -> Interval:
    """a / b; NaN possible for 0 / 0 and inf / inf."""
    zero = b.has_zero()
    inverse = reciprocal(b)
    nan = a.nan or b.nan or (zero and a.has_zero()) or (_infinite(a) and _infinite(b))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        corners = [a.lo / b.lo, a.lo / b.hi, a.hi / b.lo, a.hi / b.hi]
    corners = [np.where(np.isnan(c), 0.0, c) for c in corners]
    lo = np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))
    hi = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))
    if zero:
        unbounded = multiply(a, inverse)
        touches = (b.lo <= 0) & (b.hi >= 0)
        lo, hi = np.where(touches, unbounded.lo, lo), np.where(touches, unbounded.hi, hi)
    return make(lo, hi, nan)


def maximum(a: Interval, b: Interval) -> Interval:
    """max(a, b); where one may be NaN the other may come out."""
    if a.nan or b.nan:
        return make(np.minimum(a.lo, b.lo), np.maximum(a.hi, b.hi), True)
    return make(np.maximum(a.lo, b.lo), np.maximum(a.hi, b.hi))


def minimum(a: Interval, b: Interval) -> Interval:
    """min(a, b); where one may be NaN the other may come out."""
    if a.nan or b.nan:
        return make(np.minimum(a.lo, b.lo), np.maximum(a.hi, b.hi), True)
    return make(np.minimum(a.lo, b.lo), np.minimum(a.hi, b.hi))


def clip(a: Interval, lo: float, hi: float) -> Interval:
    """a limited to lo..hi (lo wins where lo > hi does not occur)."""
    if a.nan:
        a = make(np.minimum(a.lo, lo), np.maximum(a.hi, hi), True)
    return make(np.minimum(np.maximum(a.lo, lo), hi), np.minimum(np.maximum(a.hi, lo), hi), a.nan)


def monotone(a: Interval, function: Callable[[Array], Array]) -> Interval:
    """A function that nowhere decreases."""
    with np.errstate(all="ignore"):
        return make(function(a.lo), function(a.hi), a.nan)


def widen(a: Interval, slack: Array | float) -> Interval:
    """The bounds moved outwards by an absolute amount."""
    with np.errstate(invalid="ignore"):
        lo, hi = a.lo - slack, a.hi + slack
    return make(np.where(np.isnan(lo), -np.inf, lo), np.where(np.isnan(hi), np.inf, hi), a.nan)


def widen_relative(a: Interval, share: float) -> Interval:
    """The bounds moved outwards by a share of themselves."""
    if not share:
        return a
    lo = np.where(np.isfinite(a.lo), a.lo - np.abs(a.lo) * share, a.lo)
    hi = np.where(np.isfinite(a.hi), a.hi + np.abs(a.hi) * share, a.hi)
    return make(lo, hi, a.nan)


def not_negative(a: Interval) -> Interval:
    """Bounds of a sum of values that are not negative: however it is rounded, it is not either."""
    return make(np.maximum(a.lo, 0), a.hi, a.nan)


def mixed(a: Interval, low: float, high: float) -> Interval:
    """`a` if nothing can be NaN; otherwise widened to hold low..high as well."""
    if not a.nan:
        return a
    return replace(make(np.minimum(a.lo, low), np.maximum(a.hi, high)), nan=True)
