"""Weights that FP16 does not hold: where the factor goes that brings them into its range."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from blobsmith.graph.rewrites import rewrite

from .helpers import Case, check_blob, check_graph, model

RNG = np.random.default_rng(5)
FIRST = (RNG.normal(size=(8, 3, 3, 3)) * 0.2).astype(np.float32)
SECOND = (RNG.normal(size=(4, 8, 3, 3)) * 0.15).astype(np.float32)
PADS = "<pads=[1,1,1,1]>"
BOTH = {"c": 255.0, "v": FIRST, "w": SECOND}
CASES = [
    Case("next-conv", f"d = Div(x, c) a = Conv{PADS}(d, v) r = Relu(a) y = Conv{PADS}(r, w)",
         ("small-kernel",), y="float[1,4,12,16]", constants=BOTH, gone=("Mul", "Div", "Clip")),
    Case("through-a-pool", f"d = Div(x, c) a = Conv{PADS}(d, v) r = LeakyRelu(a)"
         f"p = MaxPool<kernel_shape=[2,2],strides=[2,2]>(r) y = Conv{PADS}(p, w)",
         ("small-kernel",), y="float[1,4,6,8]", constants=BOTH, gone=("Mul", "Div", "Clip")),
    Case("two-readers", f"d = Div(x, c) a = Conv{PADS}(d, v) r = Relu(a) p = Conv{PADS}(r, w)"
         f"m = GlobalAveragePool(r) q = Conv(m, u) y = Add(p, q)", ("small-kernel",),
         y="float[1,4,12,16]", gone=("Mul", "Div", "Clip"),
         constants={**BOTH, "u": (SECOND[:, :, :1, :1] + 0.1).astype(np.float32)}),
    Case("no-reader-takes-it", f"d = Div(x, c) a = Conv{PADS}(d, v) y = Sigmoid(a)",
         ("small-kernel",), y="float[1,8,12,16]", constants={"c": 255.0, "v": FIRST}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_graph_computes_the_same(case: Case) -> None:
    check_graph(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_blob_computes_the_same(case: Case, compile_blob: Callable[..., bytes]) -> None:
    check_blob(case, compile_blob)


def test_what_keeps_factors_apart_is_no_limit_that_is_never_reached() -> None:
    case = next(c for c in CASES if c.name == "no-reader-takes-it")
    calls = iter(range(1000, 0, -1))
    result = rewrite(
        model(case), cost=lambda _: float(next(calls)), ranges={"x": (0.0, 255.0)}, whole=["x"]
    )
    assert {n.op_type for n in result.proto.graph.node} & {"Clip", "Relu"}
    assert [a.rule for a in result.applied].count("small-kernel") == 1
