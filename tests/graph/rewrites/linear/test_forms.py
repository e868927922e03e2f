"""The algebra of linear forms: what a form says is what ONNX Runtime computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blobsmith.graph.rewrites.linear.form import Axis, Form
from blobsmith.graph.rewrites.linear.trace import trace

from ..helpers import Graph, editor, frames, values

_MODES = {"": "constant", "constant": "constant", "edge": "edge", "reflect": "reflect",
          "wrap": "wrap"}  # fmt: skip


def evaluate(form: Form, feeds: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """The form's value by its definition, pixel by pixel in numpy."""
    parts = [
        feeds[n].reshape(c, form.y.base, form.x.base)
        for n, c in zip(form.sources, form.channels, strict=True)
    ]
    image = np.concatenate(parts).astype(np.float64)
    for index, (axis, taps) in enumerate(((form.y, form.taps[0]), (form.x, form.taps[1])), 1):
        before, after = max(-axis.start, 0), max(axis.last(taps) - axis.base, 0)
        widths = [(0, 0)] * 3
        widths[index] = (before, after)
        image = np.pad(image, widths, mode=_MODES[axis.mode])
        first = max(axis.start, 0)
        image = np.take(image, range(first, image.shape[index]), index)
    out = np.zeros((form.rows, form.y.size, form.x.size))
    for u in range(form.taps[0]):
        for v in range(form.taps[1]):
            seen = image[:, u:, v:][:, :: form.y.stride, :: form.x.stride]
            seen = seen[:, : form.y.size, : form.x.size]
            out += np.einsum("ri,ihw->rhw", form.kernel[:, :, u, v], seen)
    return (out + form.bias[:, None, None]).reshape(form.shape)


def check(graph: Graph, value: str) -> Form:
    """The form of a value, after comparing it with ONNX Runtime."""
    proto = graph.model(value)
    e = editor(proto)
    form = trace(e, value)
    assert form is not None
    feeds = frames(proto)
    for known in values(e, [value, *form.sources], feeds):
        np.testing.assert_allclose(evaluate(form, known), known[value], rtol=1e-4, atol=2e-3)
    return form


def _blur(rows: int, columns: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(rows * 31 + columns).uniform(-1, 1, (3, 1, rows, columns))


def test_gray_and_gradient_are_one_kernel() -> None:
    g = Graph(x=(1, 3, 12, 14))
    parts = g.op("Split", g.op("Div", "x", 255.0), outputs=3, axis=1)
    gray = g.op("Add", g.op("Mul", parts[0], 0.3), g.op("Mul", parts[1], 0.6))
    gray = g.op("Add", gray, g.op("Mul", parts[2], 0.1))
    wide = g.op("Pad", gray, [0, 0, 1, 1, 0, 0, 1, 1], mode="edge")
    kernels = np.array([[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]])
    form = check(g, g.op("Conv", wide, kernels[:, None].astype(float)))
    assert form.sources == ("x",)
    assert form.kernel.shape == (2, 3, 3, 3)
    assert (form.y.mode, form.y.start) == ("edge", -1)


def test_depthwise_in_the_batch_is_rows() -> None:
    g = Graph(x=(1, 3, 10, 12))
    apart = g.op("Reshape", "x", [3, 1, 10, 12])
    wide = g.op("Pad", apart, [0, 0, 1, 1, 0, 0, 1, 1], mode="reflect")
    conv = g.op("Conv", wide, np.random.default_rng(1).uniform(-1, 1, (2, 1, 3, 3)))
    whole = g.op("Reshape", conv, [1, 3, 2, 10, 12])
    form = check(g, g.op("Gather", whole, 1, axis=2))
    assert form.kernel.shape == (3, 3, 3, 3)
    off = form.kernel * (1 - np.eye(3))[:, :, None, None]
    assert not off.any()


def test_circular_padding_by_slices() -> None:
    g = Graph(x=(1, 2, 9, 11))
    before = g.op("Slice", "x", [7], [9], [2])
    after = g.op("Slice", "x", [0], [2], [2])
    wide = g.op("Concat", before, "x", after, axis=2)
    form = check(g, g.op("Conv", wide, np.random.default_rng(2).uniform(-1, 1, (2, 2, 5, 1))))
    assert (form.y.mode, form.y.start, form.y.size) == ("wrap", -2, 9)


def test_two_passes_with_a_reflection_each_commute() -> None:
    g = Graph(x=(1, 3, 13, 12))
    value = "x"
    for pads, shape in (([0, 2], (1, 5)), ([3, 0], (7, 1))):
        wide = g.op("Pad", value, [0, 0, *pads, 0, 0, *pads], mode="reflect")
        value = g.op("Conv", wide, _blur(*shape), group=3)
    assert check(g, value).taps == (7, 5)


def test_reflecting_a_filtered_image_is_not_linear_in_the_image() -> None:
    g = Graph(x=(1, 1, 12, 12))
    value = "x"
    for _ in range(2):
        wide = g.op("Pad", value, [0, 0, 1, 1, 0, 0, 1, 1], mode="reflect")
        value = g.op("Conv", wide, np.random.default_rng(3).uniform(-1, 1, (1, 1, 3, 3)))
    assert check(g, value).sources != ("x",)


@pytest.mark.parametrize("mode", ["reflect", "edge", "constant"])
def test_zero_padding_stops_where_a_bias_would_leak_in(mode: str) -> None:
    g = Graph(x=(1, 1, 8, 8))
    shifted = g.op("Add", "x", 3.0)
    wide = g.op("Pad", shifted, [0, 0, 1, 1, 0, 0, 1, 1], mode=mode)
    form = check(g, g.op("Conv", wide, np.ones((1, 1, 3, 3))))
    assert (form.sources == ("x",)) == (mode != "constant")


_STEPS = st.lists(
    st.sampled_from(
        ["scale", "shift", "per_channel", "crop", "stride", "valid", "zeros", "edge", "mix",
         "average", "swap", "sum", "shifted sum", "half"]
    ),
    min_size=1, max_size=5,
)  # fmt: skip


def _apply(g: Graph, step: str, value: str, size: tuple[int, int], index: int) -> Any:
    """One more linear operator; returns the value and its H and W."""
    h, w = size
    rng = np.random.default_rng(index)
    if step == "scale":
        return g.op("Mul", value, 0.7), size
    if step == "shift":
        return g.op("Sub", 2.0, value), size
    if step == "per_channel":
        return g.op("Mul", value, rng.uniform(0.5, 1, (1, 2, 1, 1))), size
    if step == "crop":
        return g.op("Slice", value, [1, 0], [h, w - 1], [2, 3]), (h - 1, w - 1)
    if step == "stride":
        return g.op("Slice", value, [0], [h], [2], [2]), (-(-h // 2), w)
    if step == "valid":
        return g.op("Conv", value, rng.uniform(-1, 1, (2, 2, 2, 3))), (h - 1, w - 2)
    if step == "zeros":
        return g.op("Conv", value, rng.uniform(-1, 1, (2, 1, 3, 3)), group=2, pads=[1] * 4), size
    if step == "edge":
        wide = g.op("Pad", value, [0, 0, 1, 0, 0, 0, 1, 0], mode="edge")
        return g.op("Conv", wide, rng.uniform(-1, 1, (2, 2, 3, 1))), size
    if step == "mix":
        return g.op("Conv", value, rng.uniform(-1, 1, (2, 2, 1, 1)), rng.uniform(-1, 1, 2)), size
    if step == "average":
        return g.op("AveragePool", value, kernel_shape=[2, 2]), (h - 1, w - 1)
    if step == "swap":
        return g.op("Gather", value, [1, 0], axis=1), size
    if step == "sum":
        total = g.op("ReduceSum", value, axes=[1], keepdims=1)
        return g.op("Concat", total, g.op("Neg", total), axis=1), size
    if step == "half":
        sizes = np.array([1, 2, h // 2, w // 2])
        even = g.op("Slice", value, [0, 0], [h // 2 * 2, w // 2 * 2], [2, 3])
        roi = np.zeros(0, np.float32)
        return (
            g.op("Resize", even, roi, roi, sizes, mode="linear",
                 coordinate_transformation_mode="half_pixel"),
            (h // 2, w // 2),
        )  # fmt: skip
    left = g.op("Slice", value, [0], [w - 1], [3])
    right = g.op("Slice", value, [1], [w], [3])
    return g.op("Sub", left, right), (h, w - 1)


@settings(max_examples=40, deadline=None)
@given(_STEPS, st.integers(0, 3))
def test_any_chain_of_linear_operators_is_what_its_form_says(steps: list[str], seed: int) -> None:
    g = Graph(x=(1, 2, 17, 18))
    value, size = "x", (17, 18)
    for index, step in enumerate(steps):
        if min(size) < 5:
            break
        value, size = _apply(g, step, value, size, index + 10 * seed)
    check(g, value)


def test_axis_knows_what_it_reads() -> None:
    axis = Axis(base=10, size=10, start=-1)
    assert axis.outside(1)
    assert axis.last(3) == 11
    assert not Axis(10, 8).outside(3)
    assert Axis(10, 10).identity
    assert not Axis(10, 9).identity
