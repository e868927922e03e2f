"""Logarithms of small sums, distances from levels between FP16's numbers, computed kernels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from blobsmith.blob import Blob
from blobsmith.emulator import Emulator
from blobsmith.graph.equivalence import run

from .helpers import IMAGE, Case, check_blob, check_graph, rewritten

PSNR = Case(
    "psnr", "a = Div(x, c) b = Div(z, c) d = Sub(a, b) s = Pow(d, two)"
    "m = ReduceMean<axes=[1,2,3]>(s) q = Div(one, m) y = Log(q)",
    ("log-of-quotient", "log-of-squares"), z=IMAGE, y="float[1,1,1,1]",
    constants={"c": 255.0, "two": 2.0, "one": 1.0},
)  # fmt: skip
CENTRES = np.linspace(0, 255, 32, dtype=np.float32).reshape(1, 32, 1, 1)
CASES = [
    Case("between-levels", "d = Sub(x, c) e = Div(d, w) s = Pow(e, two) n = Neg(s) y = Exp(n)",
         ("between-levels",), x="float[1,1,12,16]", y="float[1,32,12,16]",
         constants={"c": CENTRES, "w": 8.0, "two": 2.0}),
    Case("discriminant", "t = Add(x, z) s = Pow(t, two) p = Mul(z, x) b = Mul(x, tenth)"
         "c = Mul(b, b) d = Sub(p, c) f = Mul(d, four) e = Sub(s, f) y = Sqrt(e)",
         ("discriminant",), z=IMAGE, high=100.0, error=1e-4,
         constants={"two": 2.0, "four": 4.0, "tenth": 0.1}),
    Case("discriminant-of-half", "t = Add(x, z) h = Div(t, two) s = Mul(h, h) p = Mul(x, z)"
         "b = Mul(z, tenth) c = Mul(b, b) d = Sub(p, c) e = Sub(s, d) y = Sqrt(e)",
         ("discriminant",), z=IMAGE, high=100.0, error=1e-4,
         constants={"two": 2.0, "tenth": 0.1}),
    Case("computed-kernel", "w = Div(z, c) y = Conv<pads=[1,1,1,1]>(x, w)", ("computed-kernel",),
         z="float[2,3,3,3]", y="float[1,2,12,16]", constants={"c": 4096.0}),
    Case("computed-kernel-each", "w = Div(z, c) y = Conv<group=3,strides=[2,2]>(x, w)",
         ("computed-kernel",), z="float[3,1,3,3]", y="float[1,3,5,7]", constants={"c": 4096.0}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_graph_computes_the_same(case: Case) -> None:
    check_graph(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_blob_computes_the_same(case: Case, compile_blob: Callable[..., bytes]) -> None:
    check_blob(case, compile_blob)


def test_frames_that_are_nearly_alike(compile_blob: Callable[..., bytes]) -> None:
    before, result = rewritten(PSNR)
    assert set(PSNR.rules) <= {a.rule for a in result.applied}
    frame = np.full((1, 3, 12, 16), 100, np.uint8)
    other = frame.copy()
    other[..., ::2] += 1
    wanted = run(before, {"x": frame.astype(np.float32), "z": other.astype(np.float32)})["y"]
    emulator = Emulator(Blob.from_bytes(compile_blob(result.proto)))
    np.testing.assert_allclose(emulator.run({"x": frame, "z": other})["y"], wanted, rtol=2e-3)


def test_levels_that_fp16_holds_stay_as_they_are() -> None:
    body = "d = Sub(x, c) e = Div(d, w) y = Exp(e)"
    whole = np.arange(0, 256, 8, dtype=np.float32).reshape(1, 32, 1, 1)
    case = Case("whole", body, (), x="float[1,1,12,16]", y="float[1,32,12,16]", high=20.0,
                constants={"c": whole, "w": 8.0})  # fmt: skip
    assert not rewritten(case)[1].applied


@pytest.mark.parametrize(
    "body",
    [
        "t = Add(x, z) s = Mul(t, t) p = Mul(x, x) d = Sub(p, z) f = Mul(d, four) y = Sub(s, f)",
        "t = Add(x, z) s = Mul(t, t) p = Mul(x, z) d = Sub(p, z) f = Mul(d, two) y = Sub(s, f)",
        "t = Sub(x, z) s = Mul(t, t) p = Mul(x, z) d = Sub(p, z) f = Mul(d, four) y = Sub(s, f)",
    ],
    ids=["another product", "another factor", "a difference"],
)
def test_what_is_no_discriminant_stays(body: str) -> None:
    case = Case("none", body, (), z=IMAGE, high=100.0, constants={"two": 2.0, "four": 4.0})
    assert "discriminant" not in {a.rule for a in rewritten(case)[1].applied}


def test_a_deviation_of_large_values_does_not_overflow(compile_blob: Callable[..., bytes]) -> None:
    body = (
        "d = Add(x, x) m = ReduceMean<axes=[2,3]>(d) e = Sub(d, m) s = Mul(e, e)"
        "v = ReduceMean<axes=[2,3]>(s) w = Mul(v, n) u = Div(w, k) y = Sqrt(u)"
    )
    case = Case("deviation", body, ("deviation-in-range",), y="float[1,3,1,1]",
                constants={"n": 192.0, "k": 191.0})  # fmt: skip
    before, result = rewritten(case)
    assert set(case.rules) <= {a.rule for a in result.applied}
    frame = np.zeros((1, 3, 12, 16), np.uint8)
    frame[..., :5] = 255
    wanted = run(before, {"x": frame.astype(np.float32)})["y"]
    got = Emulator(Blob.from_bytes(compile_blob(result.proto))).run({"x": frame})["y"]
    np.testing.assert_allclose(got, wanted, rtol=2e-3)
