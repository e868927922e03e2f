"""log(1 + u) where FP16 would lose u in the sum."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from blobsmith.graph.equivalence import run
from blobsmith.graph.rewrites import rewrite

from ..helpers import Graph

BYTES = {"x": (0.0, 255.0), "z": (0.0, 255.0)}
SHAPE = (1, 1, 16, 16)


def _of_square(k: float, *, as_power: bool = False) -> onnx.ModelProto:
    g = Graph(x=SHAPE, z=SHAPE)
    d = g.op("Sub", g.op("Div", "x", 255.0), g.op("Div", "z", 255.0))
    square = g.op("Pow", d, 2.0) if as_power else g.op("Mul", d, d)
    return g.model(g.op("Log", g.op("Add", 1.0, g.op("Mul", square, k))))


def _of(k: float) -> onnx.ModelProto:
    g = Graph(x=SHAPE)
    return g.model(g.op("Log", g.op("Add", g.op("Mul", "x", k / 255), 1.0)))


def _error(proto: onnx.ModelProto, rewritten: onnx.ModelProto) -> float:
    """Largest relative error on all pairs of some levels."""
    levels = np.linspace(0, 255, 16).round().astype(np.float32)
    frame = {"x": np.tile(levels, (16, 1))[None, None], "z": np.tile(levels, (16, 1)).T[None, None]}
    frame = {i.name: frame[i.name] for i in proto.graph.input}
    wanted, got = (np.asarray(run(p, frame)["output"]) for p in (proto, rewritten))
    zero = wanted == 0
    assert np.abs(got[zero]).max(initial=0) < 1e-6
    return float((np.abs(got - wanted)[~zero] / wanted[~zero]).max())


@pytest.mark.parametrize("as_power", [False, True])
@pytest.mark.parametrize("k", [0.05, 0.25, 0.5])
def test_of_a_square(k: float, as_power: bool) -> None:
    proto = _of_square(k, as_power=as_power)
    result = rewrite(proto, only=("log-of-one-plus",), ranges=BYTES)
    assert "Tanh" in {n.op_type for n in result.proto.graph.node}
    assert _error(proto, result.proto) < 7e-4


@pytest.mark.parametrize("k", [0.01, 0.3, 0.59, 4.0, 30.0])
def test_of_anything_small_and_what_is_beyond(k: float) -> None:
    proto = _of(k)
    result = rewrite(proto, only=("log-of-one-plus",), ranges=BYTES)
    assert [a.rule for a in result.applied] == ["log-of-one-plus"]  # once: its result is no match
    assert _error(proto, result.proto) < 7e-4


def test_left_alone_where_the_sum_costs_little() -> None:
    assert not rewrite(_of(0.8), only=("log-of-one-plus",), ranges=BYTES).applied
