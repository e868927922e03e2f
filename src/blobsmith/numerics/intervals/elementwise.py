"""Element by element: arithmetic, powers, roots, exponentials, rounding, minima and maxima."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np

from ..fp16 import Array, round_half
from . import arithmetic as ar
from .interval import Interval, hull, make
from .registry import Step, transfer
from .relations import difference_sign, quotient_bounds


@transfer("Add")
def _add(step: Step) -> Interval:
    return ar.scale(step[0], 2.0) if step.same(0, 1) else ar.add(step[0], step[1])


@transfer("Sub")
def _sub(step: Step) -> Interval:
    if step.same(0, 1):
        zero = make(0.0, 0.0, step[0].nan or not step[0].finite)
        return zero
    result = ar.subtract(step[0], step[1])
    sign = difference_sign(step.network, step.node)
    if sign and not result.nan:
        low = np.maximum(result.lo, 0) if sign > 0 else np.minimum(result.lo, 0)
        high = np.maximum(result.hi, 0) if sign > 0 else np.minimum(result.hi, 0)
        return make(low, high)
    return result


def _total(step: Step) -> Interval:
    parts = [step[i] for i in range(len(step.inputs))]
    total = reduce(lambda a, b: step.stored(ar.add(a, b)), parts)
    return ar.widen(total, step.slack(len(parts), reduce(ar.add, map(ar.absolute, parts)).hi))


@transfer("Sum")
def _sum(step: Step) -> Interval:
    return _total(step)


@transfer("Mean")
def _mean(step: Step) -> Interval:
    return ar.scale(step.stored(_total(step)), 1.0 / len(step.inputs))


@transfer("Mul")
def _mul(step: Step) -> Interval:
    return ar.square(step[0]) if step.same(0, 1) else ar.multiply(step[0], step[1])


@transfer("Div")
def _div(step: Step) -> Interval:
    a, b = step[0], step[1]
    if step.same(0, 1):
        nan = a.nan or a.has_zero() or not a.finite
        result = make(1.0, 1.0, nan)
    else:
        result = ar.divide(a, b)
    known = None if result.nan else quotient_bounds(step)
    if known is not None:
        result = make(np.clip(result.lo, *known), np.clip(result.hi, *known))
    if not step.half or step.constant(1) is not None:
        return result
    # The compiler computes a * (1 / b), and stores the inverse in FP16.
    inverse = ar.reciprocal(b)
    stored = make(round_half(inverse.lo), round_half(inverse.hi), inverse.nan)
    if known is not None and stored.finite and b.finite:
        return ar.widen_relative(result, 2.0**-8)  # the inverse of at most 65504, rounded
    return hull(result, ar.multiply(a, stored))


@transfer("Neg", keeps=True)
def _neg(step: Step) -> Interval:
    return ar.negate(step[0])


@transfer("Abs", keeps=True)
def _abs(step: Step) -> Interval:
    return ar.absolute(step[0])


@transfer("Reciprocal", keeps=True)
def _reciprocal(step: Step) -> Interval:
    return ar.reciprocal(step[0])


@transfer("Sqrt", keeps=True)
def _sqrt(step: Step) -> Interval:
    x = step[0]
    negative = bool(np.any(x.lo < 0))
    return make(np.sqrt(np.maximum(x.lo, 0)), np.sqrt(np.maximum(x.hi, 0)), x.nan or negative)


@transfer("Exp", ulps=8, keeps=True)
def _exp(step: Step) -> Interval:
    return ar.monotone(step[0], np.exp)


@transfer("Log", ulps=8, keeps=True)
def _log(step: Step) -> Interval:
    x = step[0]
    negative = bool(np.any(x.lo < 0))
    clipped = make(np.maximum(x.lo, 0), np.maximum(x.hi, 0), x.nan or negative)
    result = ar.monotone(clipped, np.log)
    return ar.widen(result, 1e-6)  # near 1 the error is absolute


@transfer("Pow", ulps=16, keeps=True)
def _pow(step: Step) -> Interval:
    x, exponent = step[0], step.constant(1)
    if exponent is None or np.asarray(exponent).size != 1:
        return _general_power(x, step[1])
    p = float(np.asarray(exponent).reshape(-1)[0])
    return power(x, p)


def power(x: Interval, p: float) -> Interval:
    """x to a constant power."""
    if p == 0:
        return make(1.0, 1.0, x.nan)
    if p < 0:
        return ar.reciprocal(power(x, -p))
    if p == int(p):
        if int(p) % 2:
            return ar.monotone(x, lambda v: np.copysign(np.abs(v) ** p, v))
        size = ar.absolute(x)
        return ar.monotone(size, lambda v: v**p)
    negative = bool(np.any(x.lo < 0))
    top = np.where(np.isneginf(x.lo), np.inf, np.maximum(x.hi, 0))  # (-inf)^0.5 is inf in C
    base = make(np.maximum(x.lo, 0), top, x.nan or negative)
    return ar.monotone(base, lambda v: v**p)


def _general_power(x: Interval, p: Interval) -> Interval:
    if np.any(x.lo <= 0) or not x.finite or not p.finite:
        positive = make(np.maximum(x.lo, 0), np.maximum(x.hi, 0))
        if np.any(x.lo < 0) or np.any(p.lo < 0) or not p.finite or not x.finite:
            return make(-np.inf, np.inf, True)
        with np.errstate(all="ignore"):
            corners = [b**e for b in (positive.lo, positive.hi) for e in (p.lo, p.hi)]
        top = reduce(np.maximum, corners)
        return make(np.zeros_like(top), np.maximum(top, 1.0), x.nan or p.nan)
    with np.errstate(all="ignore"):
        corners = [b**e for b in (x.lo, x.hi) for e in (p.lo, p.hi)]
    return make(reduce(np.minimum, corners), reduce(np.maximum, corners), x.nan or p.nan)


@transfer("Max", moves=True)
def _max(step: Step) -> Interval:
    return reduce(ar.maximum, [step[i] for i in range(len(step.inputs))])


@transfer("Min", moves=True)
def _min(step: Step) -> Interval:
    return reduce(ar.minimum, [step[i] for i in range(len(step.inputs))])


@transfer("Clip", keeps=True)
def _clip(step: Step) -> Interval:
    x = step[0]
    low, high = _limit(step, 1, "min", -np.inf), _limit(step, 2, "max", np.inf)
    if x.nan:  # a limit may come out instead of NaN
        bottom = low.low if np.isfinite(low.low) else x.low
        top = high.high if np.isfinite(high.high) else x.high
        x = ar.mixed(x, min(bottom, top), max(bottom, top))
    result = ar.minimum(ar.maximum(x, low), high)
    return result


def _limit(step: Step, index: int, attribute: str, default: float) -> Interval:
    if attribute in step.node.attrs:
        return make(float(step.attr(attribute)), float(step.attr(attribute)))
    return step[index] if step.has(index) else make(default, default)


@transfer("Floor", keeps=True)
def _floor(step: Step) -> Interval:
    return ar.monotone(step[0], np.floor)


@transfer("Ceil", keeps=True)
def _ceil(step: Step) -> Interval:
    return ar.monotone(step[0], np.ceil)


@transfer("Round", keeps=True)
def _round(step: Step) -> Interval:
    return ar.monotone(step[0], np.round)


@transfer("Sign")
def _sign(step: Step) -> Interval:
    return ar.mixed(ar.monotone(step[0], np.sign), -1.0, 1.0)


@transfer("Erf", ulps=32, keeps=True)
def _erf(step: Step) -> Interval:
    from math import erf

    function = np.vectorize(erf, otypes=[np.float64])
    return ar.clip(ar.widen(ar.monotone(step[0], lambda v: np.asarray(function(v))), 1e-6), -1, 1)


@transfer("Mod")
def _mod(step: Step) -> Interval:
    b = ar.absolute(step[1])
    fmod = bool(step.attr("fmod", 0))
    x = step[0]
    low = np.where(x.lo < 0, -b.hi, 0.0) if fmod else np.where(step[1].lo < 0, -b.hi, 0.0)
    high = b.hi
    return make(low, high, x.nan or not x.finite or step[1].has_zero())


def _bounded(low: float, high: float) -> Callable[[Step], Interval]:
    def function(step: Step) -> Interval:
        return make(low, high, step[0].nan or not step[0].finite)

    return function


transfer("Sin", "Cos", ulps=8)(_bounded(-1.0, 1.0))
transfer("Tan")(lambda step: make(-np.inf, np.inf, step[0].nan or not step[0].finite))


def _rising(function: Callable[[Array], Array], domain: tuple[float, float]) -> object:
    def bounds(step: Step) -> Interval:
        x = step[0]
        outside = bool(np.any(x.lo < domain[0]) or np.any(x.hi > domain[1]))
        inner = make(np.clip(x.lo, *domain), np.clip(x.hi, *domain), x.nan or outside)
        return ar.monotone(inner, function)

    return bounds


_INF = float("inf")
for _op, _function, _domain in (
    ("Atan", np.arctan, (-_INF, _INF)), ("Asin", np.arcsin, (-1.0, 1.0)),
    ("Sinh", np.sinh, (-_INF, _INF)), ("Asinh", np.arcsinh, (-_INF, _INF)),
    ("Acosh", np.arccosh, (1.0, _INF)), ("Atanh", np.arctanh, (-1.0, 1.0)),
):  # fmt: skip
    transfer(_op, ulps=16, keeps=True)(_rising(_function, _domain))  # type: ignore[arg-type]


@transfer("Acos", ulps=16, keeps=True)
def _acos(step: Step) -> Interval:
    x = step[0]
    outside = bool(np.any(x.lo < -1) or np.any(x.hi > 1))
    clipped = ar.negate(make(np.clip(x.lo, -1, 1), np.clip(x.hi, -1, 1), x.nan or outside))
    return ar.monotone(clipped, lambda v: np.arccos(-v))


@transfer("Cosh", ulps=16, keeps=True)
def _cosh(step: Step) -> Interval:
    return ar.monotone(ar.absolute(step[0]), np.cosh)
