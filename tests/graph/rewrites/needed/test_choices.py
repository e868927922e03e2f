"""Choosing by data: gathers, tables, one-hot encodings, triangles, selections of low rank."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from blobsmith.graph.equivalence import run

from .helpers import IMAGE, Case, check_blob, check_graph, model, rewritten

RNG = np.random.default_rng(4)
TABLE = RNG.random((1, 3, 40, 16)).astype(np.float32)
CASES = [
    Case("elements-channel", "d = Div(x, c) f = Floor(d) i = Cast<to=7>(f)"
         "y = GatherElements<axis=1>(x, i)", ("gather-elements",), constants={"c": 86.0},
         gone=("GatherElements",)),
    Case("elements-long-axis", "d = Div(x, c) f = Floor(d) i = Cast<to=7>(f)"
         "y = GatherElements<axis=2>(t, i)", ("gather-elements",), gone=("GatherElements",),
         constants={"c": 8.0, "t": TABLE}),
    Case("elements-from-the-end", "d = Sub(x, c) i = Cast<to=7>(d)"
         "y = GatherElements<axis=2>(t, i)", ("gather-elements",), gone=("GatherElements",),
         constants={"c": 20.0, "t": TABLE}, high=39.0),
    Case("elements-rows", "i = Cast<to=7>(x) e = Expand(i, s) y = GatherElements<axis=2>(t, e)",
         ("gather-elements",), x="float[1,1,90,1]", y="float[1,1,90,3]", high=63.0,
         gone=("GatherElements", "Expand"),
         constants={"s": [1, 1, 90, 3], "t": RNG.random((1, 1, 64, 3)).astype(np.float32)}),
    Case("level-table-posterize", "a = Div(x, c) b = Mul(a, c) i = Cast<to=2>(b)"
         "f = Cast<to=1>(i) d = Div(f, e) g = Floor(d) h = Mul(g, e) y = Div(h, c)",
         ("level-table",), constants={"c": 255.0, "e": 33.0}, gone=("Floor", "Div"), error=0),
    Case("level-table-rounds", "a = Mul(x, c) y = Round(a)", ("level-table",),
         constants={"c": 0.37}, gone=("Round",), error=0),
    Case("level-table-curve", "d = Div(x, c) a = Add(d, k) p = Pow(a, e) l = Div(d, m)"
         "q = Greater(d, t) y = Where(q, p, l)", ("level-table",), gone=("Pow", "Where"), error=0,
         constants={"c": 255.0, "k": 0.055, "e": 2.4, "m": 12.92, "t": 0.04045}),
    Case("level-table-angle", "d = Mul(x, c) a = Sin(d) b = Cos(d) y = Sub(a, b)",
         ("level-table",), gone=("Sin", "Cos"), error=0, constants={"c": 6.28 / 255}),
    Case("level-table-of-a-part", "d = Div(x, k) p = Gather<axis=1>(d, i) a = Mul(p, c) y = Cos(a)",
         ("part-before-scale", "level-table"), gone=("Cos",), y="float[1,12,16]",
         constants={"c": 6.28, "k": 255.0, "i": np.int64(1)}),
    Case("one-hot", "d = Div(x, c) f = Floor(d) i = Cast<to=7>(f) y = OneHot<axis=1>(i, n, v)",
         ("one-hot",), x="float[1,12,16]", y="float[1,4,12,16]", gone=("OneHot",),
         constants={"c": 64.0, "n": np.int64(4), "v": np.array([0.5, 3.0], np.float32)}),
    Case("triangle-low", "y = Trilu<upper=0>(x, k)", ("triangle",), opset=14, gone=("Trilu",),
         constants={"k": np.int64(-1)}),
    Case("triangle-high", "y = Trilu(x)", ("triangle",), opset=14, gone=("Trilu",)),
    Case("where-vector", "y = Where(m, x, v)", ("full-rank",), gone=(), constants={
        "m": np.arange(16) < 7, "v": np.arange(16, dtype=np.float32)}),
    *(
        Case(f"{op.lower()}-{len(z)}", f"y = {op}(x, z)", ("full-rank",),
             z=f"float[{','.join(map(str, z))}]", low=1.0)
        for op in ("Mul", "Sub", "Max", "Div")
        for z in ((12, 16), (16,), (12, 1))
    ),
    Case("compare-2", "c = Greater(x, z) y = Cast<to=1>(c)", ("full-rank",), z="float[12,16]"),
    Case("where-2", "c = Greater(x, z) y = Where(c, x, z)", ("full-rank",), z="float[12,16]"),
    Case("log-sum-exp", "y = ReduceLogSumExp<axes=[1]>(x)", ("log-sum-exp",),
         y="float[1,1,12,16]", gone=("ReduceLogSumExp",)),
    Case("log-sum-exp-apart", "e = Exp(x) s = ReduceSum<keepdims=0>(e, a) y = Log(s)",
         ("log-sum-exp",), y="float[1,12,16]", constants={"a": [1]}, high=80.0),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_graph_computes_the_same(case: Case) -> None:
    check_graph(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_blob_computes_the_same(case: Case, compile_blob: Callable[..., bytes]) -> None:
    check_blob(case, compile_blob)


def test_every_level_is_rounded_as_float32_rounds_it() -> None:
    case = Case("levels", "a = Div(x, c) b = Mul(a, c) i = Cast<to=2>(b) y = Cast<to=1>(i)",
                ("level-table",), x="float[1,1,16,16]", y="float[1,1,16,16]",
                constants={"c": 255.0})  # fmt: skip
    before, result = rewritten(case)
    levels = {"x": np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)}
    np.testing.assert_array_equal(run(before, levels)["y"], run(result.proto, levels)["y"])
    assert [n.op_type for n in result.proto.graph.node][-1] == "Gather"


def test_exact_roundings_need_no_table() -> None:
    for body in ("a = Div(x, c) y = Floor(a)", "a = Sub(x, c) b = Div(a, c) y = Floor(b)"):
        case = Case("exact", body, (), y=IMAGE, constants={"c": 16.0})
        _, result = rewritten(case)
        assert "level-table" not in {a.rule for a in result.applied}


def test_a_log_sum_exp_is_taken_apart_once() -> None:
    case = next(c for c in CASES if c.name == "log-sum-exp")
    _, result = rewritten(case)
    assert [a.rule for a in result.applied].count("log-sum-exp") == 1


def test_small_exponents_stay_as_they_are() -> None:
    case = Case("small", "y = ReduceLogSumExp<axes=[1]>(x)", (), y="float[1,1,12,16]", high=2.0)
    _, result = rewritten(case)
    assert not result.applied
    onnx.checker.check_model(model(case))
