"""The tolerance: what passes, what fails, and that it can fail."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from blobsmith.errors import CheckFailed
from blobsmith.tensors import Decoding, TensorSpec
from blobsmith.verify import compare, compare_output, fp16_ulp, thresholded_outputs
from tests import graphs

RNG = np.random.default_rng(0)
IMAGE = RNG.uniform(0, 255, (1, 3, 40, 40))


def rounded(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16)


def test_rounding_to_fp16_passes() -> None:
    found = compare_output("y", [IMAGE], [rounded(IMAGE)])
    assert found.passed
    assert found.largest_ulp <= 0.5
    assert not found.thresholded


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda a: a + 0.02 * 255, "off by more than"),
        (lambda a: np.where(np.arange(a.size).reshape(a.shape) == 7, a + 4, a), "largest error"),
        (lambda a: np.where(np.arange(a.size).reshape(a.shape) == 7, np.inf, a), "inf or NaN"),
        (lambda a: a[:, ::-1], "off by more than"),
        (lambda a: a * 1.01, "off by more than"),
        (lambda a: a.ravel()[:-1], "values"),
    ],
)
def test_what_must_fail_fails(change: object, told: str) -> None:
    found = compare_output("y", [IMAGE], [change(rounded(IMAGE).astype(float))])  # type: ignore[operator]
    assert not found.passed
    assert told in found.reason


def test_a_mask_may_differ_in_half_a_percent_of_its_pixels() -> None:
    mask = (IMAGE > 127).astype(float)
    flipped = mask.copy().ravel()
    flipped[:24] = 1 - flipped[:24]
    assert compare_output("y", [mask], [flipped.reshape(mask.shape)]).passed
    flipped[:25] = 1 - mask.ravel()[:25]
    worse = compare_output("y", [mask], [flipped.reshape(mask.shape)])
    assert worse.thresholded
    assert not worse.passed


def test_values_that_are_not_finite_in_the_reference_are_not_compared() -> None:
    reference = IMAGE.copy()
    reference[0, 0, 0, 0] = np.nan
    assert compare_output("y", [reference], [rounded(IMAGE)]).passed
    nothing = compare_output("y", [np.full(4, np.nan)], [np.zeros(4)])
    assert not nothing.passed


def test_a_constant_output_proves_little_and_says_so() -> None:
    same = compare_output("y", [np.full(9, 5.0)], [np.full(9, 5.0)])
    assert same.passed
    assert "little is proven" in same.reason
    assert not compare_output("y", [np.full(9, 5.0)], [np.full(9, 5.1)]).passed


def test_a_recorded_factor_is_undone() -> None:
    spec = TensorSpec("y", IMAGE.shape, "fp16", decoding=Decoding(factor=0.25))
    frames = [{"y": IMAGE * 1000}]
    assert compare([spec], frames, [{"y": rounded(IMAGE * 250)}]).passed


def test_require_raises_with_the_output_named() -> None:
    spec = TensorSpec("y", IMAGE.shape, "fp16")
    with pytest.raises(CheckFailed, match="'y'") as caught:
        compare([spec], [{"y": IMAGE}], [{"y": IMAGE + 9}]).require("here")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("value", "unit"),
    [(1.0, 2**-10), (1.5, 2**-10), (2048.0, 2.0), (2047.0, 1.0), (0.0, 2**-24), (255.0, 0.125)],
)
def test_fp16_unit(value: float, unit: float) -> None:
    assert fp16_ulp(np.array([value]))[0] == unit


def test_the_unit_is_numpys_spacing_above_the_subnormals() -> None:
    # NumPy's spacing of the last binade before the largest half is inf.
    values = np.concatenate([RNG.uniform(2.0**-14, 1, 500), RNG.uniform(1, 32000, 500)])
    halves = values.astype(np.float16)
    np.testing.assert_array_equal(fp16_ulp(halves.astype(float)), np.spacing(halves).astype(float))


def test_outputs_behind_a_comparison_are_thresholded() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["plain"]),
        helper.make_node("Floor", ["x"], ["f"]),
        helper.make_node("Mul", ["f", "plain"], ["stepped"]),
    ]
    shape = graphs.IMAGE
    proto = graphs.model(nodes, {"x": shape}, {"plain": shape, "stepped": shape})
    assert thresholded_outputs(proto) == {"stepped"}


@pytest.mark.parametrize("size", [1, 2, 999, 1000, 1001, 5000])
def test_the_percentile_is_numpys(size: int) -> None:
    from blobsmith.verify import _percentile

    values = np.random.default_rng(size).random(size)
    assert _percentile(values, 99.9) == pytest.approx(np.percentile(values, 99.9), rel=1e-12)
