"""Chains of filters: between two in blocks of one size, the pixels stay where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from ..helpers import Graph, difference, faster, operators

RULES = ("linear-filter", "stay-in-blocks", "moved-elements")


def _chain(size: tuple[int, int], between: str, mode: str = "constant", taps: int = 7) -> Any:
    """Two filters with zeros around them, and an operator on single pixels between."""
    g = Graph(x=(1, 1, *size))
    rng = np.random.default_rng(0)
    reach = taps // 2
    value = "x"
    for index in range(2):
        if mode != "constant":
            pads = [0, 0, reach, reach, 0, 0, reach, reach]
            wide = g.op("Pad", value, pads, mode=mode)
            value = g.op("Conv", wide, rng.uniform(-1, 1, (1, 1, taps, taps)), np.ones(1))
        else:
            kernel = rng.uniform(-1, 1, (1, 1, taps, taps))
            value = g.op("Conv", value, kernel, np.ones(1), pads=[reach] * 4)
        if index == 0 and between == "Scale":
            value = g.op("Relu", g.op("Sub", 3.0, g.op("Mul", value, 0.5)))
        elif index == 0:
            value = g.op(between, value)
    return g.model(g.op("Relu", value))


def _price(proto: onnx.ModelProto) -> float:
    """Blocks of 4 are cheap, and so is leaving out a Transpose or a Pad."""
    price = 0.0
    for node in proto.graph.node:
        strides = [tuple(a.ints) for a in node.attribute if a.name == "strides"]
        plain = {"Conv": 10.0, "Transpose": 1.0, "Pad": 1.0}
        price += 4.0 if (4, 4) in strides else plain.get(node.op_type, 0.1)
        dims = _kernel_inputs(proto, node)
        price -= 8.0 if node.op_type == "Conv" and dims > 4 else 0.0
    return price


def _kernel_inputs(proto: onnx.ModelProto, node: onnx.NodeProto) -> int:
    for tensor in proto.graph.initializer:
        if len(node.input) > 1 and tensor.name == node.input[1] and len(tensor.dims) == 4:
            return int(tensor.dims[1])
    return 0


@pytest.mark.parametrize("between", ["Relu", "Sigmoid", "Scale"])
def test_one_way_to_pixels_for_two_filters(between: str) -> None:
    proto = _chain((32, 48), between)
    result = faster(proto, *RULES, cost=_price)
    assert operators(result.proto).count("Transpose") == 1
    assert "stay-in-blocks" in {a.rule for a in result.applied}
    assert difference(proto, result.proto) < 1e-5


def test_a_reflection_needs_the_pixels() -> None:
    proto = _chain((32, 48), "Relu", mode="reflect")
    result = faster(proto, *RULES, cost=_price)
    assert "stay-in-blocks" not in {a.rule for a in result.applied}
    assert difference(proto, result.proto) < 1e-5


def test_blocks_that_were_cut_need_the_pixels() -> None:
    proto = _chain((34, 50), "Relu")
    result = faster(proto, *RULES, cost=_price)
    assert "stay-in-blocks" not in {a.rule for a in result.applied}
    assert difference(proto, result.proto) < 1e-5


def test_a_norm_between_needs_the_pixels() -> None:
    """An operator that mixes pixels cannot be moved into blocks."""
    g = Graph(x=(1, 1, 32, 48))
    rng = np.random.default_rng(0)
    first = g.op("Conv", "x", rng.uniform(-1, 1, (1, 1, 7, 7)), pads=[3] * 4)
    mixed = g.op("MaxPool", g.op("Relu", first), kernel_shape=[3, 3], pads=[1] * 4)
    proto = g.model(g.op("Relu", g.op("Conv", mixed, np.ones((1, 1, 7, 7)), pads=[3] * 4)))
    result = faster(proto, *RULES, cost=_price)
    assert "stay-in-blocks" not in {a.rule for a in result.applied}
    assert difference(proto, result.proto) < 1e-5
