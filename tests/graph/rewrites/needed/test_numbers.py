"""Functions, integers, rounding, and what FP16 would lose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from .helpers import IMAGE, Case, check_blob, check_graph

GREY = "float[1,1,12,16]"


def function(op: str, low: float, high: float, rule: str = "functions") -> Case:
    """One function of one argument."""
    return Case(op.lower(), f"y = {op}(x)", (rule,), low=low, high=high, whole=False,
                gone=(op,), error=1e-3)  # fmt: skip


FUNCTIONS = [
    function("Atan", -100, 100), function("Asin", -1, 1), function("Acos", -1, 1),
    function("Sinh", -8, 8), function("Cosh", -8, 8), function("Asinh", -100, 100),
    function("Acosh", 1, 100), function("Atanh", -0.9, 0.9), function("Sin", -6, 6, "periodic"),
    function("Cos", -6, 6, "periodic"), function("Sin", -1.5, 1.5, "periodic"),
    function("Tan", -1.2, 1.2, "periodic"),
    function("Sign", -2, 2, "sign"), function("HardSigmoid", -4, 4, "formulas"),
    function("Selu", -4, 4, "formulas"),
]  # fmt: skip

CASES = [
    *FUNCTIONS,
    Case("atan2",
         "q = Div(x, z) a = Atan(q) p = Greater(x, o) l = Add(a, pi) r = Sub(a, pi) "
         "s = Where(p, l, r) n = Less(z, o) y = Where(n, s, a)", ("atan2",), z=IMAGE, low=-90,
         high=90, constants={"o": 0.0, "pi": np.pi}, gone=("Atan",), error=1e-3, whole=False),
    Case("remainder", "y = Mod<fmod=1>(x, n)", ("modulo",), constants={"n": 16.0}, gone=("Mod",)),
    Case("remainder-of-integers", "c = Cast<to=7>(x) m = Mod(c, n) y = Cast<to=1>(m)",
         ("integers-in-floats",), constants={"n": 6}, gone=("Mod",)),
    Case("clip-integers", "c = Cast<to=7>(x) d = Clip(c, l, h) e = Equal(d, h) y = Cast<to=1>(e)",
         ("integers-in-floats",), constants={"l": 0, "h": 5}, high=9.0),
    Case("compare-integers", "c = Cast<to=7>(x) m = Greater(c, k) y = Cast<to=1>(m)",
         ("integers-in-floats",), constants={"k": 100}),
    Case("levels-as-bytes",
         "m = Greater(x, k) b = Cast<to=2>(m) i = Cast<to=6>(b) p = Mul(i, f) q = Cast<to=2>(p)"
         "y = Cast<to=1>(q)", ("narrow-cast",), constants={"k": 100.0, "f": np.int32(255)}),
    Case("bytes-that-wrap",
         "b = Cast<to=2>(x) i = Cast<to=6>(b) s = Add(i, k) w = Cast<to=2>(s) y = Cast<to=1>(w)",
         ("narrow-cast",), constants={"k": np.int32(100)}),
    Case("table-of-bytes", "i = Cast<to=6>(x) b = Gather(t, i) y = Cast<to=1>(b)",
         ("narrow-integers",), x="float[16,16]", y="float[16,16]",
         constants={"t": np.arange(256, dtype=np.uint8)[::-1].copy()}),
    Case("bytes-side-by-side",
         "b = Cast<to=2>(x) c = Cast<to=2>(z) m = Concat<axis=1>(b, c) y = Cast<to=1>(m)",
         ("narrow-integers",), z=IMAGE, y="float[1,6,12,16]"),
    Case("words", "b = Cast<to=5>(x) i = Cast<to=6>(b) s = Sub(i, k) w = Cast<to=5>(s)"
         "a = Cast<to=6>(w) d = Abs(a) y = Cast<to=1>(d)", ("narrow-cast",),
         constants={"k": np.int32(200)}),
    Case("truncation", "h = Mul(x, k) c = Cast<to=6>(h) y = Cast<to=1>(c)", ("truncation",),
         constants={"k": 0.25}, low=-200, high=200, thresholded=True),
    Case("integer-and-back", "c = Cast<to=7>(x) y0 = Cast<to=1>(c) y = Mul(y0, k)",
         ("truncation",), constants={"k": 2.0}, gone=("Cast",)),
    Case("pixel-there-and-back",
         "u = Div(x, k) v = Mul(u, k) c = Cast<to=7>(v) y = Gather(t, c)", ("round-before-cast",),
         x="float[16,16]", y="float[16,16]",
         constants={"k": 255.0, "t": np.arange(256.0)[::-1].copy()}),
    Case("floor-of-quotient", "a = Add(x, o) b = Add(z, o) q = Div(a, b) y = Floor(q)",
         ("whole-quotient",), z=IMAGE, high=60.0, constants={"o": 1.0}),
    Case("rounded-product", "s = Max(x, z) p = Mul(s, k) y = Round(p)", ("whole-product",),
         z=IMAGE, constants={"k": 0.85}, gone=("Round",)),
    Case("sum-of-ones", "m = Greater(x, k) f = Cast<to=1>(m) y = ReduceSum<keepdims=0>(f, a)",
         ("whole-sum",), x="float[4,300]", y="float[4]", constants={"k": 10.0, "a": [1]}),
    Case("fraction-of-hue",
         "s = Max(x, z) h = Mul(s, k) f = Floor(h) y = Sub(h, f)",
         ("exact-difference",), z=IMAGE, constants={"k": 6.0 / 255.0}),
    Case("cumulative-sum", "y = CumSum(x, a)", ("cumsum",), constants={"a": 3}, high=15.0,
         gone=("CumSum",)),
    Case("cumulative-sum-reversed", "y = CumSum<reverse=1,exclusive=1>(x, a)", ("cumsum",),
         constants={"a": -2}, high=15.0, gone=("CumSum",)),
    Case("product", "y = ReduceProd<axes=[1],keepdims=0>(x)", ("formulas",), y="float[1,12,16]",
         high=6.0, gone=("ReduceProd",)),
    Case("prelu-computed", "y = PRelu(x, z)", ("formulas",), z=IMAGE, low=-2, high=2,
         whole=False, gone=("PRelu",)),
    # what FP16 would lose
    Case("root-with-floor", "s = Mul(x, x) e = Add(s, k) y = Sqrt(e)", ("small-epsilon",),
         constants={"k": 1e-6}, high=1.0, whole=False),
    Case("logarithm-with-floor", "e = Add(x, k) y = Log(e)", ("small-epsilon",),
         constants={"k": 1e-6}, high=1.0, whole=False),
    Case("quotient-with-floor", "n = Mul(x, z) e = Add(z, k) y = Div(n, e)", ("small-divisor",),
         z=GREY, constants={"k": 1e-8}, high=200.0),
    Case("quotient-with-clip", 'n = Mul(x, z) e = Clip(z, k, "") y = Div(n, e)',
         ("small-divisor",), z=GREY, constants={"k": 1e-12}, high=200.0),
    Case("log-of-one-plus", "u = Mul(x, k) v = Add(u, o) y = Log(v)", ("log-of-one-plus",),
         constants={"k": 1 / 512, "o": 1.0}, error=1e-3),
    Case("small-kernel", "y = Conv(x, w)", ("small-kernel",), y="float[1,1,10,14]",
         constants={"w": np.full((1, 3, 3, 3), 2e-5)}),
    Case("kernel-behind-a-division", "u = Div(x, k) y = Conv(u, w)", ("small-kernel",),
         y="float[1,1,10,14]", constants={"k": 255.0, "w": np.full((1, 3, 3, 3), 3e-3)}),
    Case("kernel-before-a-division", "u = Conv(x, w, b) y = Div(u, k)", ("small-kernel",),
         y="float[1,2,10,14]",
         constants={"k": 255.0, "b": [0.5, -0.25],
                    "w": np.linspace(-4e-3, 4e-3, 54).reshape(2, 3, 3, 3)}),
    Case("small-factors", "y = Mul(x, w)", ("small-factors",),
         constants={"w": np.linspace(1e-5, 9e-5, 16)}),
    Case("large-norm", "y = ReduceL2<axes=[3],keepdims=1>(x)", ("large-norm",),
         x="float[1,1,12,64]", y="float[1,1,12,1]"),
    Case("root-of-large-squares",
         "a = Mul(x, x) b = Mul(z, z) s = Add(a, b) y = Sqrt(s)", ("root-in-range",), z=IMAGE),
    Case("root-of-small-squares",
         "u = Mul(x, k) v = Mul(z, k) a = Mul(u, u) b = Mul(v, v) s = Add(a, b) y = Sqrt(s)",
         ("root-in-range",), z=IMAGE, constants={"k": 1e-4}),
    Case("distances",
         "a = Mul(m, x) s = ReduceSumSquare<axes=[1]>(x) t = ReduceSumSquare<axes=[1]>(z) "
         "l = Concat<axis=1>(a, s, o) r = Concat<axis=1>(z, o, t) rt = Transpose<perm=[1,0]>(r) "
         "d = MatMul(l, rt) p = Relu(d) y = Sqrt(p)", ("distances", "large-norm"),
         x="float[10,16]", z="float[10,16]", y="float[10,10]", error=1e-3,
         constants={"m": -2.0, "o": np.ones((10, 1))}),
    Case("distances-in-a-batch",
         "a = Mul(m, x) s = ReduceSumSquare<axes=[2]>(x) t = ReduceSumSquare<axes=[2]>(z) "
         "l = Concat<axis=2>(a, s, o) r = Concat<axis=2>(z, q, t) "
         "rt = Transpose<perm=[0,2,1]>(r) d = MatMul(l, rt) p = Relu(d) y = Sqrt(p)",
         ("distances", "large-norm"), x="float[1,10,16]", z="float[1,12,16]",
         y="float[1,10,12]", error=1e-3,
         constants={"m": -2.0, "o": np.ones((1, 10, 1)), "q": np.ones((1, 12, 1))}),
    Case("length-in-a-quotient",
         "u = Mul(x, k) v = Mul(z, k) a = Mul(u, u) w = Mul(v, f) b = Mul(w, v) c = Add(a, b) "
         "l = Sqrt(c) t = Add(u, v) d = Add(t, e) y = Div(l, d)", ("length-divided",), z=IMAGE,
         constants={"k": 1e-5, "f": 4.0, "e": 1e-3}, whole=False, low=0.0),
    Case("smaller-eigenvalue",
         "d = Sub(x, z) q = Mul(d, d) b = Mul(x, k) r = Mul(b, z) f = Add(q, r) s = Sqrt(f) "
         "t = Add(x, z) y = Sub(t, s)", ("smaller-root",), z=IMAGE, constants={"k": 0.5},
         low=0.0, high=1.0, whole=False, error=1e-4),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_graph(case: Case) -> None:
    """The rule applies and FP32 gives the same, or as nearly as it promises."""
    check_graph(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_blob(case: Case, compile_blob: Callable[..., bytes]) -> None:
    """The blob gives on the emulator what FP32 gave."""
    check_blob(case, compile_blob)
