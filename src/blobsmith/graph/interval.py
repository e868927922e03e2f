"""Intervals: which numbers a value can hold, and what arithmetic makes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .inference import Array

INF = math.inf
FP16_MAX = 65504.0
FP16_EXACT_INTEGERS = 2048


@dataclass(frozen=True)
class Interval:
    """All elements of a value lie in low..high; `nan` if one of them may be NaN.

    Attributes:
        low, high: may be infinite.
        nan: whether NaN is possible.
        integral: every element is an integer, and computed from integers alone: FP16 makes no
            error in it while it stays small.
        step: every element is a multiple of this, mathematically; 0 if nothing is known. Pixels
            divided by 255 have 1/255.
    """

    low: float = -INF
    high: float = INF
    nan: bool = True
    integral: bool = False
    step: float = 0.0

    @property
    def whole(self) -> bool:
        """Every element is mathematically an integer, whatever rounding did to it."""
        if not math.isfinite(self.step):
            return False
        nearest = round(self.step)
        near = nearest >= 1 and abs(self.step - nearest) < 1e-5 * nearest
        return not self.nan and (self.integral or near)

    @property
    def finite(self) -> bool:
        """Neither infinite nor NaN."""
        return not self.nan and math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def magnitude(self) -> float:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))

    @property
    def exact_in_fp16(self) -> bool:
        """Integers that FP16 holds exactly."""
        return self.integral and not self.nan and self.magnitude <= FP16_EXACT_INTEGERS


ANYTHING = Interval()
"""What is known of a value of which nothing is known."""


def of_array(array: Array) -> Interval:
    """Bounds of a constant's elements."""
    if array.dtype.kind not in "fiub" or array.size == 0:
        return ANYTHING
    values = array.astype(np.float64)
    finite = values[~np.isnan(values)]
    nan = finite.size < values.size
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (-INF, INF)
    integral = not nan and bool(np.all(np.isfinite(finite)) and np.all(finite == np.rint(finite)))
    return Interval(low, high, nan, integral, float(integral))


def union(items: Sequence[Interval]) -> Interval:
    """The smallest interval that holds all."""
    return Interval(
        min(i.low for i in items),
        max(i.high for i in items),
        any(i.nan for i in items),
        all(i.integral for i in items),
    )


def added(a: Interval, b: Interval) -> Interval:
    """The interval of a sum."""
    nan = (a.low == -INF and b.high == INF) or (a.high == INF and b.low == -INF)
    low, high = a.low + b.low, a.high + b.high
    low = -INF if math.isnan(low) else low
    high = INF if math.isnan(high) else high
    return Interval(low, high, a.nan or b.nan or nan, a.integral and b.integral)


def negated(a: Interval) -> Interval:
    """The interval of the negative."""
    return Interval(-a.high, -a.low, a.nan, a.integral)


def product(a: Interval, b: Interval) -> Interval:
    """The interval of a product."""
    corners = [x * y if x and y else 0.0 for x in (a.low, a.high) for y in (b.low, b.high)]
    zero_times_inf = (math.isinf(a.magnitude) and b.low <= 0 <= b.high) or (
        math.isinf(b.magnitude) and a.low <= 0 <= a.high
    )
    return Interval(
        min(corners), max(corners), a.nan or b.nan or zero_times_inf, a.integral and b.integral
    )


def reciprocal(a: Interval, *, plus_zero: bool = False) -> Interval:
    """The interval of 1 / a.

    Args:
        a: the divisor.
        plus_zero: a zero of it is never -0, of which the quotient is -inf.
    """
    if a.low > 0 or a.high < 0:
        return Interval(1 / a.high, 1 / a.low, a.nan)
    return Interval(0.0 if plus_zero and a.low >= 0 else -INF, INF, a.nan)


def quotient(a: Interval, b: Interval, *, plus_zero: bool = False) -> Interval:
    """The interval of a / b; `plus_zero` as in `reciprocal`."""
    nan = a.nan or b.nan
    if b.low <= 0 <= b.high:
        zero_by_zero = a.low <= 0 <= a.high
        if a.low >= 0 and b.low >= 0 and plus_zero:
            return Interval(0.0, INF, nan or zero_by_zero)
        return Interval(-INF, INF, nan or zero_by_zero)
    both_infinite = math.isinf(a.magnitude) and math.isinf(b.magnitude)
    found = product(Interval(a.low, a.high, nan), reciprocal(b))
    return Interval(found.low, found.high, nan or both_infinite)


def power(a: Interval, exponent: float | None) -> Interval:
    """The interval of a ** exponent; None: an exponent that is not known."""
    if exponent is None:
        return ANYTHING if a.low < 0 or a.nan else Interval(0.0, INF, False)
    even = exponent == int(exponent) and int(exponent) % 2 == 0
    if a.low < 0 and exponent != int(exponent):
        return ANYTHING
    if exponent < 0:
        return reciprocal(power(a, -exponent), plus_zero=even or exponent != int(exponent))

    def raised(v: float) -> float:
        try:
            return float(abs(v) ** exponent) * (1 if even or v >= 0 else -1)
        except OverflowError:
            return INF if even or v >= 0 else -INF

    ends = [raised(a.low), raised(a.high)]
    low = 0.0 if even and a.low <= 0 <= a.high else min(ends)
    return Interval(low, max(ends), a.nan, a.integral and exponent == int(exponent))


def weighted(x: Interval, rows: Array, bias: Array | None) -> Interval:
    """Bounds of rows @ x + bias, for rows of constant weights; x may also be padded by 0."""
    low, high = min(x.low, 0.0), max(x.high, 0.0)
    if math.isinf(low) or math.isinf(high):
        return ANYTHING
    rows = rows.astype(np.float64)
    up = np.maximum(rows, 0).sum(1)
    down = np.minimum(rows, 0).sum(1)
    offset = 0.0 if bias is None else bias.astype(np.float64)
    lows, highs = up * low + down * high + offset, up * high + down * low + offset
    integral = x.integral and bool(np.all(rows == np.rint(rows))) and bias is None
    return Interval(float(lows.min()), float(highs.max()), x.nan, integral)
