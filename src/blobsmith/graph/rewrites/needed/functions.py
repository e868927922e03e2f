"""Functions that the compiler lacks, as chains of operators that it has.

Polynomials are Chebyshev fits made here in double precision; in FP32 they are exact to well below
an FP16 unit, so what the rules declare covers the chip's rounding of the steps as well. Arguments
of sin and cos are reduced by pi in two parts, the first of which FP16 multiplies exactly by small
integers (Cody and Waite).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from ...bounds import bounds
from ...builder import Builder

_PI_HIGH = 3.140625  # 201 / 64: exact in FP16, and so are its products by integers up to 10
_PI_LOW = math.pi - _PI_HIGH


@cache
def _fitted(name: str) -> tuple[float, ...]:
    """Coefficients of x, x^2 as the variable, lowest first."""
    functions: dict[
        str, tuple[Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]], float, int]
    ] = {
        "atan": (lambda t: np.arctan(np.sqrt(t)) / np.sqrt(t), 1.0, 6),
        "sin": (lambda t: np.sin(np.sqrt(t)) / np.sqrt(t), (math.pi / 2) ** 2, 4),
        "cos": (lambda t: np.cos(np.sqrt(t)), (math.pi / 2) ** 2, 5),
        "acos": (lambda t: np.arccos(t) / np.sqrt(1 - t), 1.0, 6),
        "sinh": (lambda t: np.sinh(np.sqrt(t)) / np.sqrt(t), 1.0, 3),
        "atanh": (lambda t: np.arctanh(np.sqrt(t)) / np.sqrt(t), 0.25, 4),
    }
    function, top, degree = functions[name]
    nodes = np.cos(np.pi * (np.arange(200) + 0.5) / 200) * 0.5 + 0.5
    t = np.clip(nodes * top, 1e-12, top * (1 - 1e-9))
    fit = np.polynomial.Chebyshev.fit(t, function(t), degree, domain=[0, top])
    return tuple(float(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef)


def polynomial(b: Builder, x: str, coefficients: Sequence[float]) -> str:
    """Horner's scheme: coefficients lowest first."""
    total = b.op("Mul", x, coefficients[-1])
    for c in coefficients[-2:0:-1]:
        total = b.op("Mul", b.op("Add", total, c), x)
    return b.op("Add", total, coefficients[0])


def _select(b: Builder, condition: str, yes: str | float, no: str | float) -> str:
    return b.op("Where", condition, yes, no)


def _unit_atan(b: Builder, r: str) -> str:
    """atan on 0..1."""
    return b.op("Mul", r, polynomial(b, b.op("Mul", r, r), _fitted("atan")))


def atan(b: Builder, x: str) -> str:
    """atan of any value, infinities included."""
    size = b.op("Abs", x)
    large = b.op("Greater", size, 1.0)
    # 1 / max(size, 1) is never out of range, whatever x is
    inverse = b.op("Reciprocal", b.op("Max", size, 1.0))
    angle = _unit_atan(b, b.op("Min", size, inverse))
    angle = _select(b, large, b.op("Sub", math.pi / 2, angle), angle)
    return _select(b, b.op("Less", x, 0.0), b.op("Neg", angle), angle)


def atan2(b: Builder, y: str, x: str) -> str:
    """The angle of (x, y): right on the axes, 0 for (0, 0), as torch.atan2 has it.

    Both sides are scaled up by a power of two as far as bounds allow: FP16 divides badly by what
    is below its normal range, and a gradient of an image in 0..1 often is.
    """
    along, across = b.op("Abs", x), b.op("Abs", y)
    largest = max(bounds(b.editor, x).magnitude, bounds(b.editor, y).magnitude)
    if 0 < largest < 2.0**14:
        factor = 2.0 ** min(math.floor(math.log2(2.0**15 / largest)), 16)
        along, across = b.op("Mul", along, factor), b.op("Mul", across, factor)
    longer = b.op("Max", b.op("Max", along, across), 2.0**-14)
    angle = _unit_atan(b, b.op("Div", b.op("Min", along, across), longer))
    steep = b.op("Greater", across, along)
    angle = _select(b, steep, b.op("Sub", math.pi / 2, angle), angle)
    angle = _select(b, b.op("Less", x, 0.0), b.op("Sub", math.pi, angle), angle)
    return _select(b, b.op("Less", y, 0.0), b.op("Neg", angle), angle)


def _reduced(b: Builder, x: str, largest: float) -> tuple[str, str | None]:
    """x - k pi in -pi/2..pi/2, and k; None for k if x is in there already."""
    if largest <= math.pi / 2 * 1.001:
        return x, None
    k = b.op("Round", b.op("Mul", x, 1 / math.pi))
    rest = b.op("Sub", b.op("Sub", x, b.op("Mul", k, _PI_HIGH)), b.op("Mul", k, _PI_LOW))
    return rest, k


def _alternating(b: Builder, value: str, k: str | None) -> str:
    """value times (-1)^k."""
    if k is None:
        return value
    half = b.op("Mul", k, 0.5)
    odd = b.op("Sub", half, b.op("Floor", half))  # 0 or 0.5
    return b.op("Mul", value, b.op("Sub", 1.0, b.op("Mul", odd, 4.0)))


def sin(b: Builder, x: str, largest: float) -> str:
    """sin of values up to `largest` in magnitude."""
    r, k = _reduced(b, x, largest)
    value = b.op("Mul", r, polynomial(b, b.op("Mul", r, r), _fitted("sin")))
    return _alternating(b, value, k)


def cos(b: Builder, x: str, largest: float) -> str:
    """cos of values up to `largest` in magnitude."""
    r, k = _reduced(b, x, largest)
    return _alternating(b, polynomial(b, b.op("Mul", r, r), _fitted("cos")), k)


def _acos(b: Builder, x: str) -> str:
    size = b.op("Abs", x)
    root = b.op("Sqrt", b.op("Max", b.op("Sub", 1.0, size), 0.0))
    angle = b.op("Mul", root, polynomial(b, size, _fitted("acos")))
    return _select(b, b.op("Less", x, 0.0), b.op("Sub", math.pi, angle), angle)


def _asin(b: Builder, x: str) -> str:
    size = b.op("Abs", x)
    root = b.op("Sqrt", b.op("Max", b.op("Sub", 1.0, size), 0.0))
    far = b.op("Sub", math.pi / 2, b.op("Mul", root, polynomial(b, size, _fitted("acos"))))
    square = b.op("Mul", size, size)
    near = b.op("Mul", size, polynomial(b, square, (1.0, 1 / 6, 3 / 40, 15 / 336)))
    angle = _select(b, b.op("Greater", size, 0.4), far, near)
    return _select(b, b.op("Less", x, 0.0), b.op("Neg", angle), angle)


def _hyperbolic(b: Builder, x: str) -> tuple[str, str]:
    half = b.op("Exp", b.op("Sub", b.op("Abs", x), math.log(2)))
    return half, b.op("Div", 0.25, half)


def _sinh(b: Builder, x: str) -> str:
    up, down = _hyperbolic(b, x)
    small = b.op("Min", b.op("Abs", x), 1.0)
    near = b.op("Mul", small, polynomial(b, b.op("Mul", small, small), _fitted("sinh")))
    size = _select(b, b.op("Greater", b.op("Abs", x), 1.0), b.op("Sub", up, down), near)
    return _select(b, b.op("Less", x, 0.0), b.op("Neg", size), size)


def _cosh(b: Builder, x: str) -> str:
    return b.op("Add", *_hyperbolic(b, x))


def _asinh(b: Builder, x: str) -> str:
    # log(a + sqrt(a^2 + 1)) with a taken out of the root, so that no square overflows
    size = b.op("Abs", x)
    large = b.op("Max", size, 0.5)
    inverse = b.op("Reciprocal", large)
    root = b.op("Sqrt", b.op("Add", b.op("Mul", inverse, inverse), 1.0))
    far = b.op("Log", b.op("Mul", large, b.op("Add", root, 1.0)))
    small = b.op("Min", size, 0.5)
    square = b.op("Mul", small, small)
    near = b.op("Mul", small, polynomial(b, square, (1.0, -1 / 6, 3 / 40, -15 / 336, 105 / 3456)))
    value = _select(b, b.op("Greater", size, 0.5), far, near)
    return _select(b, b.op("Less", x, 0.0), b.op("Neg", value), value)


def _acosh(b: Builder, x: str) -> str:
    inverse = b.op("Reciprocal", x)
    root = b.op("Sqrt", b.op("Max", b.op("Sub", 1.0, b.op("Mul", inverse, inverse)), 0.0))
    return b.op("Log", b.op("Mul", x, b.op("Add", root, 1.0)))


def _atanh(b: Builder, x: str) -> str:
    size = b.op("Abs", x)
    ratio = b.op("Div", b.op("Add", size, 1.0), b.op("Sub", 1.0, size))
    far = b.op("Mul", b.op("Log", ratio), 0.5)
    small = b.op("Min", size, 0.5)
    near = b.op("Mul", small, polynomial(b, b.op("Mul", small, small), _fitted("atanh")))
    value = _select(b, b.op("Greater", size, 0.5), far, near)
    return _select(b, b.op("Less", x, 0.0), b.op("Neg", value), value)


def sign(b: Builder, x: str) -> str:
    """1, 0 or -1."""
    above = b.cast(b.op("Greater", x, 0.0), np.float32)
    return b.op("Sub", above, b.cast(b.op("Less", x, 0.0), np.float32))


DIRECT: dict[str, Callable[[Builder, str], str]] = {
    "Atan": atan, "Acos": _acos, "Asin": _asin, "Sinh": _sinh, "Cosh": _cosh, "Asinh": _asinh,
    "Acosh": _acosh, "Atanh": _atanh,
}  # fmt: skip
"""ONNX operator of one argument -> what computes it."""
