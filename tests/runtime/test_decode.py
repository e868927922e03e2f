"""Outputs become pictures, masks, maps and numbers as their specs say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blobsmith.errors import FrameError
from blobsmith.runtime.arrays import to_array
from blobsmith.runtime.decode import MAGENTA, decode, decode_all, map_colors, signed_table
from blobsmith.tensors import Decoding, TensorSpec


def spec(shape: tuple[int, ...], decoding: Decoding, **more: object) -> TensorSpec:
    return TensorSpec("output", shape, "fp16", decoding=decoding, **more)  # type: ignore[arg-type]


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_a_picture_that_passes_through_is_unchanged(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    there = TensorSpec("image", (1, 3, height, width), "u8")
    back = spec(there.shape, Decoding("image"))
    decoded = decode(to_array(image, there).astype(np.float16), back)
    assert np.array_equal(decoded.image, image)
    assert (decoded.note, decoded.how) == ("", "")


@given(
    st.sampled_from([1 / 8, 1 / 3, 1.0, 4.0, 50.0]),
    st.sampled_from([0.0, 110.0, 127.5]),
    st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=60)
def test_levels_are_value_times_scale_plus_offset(scale: float, offset: float, seed: int) -> None:
    levels = np.random.default_rng(seed).integers(0, 256, (1, 3, 4, 5)).astype(np.float64)
    values = ((levels - offset) / scale).astype(np.float32)
    decoded = decode(values, spec((1, 3, 4, 5), Decoding("image", scale, offset)))
    assert decoded.image is not None
    assert np.array_equal(decoded.image, levels[0].transpose(1, 2, 0).astype(np.uint8))


@pytest.mark.parametrize("factor", [1.0, 0.125, 1 / 1024, 64.0])
def test_the_recorded_factor_is_taken_out(factor: float) -> None:
    values = np.array([[0.0, 50.0], [100.0, 200.0]], np.float32)
    decoded = decode(values * factor, spec((2, 2), Decoding("image", factor=factor), layout="HW"))
    np.testing.assert_allclose(decoded.values, values)
    assert decoded.range == pytest.approx((0, 200))
    assert decoded.image is not None
    assert decoded.image[:, :, 0].tolist() == [[0, 50], [100, 200]]


@pytest.mark.parametrize(
    ("decoding", "values"),
    [
        (Decoding("mask"), [0, 255, 255, 0]),
        (Decoding("mask"), [0, 1, 1, 0]),
        (Decoding("mask", scale=-1.0, offset=1.0), [1, 0, 0, 1]),
    ],
)
def test_masks_are_black_and_white(decoding: Decoding, values: list[int]) -> None:
    decoded = decode(np.array(values, np.float16), spec((1, 1, 2, 2), decoding))
    assert decoded.image is not None
    assert decoded.image[:, :, 1].tolist() == [[0, 255], [255, 0]]


def test_maps_without_negatives_grow_brighter() -> None:
    image = map_colors(np.linspace(0, 7, 24, dtype=np.float32).reshape(1, 4, 6))
    brightness = image.astype(int).sum(axis=2).ravel()
    assert (np.diff(brightness) >= 0).all()
    assert brightness[0] < 30
    assert brightness[-1] > 500


def test_signed_maps_are_blue_below_and_orange_above() -> None:
    planes = np.array([[[-2.0, -0.5, 0.0, 1.0, 8.0]]], np.float32)
    row = map_colors(planes)[0].astype(int)
    blue, red = row[:, 0], row[:, 2]
    assert (blue[:2] > red[:2]).all()
    assert row[2].max() < 8
    assert (red[3:] > blue[3:]).all()
    assert row[0].sum() > row[1].sum()
    assert row[4].sum() > row[3].sum()
    assert signed_table().shape == (256, 3)


def test_maps_show_the_strongest_channel() -> None:
    planes = np.zeros((3, 2, 2), np.float32)
    planes[2, 0, 0] = 5
    planes[:, 1, 1] = 1
    image = map_colors(planes).astype(int).sum(axis=2)
    assert image[0, 0] > image[1, 1] > image[0, 1]


def test_single_points_are_drawn_larger() -> None:
    points = np.zeros((1, 20, 20), np.float32)
    points[0, 10, 10] = 3
    assert np.count_nonzero(map_colors(points)[:, :, 2] > 100) == 9


def test_an_empty_map_is_black() -> None:
    assert not map_colors(np.zeros((1, 3, 3), np.float32)).any()


@pytest.mark.parametrize("kind", ["image", "mask", "map", "tensor"])
def test_what_is_not_finite_is_magenta_and_counted(kind: str) -> None:
    values = np.full((1, 3, 3, 4), 60, np.float32)
    values[0, 1, 2, 3] = np.nan
    values[0, 0, 0, 0] = np.inf
    decoded = decode(values, spec(values.shape, Decoding(kind)))  # type: ignore[arg-type]
    assert decoded.image is not None
    assert tuple(decoded.image[2, 3]) == tuple(decoded.image[0, 0]) == MAGENTA
    assert tuple(decoded.image[1, 1]) != MAGENTA
    assert "2 of 36 values are not finite" in decoded.note
    assert decoded.range == (60, 60)


def test_vectors_stay_numbers() -> None:
    decoded = decode(np.array([[1.5, -2.0]], np.float16), spec((1, 2), Decoding("vector")))
    assert decoded.image is None
    assert decoded.vector is not None
    assert decoded.vector.tolist() == [1.5, -2.0]


def test_unknown_outputs_are_stretched_and_said_to_be() -> None:
    decoded = decode(np.array([[-1.0, 0.0], [0.0, 1.0]]), spec((1, 1, 2, 2), Decoding()))
    assert decoded.image is not None
    assert decoded.image[:, :, 0].tolist() == [[0, 128], [128, 255]]
    assert "not known" in decoded.note


def test_what_cannot_be_seen_is_numbers() -> None:
    for shape in ((1,), (1, 1000), (1, 5, 1, 1), (1, 3, 1, 40)):
        assert decode(np.zeros(shape), spec(shape, Decoding())).image is None


def test_rgb_outputs_are_shown_with_red_as_red() -> None:
    values = np.zeros((1, 3, 2, 2), np.float32)
    values[:, 0] = 255
    red_first = spec(values.shape, Decoding("image"), color="rgb")
    decoded = decode(values, red_first)
    assert decoded.image is not None
    assert tuple(decoded.image[0, 0]) == (0, 0, 255)
    blue = decode(values, replace(red_first, color="bgr")).image
    assert blue is not None
    assert tuple(blue[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize("layout", ["NHWC", "HWC", "HW"])
def test_other_layouts(layout: str) -> None:
    sizes = {"N": 1, "H": 3, "W": 4, "C": 3}
    shape = tuple(sizes[letter] for letter in layout)
    values = np.zeros(shape, np.float32)
    values.reshape(-1)[0] = 9
    decoded = decode(values, spec(shape, Decoding("image"), layout=layout))
    assert decoded.image is not None
    assert decoded.image.shape == (3, 4, 3)
    assert decoded.image[0, 0, 0] == 9
    assert decoded.image.sum() == (9 if "C" in layout else 27)


def test_wrong_size_and_missing_outputs() -> None:
    want = spec((1, 3, 2, 2), Decoding())
    with pytest.raises(FrameError, match="came as"):
        decode(np.zeros((1, 3, 2, 3)), want)
    with pytest.raises(FrameError, match="no output 'output'") as caught:
        decode_all({"other": np.zeros(1)}, [want])
    assert "other" in caught.value.where
