"""Windows cut out one by one, as torch's unfold exports them, become pools and filters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ..helpers import Graph, difference, faster, operators

SHAPE = (1, 3, 12, 16)
POOL, FILTER = {"MaxPool"}, {"Conv"}


def _stacked(g: Graph, value: str, axis: int, count: int, size: int, step: int = 1) -> Any:
    """`value.unfold(axis, count, step)` as it is exported: a Slice a place, stacked at the end."""
    span = (size - count) // step * step + 1
    parts = [
        g.op("Unsqueeze",
             g.op("Slice", value, np.array([i]), np.array([i + span]), np.array([axis]),
                  np.array([step])),
             axes=[-1])
        for i in range(count)
    ]  # fmt: skip
    return g.op("Concat", *parts, axis=-1)


def _unfolded(g: Graph, rows: int, columns: int, step: int = 1) -> Any:
    high = _stacked(g, "x", 2, rows, SHAPE[2], step)
    return _stacked(g, high, 3, columns, SHAPE[3], step)


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum"])
@pytest.mark.parametrize("size", [(3, 3), (1, 5), (5, 1), (2, 3), (5, 7)], ids=str)
def test_a_window_is_a_pool_or_a_filter(op: str, size: tuple[int, int]) -> None:
    g = Graph(x=SHAPE)
    proto = g.model(g.op(op, _unfolded(g, *size), axes=[-2, -1], keepdims=0))
    result = faster(proto, "unfolded-windows")
    assert [a.rule for a in result.applied] == ["unfolded-windows"]
    assert (POOL if op in ("ReduceMax", "ReduceMin") else FILTER) <= set(operators(result.proto))
    assert not {"Concat", op} & set(operators(result.proto))
    assert difference(proto, result.proto) < 1e-6


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin", "ReduceMean"])
def test_two_reductions_are_one(op: str) -> None:
    """Kornia 0.8's morphology takes the largest along one axis of the window, then the other."""
    g = Graph(x=SHAPE)
    once = g.op(op, _unfolded(g, 3, 5), axes=[4], keepdims=0)
    proto = g.model(g.op(op, once, axes=[4], keepdims=0))
    result = faster(proto, "unfolded-windows")
    assert len(result.applied) == 1
    assert operators(result.proto).count("MaxPool") + operators(result.proto).count("Conv") == 1
    assert difference(proto, result.proto) < 1e-6


def test_places_gathered_by_number() -> None:
    """`torch.nn.functional.unfold`: rows, then columns, gathered by index tables."""
    g = Graph(x=SHAPE)
    rows = g.op("Gather", "x", np.arange(10)[:, None] + np.arange(3), axis=2)
    both = g.op("Gather", rows, np.arange(14)[:, None] + np.arange(3), axis=4)
    proto = g.model(g.op("ReduceMax", both, axes=[3, 5], keepdims=0))
    result = faster(proto, "unfolded-windows")
    assert len(result.applied) == 1
    assert operators(result.proto) == ["MaxPool"]
    assert difference(proto, result.proto) == 0


def _strided(g: Graph) -> Any:
    return g.op("ReduceMax", _unfolded(g, 3, 3, step=2), axes=[-2, -1], keepdims=0)


def _with_a_hole(g: Graph) -> Any:
    """Every place of a 3x3 window but the middle."""
    ends = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    parts = [
        g.op("Unsqueeze",
             g.op("Slice", "x", np.array([y, x]), np.array([y + 10, x + 14]), np.array([2, 3])),
             axes=[0])
        for y, x in ends
    ]  # fmt: skip
    return g.op("ReduceMean", g.op("Concat", *parts, axis=0), axes=[0], keepdims=0)


def _of_two(g: Graph) -> Any:
    stacked = [g.op("Unsqueeze", v, axes=[0]) for v in ("x", g.op("Neg", "x"), "x")]
    return g.op("ReduceMax", g.op("Concat", *stacked, axis=0), axes=[0], keepdims=0)


def _mirrored(g: Graph) -> Any:
    back = g.op("Slice", "x", np.array([-1]), np.array([-99]), np.array([3]), np.array([-1]))
    return g.op("ReduceMax", _stacked(g, back, 3, 3, SHAPE[3]), axes=[-1], keepdims=0)


@pytest.mark.parametrize("build", [_strided, _with_a_hole, _of_two, _mirrored])
def test_other_pixels_stay_as_they_are(build: Any) -> None:
    g = Graph(x=SHAPE)
    proto = g.model(build(g))
    assert not faster(proto, "unfolded-windows").applied


def test_a_stack_that_is_read_elsewhere_stays_for_its_other_reader() -> None:
    g = Graph(x=SHAPE)
    stack = _unfolded(g, 3, 3)
    proto = g.model(g.op("ReduceMax", stack, axes=[-2, -1], keepdims=0), g.op("Neg", stack))
    result = faster(proto, "unfolded-windows")
    assert {"MaxPool", "Neg", "Concat"} <= set(operators(result.proto))
    assert difference(proto, result.proto) == 0
