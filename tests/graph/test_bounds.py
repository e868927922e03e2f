"""Bounds hold for every input, and know integers and steps."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blobsmith.graph.bounds import Bounds, bounds
from blobsmith.graph.editor import Editor
from blobsmith.graph.equivalence import run

UNARY = [
    "Neg({0})", "Abs({0})", "Relu({0})", "Floor({0})", "Ceil({0})", "Tanh({0})", "Sigmoid({0})",
    "Mul({0}, {0})", "Add({0}, k)", "Sub(k, {0})", "Mul({0}, k)", "Div({0}, k)", "Clip({0}, l, h)",
    "Reciprocal({0})", "Sqrt({0})", "Max({0}, k)", "Min({0}, l)", "ReduceMean<axes=[1]>({0})",
    "ReduceL2<axes=[1]>({0})", "Conv<pads=[1,1,1,1]>(x, w)", "Transpose<perm=[0,1,3,2]>({0})",
    "Softmax<axis=1>({0})", "Div({1}, {0})", "Mul({0}, {1})", "Add({0}, {1})", "Sub({1}, {0})",
]  # fmt: skip
WEIGHTS = ", ".join(str(v) for v in np.linspace(-1, 1, 81))
CONSTANTS = (
    f"float k = {{-1.5}}, float l = {{-2}}, float h = {{7}}, float[3,3,3,3] w = {{{WEIGHTS}}}"
)


def model(lines: list[str]) -> onnx.ModelProto:
    """A model of one input whose last line makes y."""
    return onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[1,3,4,4] x) => (float[1,3,4,4] y) '
        f"<{CONSTANTS}> {{ {' '.join(lines)} }}"
    )


SIXTEENTHS = st.integers(-64, 800).map(lambda v: v / 16)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(UNARY), min_size=1, max_size=6), SIXTEENTHS, SIXTEENTHS)
def test_no_value_leaves_its_bounds(steps: list[str], low: float, other: float) -> None:
    """For random graphs and inputs, every value is finite or not as said, and within."""
    low, width = min(low, other), abs(low - other)
    lines, last, before = [], "x", "x"
    for index, step in enumerate(steps):
        lines.append(f"v{index} = {step.format(last, before)}")
        before, last = last, f"v{index}"
    proto = model([*lines, f"y = Identity({last})"])
    for index in range(len(steps)):
        proto.graph.output.append(onnx.helper.make_tensor_value_info(f"v{index}", 1, None))
    e = Editor(proto)
    e.ranges = {"x": (low, low + width)}
    rng = np.random.default_rng(0)
    for fill in (rng.random((1, 3, 4, 4)), np.zeros((1, 3, 4, 4)), np.ones((1, 3, 4, 4))):
        with np.errstate(all="ignore"):
            found = run(proto, {"x": (low + fill * width).astype(np.float32)})
        for name, array in found.items():
            known = bounds(e, name)
            assert known.nan or not np.isnan(array).any(), name
            numbers = array[~np.isnan(array)].astype(np.float64)
            slack = 1e-4 * max(1.0, *np.abs(numbers[np.isfinite(numbers)]), 1.0)
            assert (numbers >= known.low - slack).all(), name
            assert (numbers <= known.high + slack).all(), name


@pytest.mark.parametrize(
    ("lines", "low"),
    [
        (["u = Neg(x) y = Reciprocal(u)"], -np.inf),  # of -0 it is -inf
        (["u = Abs(x) y = Reciprocal(u)"], 0),
        (["u = Mul(x, x) v = Sqrt(u) y = Div(v, v)"], 0),
        (["u = Ceil(x) y = Reciprocal(u)"], -np.inf),  # of -0.5 it is -0
    ],
)
def test_a_quotient_by_zero_has_the_sign_of_the_zero(lines: list[str], low: float) -> None:
    e = Editor(model(lines))
    e.ranges = {"x": (0, 0) if "Neg" in lines[0] else (-0.5, 3)}
    assert bounds(e, "y").low == low


@pytest.mark.parametrize(
    ("lines", "integral", "whole"),
    [
        (["y = Relu(x)"], True, True),
        (["y = Mul(x, h)"], True, True),
        (["y = Mul(x, k)"], False, False),
        (["u = Mul(x, k) y = Div(u, k)"], False, True),
        (["u = Div(x, h) v = Neg(u) y = Mul(v, h)"], False, True),
        (["u = Div(x, h) y = Floor(u)"], True, True),
        (["u = Div(x, h) f = Floor(u) p = Mul(f, h) y = Sub(x, p)"], True, True),
    ],
)
def test_whole_numbers(lines: list[str], integral: bool, whole: bool) -> None:
    """Integers computed from integers are known apart from what is one in theory only."""
    e = Editor(model(lines))
    e.ranges, e.whole_inputs = {"x": (0, 255)}, frozenset(["x"])
    known = bounds(e, "y")
    assert (known.integral, known.whole) == (integral, whole)


def test_remainder_is_narrower_than_its_operands_say() -> None:
    """x - floor(x / 7) 7 lies in 0..6 for integers."""
    e = Editor(model(["u = Div(x, h) f = Floor(u) p = Mul(f, h) y = Sub(x, p)"]))
    e.ranges, e.whole_inputs = {"x": (0, 255)}, frozenset(["x"])
    known = bounds(e, "y")
    assert (known.low, known.high) == (0, 6)


@pytest.mark.parametrize(
    ("lines", "low"),
    [
        (["a = ReduceMax<axes=[1]>(x) b = ReduceMin<axes=[1]>(x) y = Sub(a, b)"], 0),
        (["n = Neg(x) a = Max(x, n, k) b = Min(n, h) y = Sub(a, b)"], 0),
        (["a = ReduceMax<axes=[1]>(x) b = ReduceMin<axes=[2]>(x) y = Sub(a, b)"], -255),
        (["a = ReduceMin<axes=[1]>(x) b = ReduceMax<axes=[1]>(x) y = Sub(a, b)"], -255),
    ],
)
def test_the_largest_less_the_smallest_is_not_negative(lines: list[str], low: float) -> None:
    e = Editor(model(lines))
    e.ranges = {"x": (0, 255)}
    assert bounds(e, "y").low == low


def test_a_cast_to_bytes_wraps_around() -> None:
    e = Editor(model(["a = Add(x, h) b = Cast<to=2>(a) y = Cast<to=1>(b)"]))
    for high, expected in ((255, (0, 255)), (248, (7, 255))):  # h is 7
        e.ranges = {"x": (0, high)}
        e.memo.clear()
        known = bounds(e, "y")
        assert (known.low, known.high) == expected


def test_long_chains_need_no_deep_stack() -> None:
    """Thousands of nodes in a row are walked without recursion."""
    lines = ["v0 = Abs(x)"] + [f"v{i} = Relu(v{i - 1})" for i in range(1, 3000)]
    e = Editor(model([*lines, "y = Neg(v2999)"]))
    assert Bounds(e, {"x": (-2, 3)}).of("y").low == -3
