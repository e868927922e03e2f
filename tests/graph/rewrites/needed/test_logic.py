"""Comparisons, logic, and what is or is not finite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from .helpers import Case, check_blob, check_graph

CASES = [
    Case("greater-or-equal", "b = GreaterOrEqual(x, k) y = Cast<to=1>(b)", ("compare-not-strict",),
         constants={"k": 127.0}, gone=("GreaterOrEqual",)),
    Case("less-or-equal", "b = LessOrEqual(x, z) y = Where(b, x, z)", ("compare-not-strict",),
         z="float[1,3,12,16]", gone=("LessOrEqual",)),
    Case("or", "a = Greater(x, h) b = Less(x, l) c = Or(a, b) y = Cast<to=1>(c)", ("logic-or",),
         constants={"h": 200.0, "l": 50.0}, gone=("Or",)),
    Case("or-selects", "a = Greater(x, h) b = Less(x, l) c = Or(a, b) y = Where(c, x, l)",
         ("logic-or",), constants={"h": 200.0, "l": 50.0}, gone=("Or",)),
    Case("or-before-opset-12", "a = Greater(x, h) b = Less(x, l) c = Or(a, b) y = Cast<to=1>(c)",
         ("logic-or",), constants={"h": 200.0, "l": 50.0}, gone=("Or",), opset=11),
    Case("xor", "a = Greater(x, h) b = Greater(x, l) c = Xor(a, b) y = Cast<to=1>(c)",
         ("logic-or",), constants={"h": 200.0, "l": 50.0}, gone=("Xor",)),
    Case("and-true", "a = Greater(x, h) c = And(a, t) y = Cast<to=1>(c)", ("logic-decided",),
         constants={"h": 200.0, "t": np.array(True)}, gone=("And",)),
    Case("not-not", "a = Greater(x, h) b = Not(a) c = Not(b) y = Cast<to=1>(c)",
         ("logic-decided",), constants={"h": 200.0}, gone=("Not",)),
    Case("nan-cannot-be", "b = IsNaN(x) w = Where(b, k, x) y = Mul(w, k)",
         ("finite", "where-decided"), constants={"k": 2.0}, gone=("IsNaN", "Where")),
    Case("nan-can-be", "q = Div(x, x) b = IsNaN(q) y = Where(b, k, q)", ("finite",),
         constants={"k": 7.0}, gone=("IsNaN",)),
    Case("infinity-can-be", "q = Div(k, x) b = IsInf(q) y = Where(b, k, q)", ("finite",),
         constants={"k": 3.0}, gone=("IsInf",)),
    Case("positive-infinity",
         "q = Div(k, x) b = IsInf<detect_negative=0>(q) y = Where(b, k, q)", ("finite",),
         constants={"k": 3.0}, gone=("IsInf",)),
    Case("nan-to-num-in-double",
         "d = Cast<to=11>(x) b = IsInf(d) c = Greater(x, k) e = And(b, c) y0 = Where(e, k, x) "
         "y = Mul(y0, k)",
         ("single-precision", "finite", "logic-decided", "where-decided"),
         constants={"k": 2.0}, gone=("IsInf", "And", "Where")),
    Case("equal-to-infinite-padding", "p = Pad(x, p8, i) e = Equal(p, i) y = Where(e, k, p)",
         ("pad-infinite",), constants={"p8": [0, 0, 1, 1, 0, 0, 1, 1], "i": np.inf, "k": 3.0},
         y="float[1,3,14,18]", gone=("Equal",)),
    Case("equal-to-infinity", "e = Equal(x, i) w = Where(e, k, x) y = Mul(w, k)",
         ("compare-infinite", "where-decided"), constants={"i": np.inf, "k": 3.0}, gone=("Equal",)),
    Case("less-than-infinity", "e = Less(x, i) c = Cast<to=1>(e) y = Mul(x, c)",
         ("compare-infinite",), constants={"i": np.inf}, gone=("Less",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_graph(case: Case) -> None:
    """The operators are gone and FP32 gives the same."""
    check_graph(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_blob(case: Case, compile_blob: Callable[..., bytes]) -> None:
    """The blob gives on the emulator what FP32 gave."""
    check_blob(case, compile_blob)
