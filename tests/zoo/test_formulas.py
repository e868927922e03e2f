"""Each function against its formula, computed another way (numpy or OpenCV, float64)."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from blobsmith import zoo

from . import exported

SIZES = [(24, 37), (41, 16)]
GREY = np.array([0.299, 0.587, 0.114])


def planes(array: np.ndarray) -> np.ndarray:
    """(1, C, H, W) as (H, W, C) in float64, which OpenCV filters channel by channel."""
    return np.ascontiguousarray(array[0].transpose(1, 2, 0), dtype=np.float64)


def outputs(name: str, size: int | tuple[int, int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    entry = zoo.get(name, size)
    inputs = exported.arrays(entry, seed=3)
    results = exported.run(entry, inputs)
    assert [value.shape for value in results.values()] == [spec.shape for spec in entry.outputs]
    return inputs, list(results.values())


@pytest.mark.parametrize("size", SIZES)
class TestFormula:
    def test_concat(self, size: tuple[int, int]) -> None:
        inputs, (output,) = outputs("concat", size)
        assert np.array_equal(output, np.concatenate(inputs, axis=3))

    def test_blur(self, size: tuple[int, int]) -> None:
        (image,), (output,) = outputs("blur", size)
        expected = cv2.GaussianBlur(
            planes(image), (9, 9), 2.5, sigmaY=2.5, borderType=cv2.BORDER_REFLECT_101
        )
        np.testing.assert_allclose(planes(output), expected, atol=2e-3)

    def test_edge(self, size: tuple[int, int]) -> None:
        (image,), (output,) = outputs("edge", size)
        kernel = np.ones((3, 3))
        kernel[1, 1] = -8
        expected = cv2.filter2D(planes(image), -1, kernel / 16, borderType=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(planes(output), expected, atol=1e-3)

    def test_sobel(self, size: tuple[int, int]) -> None:
        (image,), (output,) = outputs("sobel", size)
        across, down = (
            cv2.Sobel(planes(image), -1, *order, scale=1 / 8, borderType=cv2.BORDER_REPLICATE)
            for order in ((1, 0), (0, 1))
        )
        expected = np.sqrt(across**2 + down**2 + 1e-6)
        np.testing.assert_allclose(planes(output), expected, atol=1e-3)

    def test_harris(self, size: tuple[int, int]) -> None:
        (image,), (output,) = outputs("harris", size)
        unit = planes(image) / 255
        across, down = (
            cv2.Sobel(unit, -1, *order, scale=1 / 8, borderType=cv2.BORDER_REPLICATE)
            for order in ((1, 0), (0, 1))
        )
        xx, yy, xy = (
            cv2.GaussianBlur(product, (7, 7), 1.0, borderType=cv2.BORDER_REFLECT_101)
            for product in (across**2, down**2, across * down)
        )
        expected = xx * yy - xy**2 - 0.04 * (xx + yy) ** 2
        np.testing.assert_allclose(planes(output), expected, atol=1e-7)

    def test_corners(self, size: tuple[int, int]) -> None:
        (image,), (edges, corners) = outputs("corners", size)
        grey = planes(image) @ GREY
        across, down = (
            cv2.Scharr(grey, -1, *order, scale=1 / 32, borderType=cv2.BORDER_REPLICATE)
            for order in ((1, 0), (0, 1))
        )
        np.testing.assert_allclose(edges[0, 0], np.hypot(across, down), atol=2e-3)
        tensor = np.empty((*grey.shape, 2, 2))
        for (row, column), product in (
            ((0, 0), across**2),
            ((0, 1), across * down),
            ((1, 0), across * down),
            ((1, 1), down**2),
        ):
            tensor[..., row, column] = cv2.GaussianBlur(
                product / 256, (5, 5), 1.0, borderType=cv2.BORDER_REFLECT_101
            )
        smaller = np.linalg.eigvalsh(tensor)[..., 0]
        largest = cv2.dilate(smaller, np.ones((3, 3)))
        expected = np.where(smaller >= largest, smaller, 0)
        np.testing.assert_allclose(corners[0, 0], expected, atol=1e-4)
        assert 0 < np.count_nonzero(corners) < corners.size / 4

    def test_diff(self, size: tuple[int, int]) -> None:
        (img1, img2), (output,) = outputs("diff", size)
        assert np.array_equal(output, img1.sum(axis=0) - img2.sum(axis=0))

    def test_normalize(self, size: tuple[int, int]) -> None:
        (frame, scale, mean), (output,) = outputs("normalize", size)
        np.testing.assert_allclose(output, (frame - mean) / scale, rtol=1e-5, atol=1e-5)

    def test_contrast(self, size: tuple[int, int]) -> None:
        entry = zoo.get("contrast", size)
        (image,) = exported.arrays(entry)
        faded = np.rint(image / 4) + 60
        (output,) = exported.run(entry, [faded]).values()
        expected = (faded - faded.min()) * 255 / (faded.max() - faded.min())
        np.testing.assert_allclose(output, expected, atol=1e-3)
        assert (output.min(), output.max()) == pytest.approx((0, 255))

    def test_threshold(self, size: tuple[int, int]) -> None:
        (image,), (output,) = outputs("threshold", size)
        grey = planes(image) @ GREY
        assert np.array_equal(output[0, 0], np.where(grey > 127.5, 255, 0))


def test_contrast_of_one_level_is_black() -> None:
    entry = zoo.get("contrast", 8)
    (output,) = exported.run(entry, [np.full((1, 3, 8, 8), 90, np.float32)]).values()
    assert np.array_equal(output, np.zeros_like(output))


@pytest.mark.parametrize("length", [1, 10, 256])
def test_cosine(length: int) -> None:
    (a, b), (output,) = outputs("cosine", length)
    expected = 1000 * np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
    np.testing.assert_allclose(output, [expected], rtol=1e-4)


def test_cosine_of_the_published_vectors() -> None:
    """294.4874 is the FP32 answer that Luxonis published for these two vectors."""
    published = json.loads((Path(__file__).parent / "cosine_vectors.json").read_text())
    vectors = [np.array(published[name], np.float32) for name in "ab"]
    (output,) = exported.run(zoo.get("cosine"), vectors).values()
    assert output[0] == pytest.approx(published["fp32"], abs=5e-4)


@pytest.mark.parametrize("name", ["corners", "threshold"])
def test_functions_that_declare_rgb_tell_red_from_blue(name: str) -> None:
    entry = zoo.get(name, 8)
    results = []
    for channel in (0, 2):
        image = np.zeros((1, 3, 8, 8), np.float32)
        image[:, channel, :, 4:] = 255
        image[:, 1] = 120
        results.append(exported.run(entry, [image]))
    assert any(not np.array_equal(results[0][key], results[1][key]) for key in results[0])
