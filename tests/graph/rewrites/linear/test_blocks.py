"""A form written as nodes, in every way there is, computes what the form says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blobsmith.errors import ModelError
from blobsmith.graph.builder import Builder
from blobsmith.graph.rewrites.linear import blocks, emit, engine, price
from blobsmith.graph.rewrites.linear.factors import factorize
from blobsmith.graph.rewrites.linear.form import Axis, Form

from ..helpers import Graph, editor, frames, values
from .test_forms import evaluate


def form_of(
    kernel: np.ndarray[Any, Any], size: tuple[int, int], mode: str, bias: float = 0.0
) -> Form:
    """A filter of x with "same" size around its middle, or a valid one for mode ""."""
    rows, inputs, *taps = kernel.shape
    axes = []
    for base, count in zip(size, taps, strict=True):
        reach = count // 2 if mode else 0
        axes.append(
            Axis(base, base if mode else base - count + 1, 1, -reach, mode if reach else "")
        )
    return Form(("x",), (inputs,), kernel, np.full(rows, bias), *axes, (1, rows))


def written(form: Form, how: Any) -> tuple[Any, list[Any], list[Any]]:
    """What `how` writes for a form: the editor, its results and the expected ones."""
    g = Graph(x=(1, form.inputs, form.y.base, form.x.base))
    proto = g.model(g.op("Identity", "x"))
    e = editor(proto)
    made = how(Builder(e, like=e.nodes[-1]))
    feeds = frames(proto)
    got = [known[made] for known in values(e, [made], feeds)]
    return e, got, [evaluate(form, feed) for feed in feeds]


def assert_same(form: Form, how: Any) -> Any:
    """Compares what is written with the form; returns the editor."""
    e, got, expected = written(form, how)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a.reshape(b.shape), b, rtol=1e-4, atol=2e-3)
    return e


def _kernel(rows: int, inputs: int, height: int, width: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, inputs, height, width))


def _separable(rows: int, height: int, width: int) -> Any:
    rng = np.random.default_rng(rows)
    column, row = rng.uniform(0.1, 1, height), rng.uniform(0.1, 1, width)
    return np.eye(rows)[:, :, None, None] * np.outer(column, row)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap", ""])
@pytest.mark.parametrize("taps", [(3, 3), (1, 5), (4, 2), (7, 1)])
def test_dense(mode: str, taps: tuple[int, int]) -> None:
    form = form_of(_kernel(2, 3, *taps), (13, 16), mode, bias=0.5)
    assert_same(form, lambda b: emit.convolution(b, form))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap", ""])
def test_separable(mode: str) -> None:
    form = form_of(_separable(3, 5, 7), (14, 17), mode, bias=0.25)
    factors = factorize(form.kernel)
    assert factors is not None
    assert factors.first.shape == (3, 3, 1, 7)
    assert_same(form, lambda b: emit.separable(b, form, factors))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap", ""])
@pytest.mark.parametrize("block", [2, 3, 4])
def test_all_plans_of_blocks(mode: str, block: int) -> None:
    form = form_of(_separable(2, 5, 3), (21, 26), mode, bias=-1.0)
    plans = blocks.plans(form, block, blocks.ways(form, factorize(form.kernel)))
    assert len(plans) == 4
    for plan in plans:
        assert_same(form, lambda b, plan=plan: blocks.write(b, form, plan))


def test_blocks_of_a_strided_filter() -> None:
    kernel = _kernel(2, 2, 4, 4)
    form = Form(("x",), (2,), kernel, np.zeros(2), Axis(24, 12, 2, -1, "reflect"),
                Axis(32, 16, 2, -1, "reflect"), (1, 2))  # fmt: skip
    plans = blocks.plans(form, 3, blocks.ways(form, None))
    assert plans
    for plan in plans:
        assert_same(form, lambda b, plan=plan: blocks.write(b, form, plan))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.tuples(st.integers(1, 6), st.integers(2, 6)),
    st.tuples(st.integers(20, 27), st.integers(20, 27)),
    st.sampled_from(["constant", "edge", "reflect", "wrap", ""]), st.integers(2, 5),
)  # fmt: skip
def test_any_filter_in_blocks(
    rows: int, inputs: int, taps: tuple[int, int], size: tuple[int, int], mode: str, block: int
) -> None:
    form = form_of(_kernel(rows, inputs, *taps, seed=block), size, mode)
    for plan in blocks.plans(form, block, blocks.ways(form, factorize(form.kernel))):
        assert_same(form, lambda b, plan=plan: blocks.write(b, form, plan))


def test_nothing_is_planned_that_the_engine_does_not_take() -> None:
    big = form_of(_kernel(1, 1, 15, 15), (64, 64), "reflect")
    for size in blocks.SIZES:
        for plan in blocks.plans(big, size, blocks.ways(big, None)):
            entry = blocks.entry(big, plan)
            assert max(entry.taps) <= engine.MAX_KERNEL
            assert entry.y.stride <= engine.MAX_STRIDE
    small = form_of(_kernel(1, 1, 3, 3), (11, 64), "edge")
    assert not blocks.plans(small, 4, blocks.ways(small, None))


def test_reflection_reaches_no_further_than_the_image() -> None:
    form = form_of(_kernel(1, 1, 9, 9), (17, 17), "reflect")
    for size in (2, 3, 4):
        for plan in blocks.plans(form, size, blocks.ways(form, None)):
            assert_same(form, lambda b, plan=plan: blocks.write(b, form, plan))


# ---------------------------------------------------------------------- FP16


def test_weights_that_fp16_holds_are_left_alone() -> None:
    kernel = _kernel(2, 1, 3, 3)
    found = emit.representable(kernel)
    assert found is not None
    assert found.exponent == 0
    assert found.kernel is kernel or np.array_equal(found.kernel, kernel)


def test_a_scale_that_was_folded_in_is_taken_out_again_as_a_power_of_two() -> None:
    gaussian = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    found = emit.representable(gaussian[None, None] / 255)
    assert found is not None
    assert found.exponent == 2
    assert found.kernel.sum() <= 1
    assert found.kernel.min() >= emit.SMALLEST


def test_weights_that_no_factor_saves_are_refused() -> None:
    kernel = np.full((1, 1, 15, 15), 3e-5)
    kernel[0, 0, 7, 7] = 1.0
    assert emit.representable(kernel) is None
    form = form_of(kernel, (32, 32), "reflect")
    with pytest.raises(ModelError, match="subnormal"):
        written(form, lambda b: emit.convolution(b, form))


def test_the_factor_is_kept_apart_from_the_convolution() -> None:
    """Next to the Conv, the compiler would fold it into the weights again."""
    gaussian = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256 / 255
    form = form_of(gaussian[None, None], (16, 16), "reflect")
    e = assert_same(form, lambda b: emit.convolution(b, form))
    ops = [node.op for node in e.sorted() if node.op != "Identity"]
    assert ops == ["Mul", "Pad", "Conv"]
    valid = form_of(gaussian[None, None], (16, 16), "")
    with pytest.raises(ModelError, match="subnormal"):
        written(valid, lambda b: emit.convolution(b, valid))


def test_factors_keep_channels_apart() -> None:
    factors = factorize(_separable(3, 5, 5))
    assert factors is not None
    per_row = (factors.first != 0).any(axis=(2, 3)).sum(axis=1)
    assert list(per_row) == [1, 1, 1]


def test_a_kernel_of_full_rank_is_not_taken_apart_for_many_rows() -> None:
    assert factorize(_kernel(8, 8, 9, 9), most=64) is None


# ---------------------------------------------------------------------- estimates


@pytest.mark.parametrize(
    ("inputs", "outputs", "taps", "cycles"),
    [
        (3, 3, (3, 3), 20),  # mode 2: 1 * 9 + 11
        (3, 48, (12, 12), 155),  # mode 2: 144 + 11, up to 64 channels
        (48, 48, (3, 3), 119),  # mode 2: 12 * 9 + 11
        (3, 1, (1, 1), 3),  # mode 0
        (12, 12, (5, 5), 56),  # mode 4: 25 + 31
    ],
)
def test_cycles_of_a_pass(inputs: int, outputs: int, taps: tuple[int, int], cycles: int) -> None:
    """Values of docs/cost-model.md's table, and of blobs compiled for it."""
    assert engine.cycles(inputs, outputs, taps, 1) == cycles


def test_blocks_are_the_cheapest_for_a_gaussian_and_not_for_one_pixel() -> None:
    blur = price.candidates(form_of(_separable(3, 9, 9), (300, 300), "reflect"))
    assert blur[0].name == "blocks of 4"
    assert "separable" in [c.name for c in blur]
    gray = price.candidates(form_of(_kernel(1, 3, 1, 1), (120, 160), "constant"))
    assert [c.name for c in gray] == ["dense"]
