"""Bounds: exact where the operator is linear, sound and sharp elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from blobsmith.numerics.intervals import Analysis, Reach, analyse
from blobsmith.numerics.intervals.interval import groups
from blobsmith.numerics.network import read
from blobsmith.tensors import TensorSpec

from ..graphs import model

F = np.float32
SHAPE = (1, 2, 6, 6)


def node(op: str, inputs: list[str], output: str = "y", **attrs: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], **attrs)


def bounds(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Any] | None = None,
    *,
    specs: dict[str, TensorSpec] | None = None,
    half: bool = False,
    opset: int = 13,
    output: str = "y",
) -> Analysis:
    """The analysis of a graph on x (U8, SHAPE) or on the given inputs."""
    specs = specs or {"x": TensorSpec("x", SHAPE, "u8")}
    proto = model(
        nodes, {n: s.shape for n, s in specs.items()}, {output: None}, constants, opset=opset
    )
    return analyse(read(proto), list(specs.values()), half=half)


def ranged(low: float, high: float, shape: tuple[int, ...] = SHAPE) -> dict[str, TensorSpec]:
    return {"x": TensorSpec("x", shape, "fp16", value_range=(low, high))}


def convolution_extremes(
    weights: np.ndarray, pads: int, low: float, high: float, size: int
) -> tuple[float, float]:
    """The true extremes over all positions: the input that suits each output's weights best."""
    best = [np.inf, -np.inf]
    outs, ins, k, _ = weights.shape
    for o in range(outs):
        for y in range(size + 2 * pads - k + 1):
            for x in range(size + 2 * pads - k + 1):
                total = [0.0, 0.0]
                for i in range(ins):
                    for a in range(k):
                        for b in range(k):
                            if 0 <= y + a - pads < size and 0 <= x + b - pads < size:
                                w = float(weights[o, i, a, b])
                                total[0] += min(w * low, w * high)
                                total[1] += max(w * low, w * high)
                best = [min(best[0], total[0]), max(best[1], total[1])]
    return best[0], best[1]


@pytest.mark.parametrize(("low", "high"), [(0.0, 255.0), (10.0, 20.0), (-3.0, -1.0), (-2.0, 5.0)])
@pytest.mark.parametrize("pads", [0, 1])
def test_convolution_bounds_are_exact_with_and_without_padding(
    low: float, high: float, pads: int
) -> None:
    weights = np.random.default_rng(0).normal(size=(3, 2, 3, 3)).astype(F)
    found = bounds(
        [node("Conv", ["x", "w"], pads=[pads] * 4)], {"w": weights}, specs=ranged(low, high)
    )["y"]
    lowest, highest = convolution_extremes(weights, pads, low, high, 6)
    assert found.low == pytest.approx(lowest, rel=1e-5)
    assert found.high == pytest.approx(highest, rel=1e-5)
    assert found.low <= lowest
    assert found.high >= highest


def test_bounds_are_kept_for_each_channel() -> None:
    found = bounds([node("Mul", ["x", "c"])], {"c": np.array([2, -3], F).reshape(1, 2, 1, 1)})["y"]
    assert found.lo.reshape(-1).tolist() == [0.0, -765.0]
    assert found.hi.reshape(-1).tolist() == [510.0, 0.0]


def test_linear_chain_is_taken_together() -> None:
    """x - blur(x) reaches (1 - k0) * 255 above and -255 * (1 - k0) below, not +-255."""
    kernel = np.full((2, 1, 3, 3), 1 / 9, F)
    nodes = [
        node("Pad", ["x", "pads"], "p", mode="reflect"),
        node("Conv", ["p", "k"], "b", group=2),
        node("Sub", ["x", "b"]),
    ]
    found = bounds(nodes, {"k": kernel, "pads": np.array([0, 0, 1, 1] * 2)})
    assert found["y"].high == pytest.approx(255 * 8 / 9, rel=1e-4)
    assert found["y"].low == pytest.approx(-255 * 8 / 9, rel=1e-4)
    assert found.reach["y"] == Reach.ATTAINED


def test_chains_of_convolutions_compose_across_reshapes_and_slices() -> None:
    """A difference of shifted pixels after a 2x2 sum keeps only the outer column: +-510."""
    nodes = [
        node("Conv", ["x", "box"], "s", group=2),
        node("Reshape", ["s", "flat"], "r"),
        node("Slice", ["r", "i0", "i4", "ax"], "a"),
        node("Slice", ["r", "i1", "i5", "ax"], "b"),
        node("Sub", ["a", "b"]),
    ]
    constants = {
        "box": np.ones((2, 1, 2, 2), F), "flat": np.array([2, 1, 5, 5]), "ax": np.array([3]),
        "i0": np.array([0]), "i1": np.array([1]), "i4": np.array([4]), "i5": np.array([5]),
    }  # fmt: skip
    found = bounds(nodes, constants)["y"]
    assert found.high == pytest.approx(510, rel=1e-4)
    assert found.low == pytest.approx(-510, rel=1e-4)


def test_different_borders_are_not_taken_for_the_same() -> None:
    """Zero and edge padding of x differ at the border, so their difference is not 0."""
    nodes = [
        node("Pad", ["x", "pads"], "e", mode="edge"),
        node("Pad", ["x", "pads"], "z", mode="constant"),
        node("Sub", ["e", "z"]),
    ]
    found = bounds(nodes, {"pads": np.array([0, 0, 1, 1] * 2)})["y"]
    assert found.high >= 255


@pytest.mark.parametrize(
    ("op", "low", "high", "expected"),
    [
        ("Sqrt", 0.0, 4.0, (0.0, 2.0)),
        ("Abs", -3.0, 2.0, (0.0, 3.0)),
        ("Relu", -3.0, 2.0, (0.0, 2.0)),
        ("Exp", 0.0, 1.0, (1.0, np.e)),
        ("Neg", -3.0, 2.0, (-2.0, 3.0)),
        ("Floor", -0.5, 2.5, (-1.0, 2.0)),
        ("Reciprocal", 2.0, 4.0, (0.25, 0.5)),
        ("Sigmoid", -20.0, 20.0, (0.0, 1.0)),
        ("Sign", 0.5, 2.0, (1.0, 1.0)),
        ("HardSwish", -4.0, 3.0, (-0.375, 3.0)),
        ("Softplus", 0.0, 0.0, (np.log(2), np.log(2))),
        ("LeakyRelu", -100.0, 1.0, (-1.0, 1.0)),
    ],
)
def test_unary_bounds(op: str, low: float, high: float, expected: tuple[float, float]) -> None:
    found = bounds([node(op, ["x"])], specs=ranged(low, high), opset=14)["y"]
    assert (found.low, found.high) == pytest.approx(expected, abs=3e-5, rel=1e-4)
    assert not found.nan


def test_square_of_one_tensor_is_not_negative_but_a_product_may_be() -> None:
    two = {n: TensorSpec(n, SHAPE, "fp16", value_range=(-3.0, 2.0)) for n in ("x", "z")}
    assert bounds([node("Mul", ["x", "x"])], specs=ranged(-3, 2))["y"].low == 0.0
    assert bounds([node("Mul", ["x", "z"])], specs=two)["y"].low == pytest.approx(-6)
    assert bounds([node("Pow", ["x", "c"])], {"c": F(2)}, specs=ranged(-3, 2))["y"].low == 0.0


def test_division_near_zero_is_unbounded_and_away_from_it_exact() -> None:
    c = {"c": F(1.0)}
    wide = bounds([node("Div", ["c", "x"])], c, specs=ranged(0.0, 2.0))["y"]
    assert wide.high == np.inf
    near = bounds([node("Div", ["c", "x"])], c, specs=ranged(0.5, 2.0))["y"]
    assert (near.low, near.high) == pytest.approx((0.5, 2.0))
    zero = bounds([node("Div", ["x", "z"])],
                  specs={n: TensorSpec(n, SHAPE, "u8") for n in ("x", "z")})["y"]  # fmt: skip
    assert zero.nan, "0 / 0"


def test_fp16_overflow_becomes_infinite_and_reaches_what_follows() -> None:
    nodes = [node("Mul", ["x", "x"], "s"), node("Mul", ["s", "c"], "t"), node("Sqrt", ["t"])]
    exact = bounds(nodes, {"c": F(2.0)})
    half = bounds(nodes, {"c": F(2.0)}, half=True)
    assert exact["t"].high == pytest.approx(130050)
    assert half["s"].high == 65024.0  # 65025 rounded to FP16
    assert half["t"].high == np.inf
    assert half["y"].high == np.inf
    assert exact["y"].high == pytest.approx(360.6, abs=0.1)


def test_overflow_threshold_is_that_of_rounding() -> None:
    """65519 rounds to 65504, 65520 to infinity."""
    below = bounds([node("Add", ["x", "c"])], {"c": F(65519 - 255)}, half=True)["y"]
    above = bounds([node("Add", ["x", "c"])], {"c": F(65520 - 255)}, half=True)["y"]
    assert below.high == 65504.0
    assert above.high == np.inf


def test_relations_keep_the_usual_guards_from_looking_unsafe() -> None:
    soft = [
        node("ReduceMax", ["x"], "m", axes=[1], keepdims=1),
        node("Sub", ["x", "m"], "d"),
        node("Exp", ["d"]),
    ]
    assert bounds(soft, half=True)["y"].high == 1.0
    norm = [
        node("Mul", ["x", "x"], "s"),
        node("ReduceSum", ["s", "ax"], "t", keepdims=1),
        node("Add", ["t", "e"], "g"),
        node("Sqrt", ["g"], "n"),
        node("Div", ["x", "n"]),
    ]
    unit = bounds(norm, {"ax": np.array([1]), "e": F(0.01)}, specs=ranged(-1, 1))["y"]
    assert unit.magnitude <= 1.01


def test_a_relation_needs_its_axes() -> None:
    """The maximum over another axis, reshaped to look alike, bounds nothing."""
    nodes = [
        node("ReduceMax", ["x"], "m", axes=[0], keepdims=1),
        node("Reshape", ["m", "s"], "r"),
        node("Sub", ["x", "r"]),
    ]
    specs = {"x": TensorSpec("x", (4, 4), "u8")}
    assert bounds(nodes, {"s": np.array([4, 1])}, specs=specs)["y"].high == 255.0


@pytest.mark.parametrize(
    ("nodes", "constants", "expected"),
    [
        ([node("Concat", ["x", "x"], axis=1)], {}, (0, 255)),
        ([node("Pad", ["x", "p", "v"])], {"p": np.array([0, 0, 1, 1] * 2), "v": F(-7)}, (-7, 255)),
        ([node("Clip", ["x", "a", "b"])], {"a": F(10), "b": F(20)}, (10, 20)),
        ([node("Max", ["x", "a"])], {"a": F(100)}, (100, 255)),
        ([node("ReduceMean", ["x"], axes=[1, 2, 3])], {}, (0, 255)),
        ([node("ReduceSum", ["x", "a"])], {"a": np.array([1])}, (0, 510)),
        ([node("AveragePool", ["x"], kernel_shape=[2, 2])], {}, (0, 255)),
        ([node("MaxPool", ["x"], kernel_shape=[3, 3], pads=[1] * 4)], {}, (0, 255)),
        ([node("Softmax", ["x"], axis=1)], {}, (0, 1)),
        ([node("Resize", ["x", "", "s"], mode="linear")],
         {"s": np.array([1, 1, 2, 2], F)}, (0, 255)),
        ([node("Cast", ["x"], "i", to=6), node("Cast", ["i"], to=1)], {}, (0, 255)),
        ([node("Greater", ["x", "c"], "b"), node("Where", ["b", "x", "d"])],
         {"c": F(9), "d": F(-1)}, (-1, 255)),
        ([node("MatMul", ["x", "w"])], {"w": np.ones((6, 2), F)}, (0, 1530)),
        ([node("Einsum", ["w", "x"], equation="oc,bchw->bohw")],
         {"w": np.array([[1, -1], [0.5, 0.5]], F)}, (-255, 255)),
    ],
)  # fmt: skip
def test_other_families(
    nodes: list[onnx.NodeProto], constants: dict[str, Any], expected: tuple[float, float]
) -> None:
    found = bounds(nodes, constants)["y"]
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-4)


def test_cubic_interpolation_may_overshoot() -> None:
    found = bounds([node("Resize", ["x", "", "s"], mode="cubic")],
                   {"s": np.array([1, 1, 2, 2], F)})["y"]  # fmt: skip
    assert found.low < -50
    assert 300 < found.high < 420


def test_unknown_operators_and_ranges_are_said() -> None:
    custom = helper.make_node("Mystery", ["x"], ["y"], domain="example", name="puzzle")
    proto = model([custom], {"x": SHAPE}, {"y": SHAPE})
    proto.opset_import.append(helper.make_opsetid("example", 1))
    found = analyse(read(proto), [TensorSpec("x", SHAPE, "fp16")], half=False)
    assert found["y"].nan
    assert found["y"].high == np.inf
    assert found["x"].high == 65504.0
    assert any("puzzle" in note for note in found.notes)
    assert any("value_range" in note for note in found.notes)


def test_nan_makes_comparisons_undecided() -> None:
    nodes = [node("Log", ["x"], "l"), node("Sub", ["l", "l"], "d"), node("Less", ["d", "c"], "b"),
             node("Cast", ["b"], to=1)]  # fmt: skip
    found = bounds(nodes, {"c": F(1)})["y"]
    assert (found.low, found.high) == (0.0, 1.0), "log 0 - log 0 is NaN, and NaN is not below 1"


def test_large_constants_do_not_make_bounds_large() -> None:
    ramp = np.linspace(0, 1, 400 * 500, dtype=F).reshape(1, 1, 400, 500)
    specs = {"x": TensorSpec("x", (1, 2, 400, 500), "u8")}
    found = bounds([node("Mul", ["x", "c"])], {"c": ramp}, specs=specs)["y"]
    assert found.high == pytest.approx(255)
    assert found.lo.size < 1 << 17


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((1, 3, 4, 5), (3, 4, 5), [([0, 1], [0]), ([2], [1]), ([3], [2])]),
        ((2, 6), (2, 2, 3), [([0], [0]), ([1], [1, 2])]),
        ((4, 3), (6, 2), [([0, 1], [0, 1])]),
    ],
)
def test_reshape_groups(
    before: tuple[int, ...], after: tuple[int, ...], expected: list[tuple[list[int], list[int]]]
) -> None:
    assert groups(before, after) == expected
