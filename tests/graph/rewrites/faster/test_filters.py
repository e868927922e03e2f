"""However a linear map is spelled, it becomes one kernel, written in the cheapest form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from blobsmith.graph.rewrites.linear.scene import groups

from ..helpers import Graph, difference, editor, faster, operators

RULE = "linear-filter"
H, W = 6, 6  # too small for blocks


def _laplacian(g: Graph) -> Any:
    """Kornia 0.9's: running sums of slices instead of a convolution."""
    wide = g.op("Pad", g.op("Div", "x", 255.0), [0, 0, 2, 2, 0, 0, 2, 2], mode="reflect")
    value = wide
    for axis, size in ((2, H), (3, W)):
        parts = [g.op("Slice", value, [i], [i + size], [axis]) for i in range(5)]
        value = parts[0]
        for part in parts[1:]:
            value = g.op("Add", value, part)
    return g.op("Sub", value, g.op("Mul", g.op("Div", "x", 255.0), 25.0))


def _gray(g: Graph) -> Any:
    parts = g.op("Split", g.op("Div", "x", 255.0), outputs=3, axis=1)
    weighted = [g.op("Mul", p, w) for p, w in zip(parts, (0.299, 0.587, 0.114), strict=True)]
    return g.op("Add", g.op("Add", weighted[0], weighted[1]), weighted[2])


def _ycbcr(g: Graph) -> Any:
    r, gr, b = g.op("Split", "x", outputs=3, axis=1)
    y = g.op(
        "Add", g.op("Mul", r, 0.299), g.op("Add", g.op("Mul", gr, 0.587), g.op("Mul", b, 0.114))
    )
    cb = g.op("Add", g.op("Mul", g.op("Sub", b, y), 0.564), 128.0)
    cr = g.op("Add", g.op("Mul", g.op("Sub", r, y), 0.713), 128.0)
    return g.op("Concat", y, cb, cr, axis=1)


def _matrix(g: Graph) -> Any:
    flat = g.op("Reshape", "x", [1, 3, H * W])
    mixed = g.op("MatMul", np.random.default_rng(0).uniform(0.1, 1, (3, 3)), flat)
    return g.op("Reshape", mixed, [1, 3, H, W])


def _box(g: Graph) -> Any:
    return g.op("AveragePool", "x", kernel_shape=[5, 5], pads=[2] * 4, count_include_pad=1)


def _sum_of_channels(g: Graph) -> Any:
    return g.op("ReduceSum", "x", axes=[1], keepdims=0)


def _unsharp(g: Graph) -> Any:
    wide = g.op("Pad", "x", [0, 0, 2, 2, 0, 0, 2, 2], mode="reflect")
    blurred = g.op("Conv", wide, np.ones((3, 1, 5, 5)) / 25, group=3)
    return g.op("Add", "x", g.op("Mul", g.op("Sub", "x", blurred), 1.5))


def _normalized(g: Graph) -> Any:
    centred = g.op("Sub", g.op("Div", "x", 255.0), np.array([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1))
    flat = g.op("Reshape", centred, [1, 3, -1])
    scaled = g.op("Div", flat, np.array([0.2, 0.3, 0.25]).reshape(1, 3, 1))
    return g.op("Reshape", scaled, [1, 3, H, W])


def _half(g: Graph) -> Any:
    wide = g.op("Pad", "x", [0, 0, 2, 2, 0, 0, 2, 2], mode="reflect")
    blurred = g.op("Conv", wide, np.random.default_rng(0).uniform(0, 1, (3, 1, 5, 5)), group=3)
    roi = np.zeros(0, np.float32)
    return g.op("Resize", blurred, roi, roi, np.array([1, 3, H // 2, W // 2]), mode="linear",
                coordinate_transformation_mode="half_pixel")  # fmt: skip


def _without_blocks(proto: Any) -> float:
    """A cost that sees no gain in blocks: as many dimensions as it takes, one operator less."""
    return sum(
        {"Transpose": 50, "AveragePool": 40, "ReduceSum": 20, "Conv": 2}.get(n.op_type, 1)
        for n in proto.graph.node
        if n.op_type not in ("Reshape", "Identity", "Split", "Squeeze", "Unsqueeze", "Slice")
    )


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (_laplacian, ["Pad", "Conv"]),
        (_gray, ["Conv"]),
        (_ycbcr, ["Conv"]),
        (_box, ["Conv"]),
        (_sum_of_channels, ["Conv"]),
        (_unsharp, ["Pad", "Conv"]),
        (_half, ["Pad", "Conv"]),
        (_normalized, ["Mul", "Add"]),
    ],
)
def test_one_kernel(build: Callable[[Graph], Any], expected: list[str]) -> None:
    g = Graph(x=(1, 3, H, W))
    proto = g.model(build(g))
    result = faster(proto, RULE, cost=_without_blocks)
    found = operators(result.proto)
    assert [op for op in found if op != "Mul" or "Mul" in expected] == expected
    assert difference(proto, result.proto) < 1e-5


def test_a_matrix_of_colours_is_a_convolution_if_that_is_cheaper() -> None:
    g = Graph(x=(1, 3, H, W))
    proto = g.model(_matrix(g))
    cost = {"MatMul": 5.0}
    result = faster(proto, RULE, cost=lambda p: sum(cost.get(n.op_type, 1.0) for n in p.graph.node))
    assert operators(result.proto) in (["Conv"], ["MatMul"])
    assert difference(proto, result.proto) < 1e-5


def test_gradients_come_from_one_pass() -> None:
    g = Graph(x=(1, 3, H, W))
    wide = g.op("Pad", "x", [0, 0, 1, 1, 0, 0, 1, 1], mode="edge")
    rng = np.random.default_rng(0)
    parts = [g.op("Conv", wide, rng.uniform(-1, 1, (3, 1, 3, 3)), group=3) for _ in range(2)]
    proto = g.model(g.op("Add", *(g.op("Mul", p, p) for p in parts)))
    [group] = [k for k in groups(editor(proto)).values() if k.form.sources == ("x",)]
    assert group.rows == (3, 3)
    result = faster(proto, RULE, cost=_without_blocks)
    assert operators(result.proto).count("Conv") == 1
    assert difference(proto, result.proto) < 1e-5


def test_parallel_blurs_of_different_images_share_a_pass() -> None:
    """The structure tensor: three products, blurred alike."""
    g = Graph(x=(1, 1, 32, 32), y=(1, 1, 32, 32))
    products = [g.op("Mul", a, b) for a, b in (("x", "x"), ("y", "y"), ("x", "y"))]
    blurred = []
    for product in products:
        wide = g.op("Pad", product, [0, 0, 3, 3, 0, 0, 3, 3], mode="reflect")
        blurred.append(g.op("Conv", wide, np.ones((1, 1, 7, 7)) / 49))
    mixed = g.op("Sub", g.op("Mul", blurred[0], blurred[1]), g.op("Mul", blurred[2], blurred[2]))
    proto = g.model(mixed)
    result = faster(proto, RULE, cost=lambda p: operators(p).count("Pad"))
    found = operators(result.proto)
    assert (found.count("Conv"), found.count("Pad"), found.count("Concat")) == (1, 1, 1)
    assert difference(proto, result.proto) < 1e-5


def test_what_one_map_needs_of_another_is_not_put_beside_it() -> None:
    """The second blur reads the square of the first: they cannot share a pass."""
    g = Graph(x=(1, 1, 32, 32))
    value = "x"
    for _ in range(2):
        wide = g.op("Pad", value, [0, 0, 2, 2, 0, 0, 2, 2], mode="reflect")
        conv = g.op("Conv", wide, np.ones((1, 1, 5, 5)) / 25)
        value = g.op("Mul", conv, conv)
    proto = g.model(value)
    assert len([k for k in groups(editor(proto)).values() if max(k.form.taps) > 1]) == 2
    assert difference(proto, faster(proto, RULE).proto) < 1e-5


def test_sizes_that_the_block_does_not_divide() -> None:
    g = Graph(x=(1, 3, 37, 46))
    wide = g.op("Pad", "x", [0, 0, 4, 4, 0, 0, 4, 4], mode="reflect")
    kernel = np.random.default_rng(0).uniform(0, 1, (3, 1, 9, 9))
    proto = g.model(g.op("Conv", wide, kernel, group=3))
    found = {}
    for size in (2, 3, 4, 5):
        result = faster(proto, RULE, cost=lambda p, s=size: 0.5 if _block(p) == s else 1.0)
        if result.applied:
            found[size] = result.applied[0].variant
            assert difference(proto, result.proto) < 1e-5
    assert found


def _block(proto: Any) -> int:
    for node in proto.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Conv" and attribute.name == "strides" and attribute.ints[0] > 1:
                return int(attribute.ints[0])
    return 1


def test_without_a_cost_the_estimate_decides() -> None:
    g = Graph(x=(1, 3, 120, 160))
    proto = g.model(_gray(g))
    result = faster(proto, RULE, cost=None)
    assert operators(result.proto) == ["Conv"]
    assert result.applied[0].variant in ("", "dense")


def test_a_network_is_left_alone() -> None:
    """A convolution that uses the engine well, and a residual sum, cost no less as one kernel."""
    g = Graph(x=(1, 64, 28, 28))
    rng = np.random.default_rng(0)
    inner = g.op("Relu", g.op("Conv", "x", rng.uniform(-1, 1, (64, 64, 3, 3)), pads=[1] * 4))
    conv = g.op("Conv", inner, rng.uniform(-1, 1, (64, 64, 3, 3)), pads=[1] * 4)
    proto = g.model(g.op("Relu", g.op("Add", conv, "x")))
    assert not faster(proto, RULE, cost=None).applied


def test_kernels_that_the_engine_does_not_take_are_left_alone() -> None:
    g = Graph(x=(1, 1, 64, 64))
    proto = g.model(g.op("Conv", "x", np.ones((1, 1, 31, 31)) / 961, pads=[15] * 4))
    assert not faster(proto, RULE, cost=None).applied


def test_reducing_to_one_number_behind_a_convolution_goes_over_space_first() -> None:
    """The compiler refuses to see what the engine wrote as one long vector."""
    g = Graph(x=(1, 3, H, W))
    mixed = _ycbcr(g)
    proto = g.model(g.op("Div", mixed, g.op("ReduceMax", mixed, axes=[1, 2, 3], keepdims=1)))
    result = faster(proto, RULE, cost=_without_blocks)
    assert operators(result.proto) == ["Conv", "ReduceMax", "ReduceMax", "Div"]
    assert difference(proto, result.proto) < 1e-5


def test_an_epsilon_is_not_put_into_a_bias() -> None:
    """A bias is a constant of FP16: 1e-6 would become 0, and 5e-5 be rounded up."""
    for epsilon in (1e-6, 5e-5):
        g = Graph(x=(1, 3, H, W))
        proto = g.model(g.op("Sqrt", g.op("Add", _gray(g), epsilon)))
        result = faster(proto, RULE, cost=_without_blocks)
        assert operators(result.proto) == ["Conv", "Add", "Sqrt"]
        assert difference(proto, result.proto) < 1e-5
