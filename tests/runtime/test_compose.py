"""Labelled pictures: everything is there, at its place, unchanged."""

from __future__ import annotations

import numpy as np
import pytest

from blobsmith.runtime.compose import (
    GROUND,
    OUTPUT,
    Tile,
    input_tiles,
    numbers_image,
    output_tiles,
    points_tile,
    side_by_side,
    stack,
)
from blobsmith.runtime.decode import decode
from blobsmith.tensors import Decoding, TensorSpec


def solid(color: tuple[int, int, int], width: int = 60, height: int = 40) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def area(picture: np.ndarray, color: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.nonzero((picture == color).all(axis=2))
    return rows, columns


def test_inputs_left_outputs_right_in_one_size() -> None:
    made = side_by_side(
        [Tile(solid((9, 0, 200)), "in")], [Tile(solid((9, 200, 0), 120, 80), "out")], height=80
    )
    left, right = area(made, (9, 0, 200)), area(made, (9, 200, 0))
    assert len(left[0]) == len(right[0]) == 120 * 80
    assert left[1].max() < right[1].min()
    assert left[0].min() == right[0].min()


def test_wide_results_go_below() -> None:
    inputs = [Tile(solid((9, 0, 200), 40, 40), f"img{i}") for i in range(3)]
    made = side_by_side(inputs, [Tile(solid((9, 200, 0), 120, 40), "output")], height=40)
    above, below = area(made, (9, 0, 200)), area(made, (9, 200, 0))
    assert above[0].max() < below[0].min()
    assert len(below[0]) == 120 * 40


def test_labels_leave_a_mark_and_do_not_touch_pictures() -> None:
    plain = side_by_side([], [Tile(solid((1, 2, 3)), "")], height=40)
    labelled = side_by_side([], [Tile(solid((1, 2, 3)), "output", "0 to 255", OUTPUT)], height=40)
    titled = side_by_side([], [Tile(solid((1, 2, 3)), "")], title="blur", height=40)
    assert not np.array_equal(plain, labelled)
    assert titled.shape[0] > plain.shape[0]
    for picture in (plain, labelled, titled):
        assert len(area(picture, (1, 2, 3))[0]) == 60 * 40


def test_any_title_can_be_written() -> None:
    made = side_by_side([], [Tile(solid((1, 2, 3)), "größe 图像")], title="→", height=40)
    assert made.shape[2] == 3


def test_stack_fills_narrow_pictures() -> None:
    made = stack([solid((1, 1, 1), 20, 10), solid((2, 2, 2), 30, 10)])
    assert made.shape == (20, 30, 3)
    assert tuple(made[5, 25]) == GROUND


@pytest.mark.parametrize("count", [1, 3, 6, 7, 256])
def test_numbers_are_drawn(count: int) -> None:
    values = np.linspace(-2, 3, count)
    assert numbers_image(values).shape == (300, 300, 3)
    assert not np.array_equal(numbers_image(values), numbers_image(values * -1 + 8))
    numbers_image(np.full(count, np.nan))


def test_input_tiles_show_what_was_fed() -> None:
    specs = [TensorSpec("image", (1, 3, 4, 5)), TensorSpec("mean", (1, 3, 1, 1), "fp16")]
    feeds = {"image": np.full((1, 3, 4, 5), 7, np.uint8), "mean": np.ones((1, 3, 1, 1))}
    tiles = input_tiles(feeds, specs, {"image": "this frame"})
    assert [(tile.title, tile.detail) for tile in tiles] == [
        ("image", "this frame"),
        ("mean", "1x3x1x1"),
    ]
    assert (tiles[0].image == 7).all()
    shown = solid((3, 2, 1))
    assert input_tiles(feeds, specs, shown={"mean": shown})[1].image is shown


@pytest.mark.parametrize(
    ("decoding", "values", "detail"),
    [
        (Decoding("image"), [0, 100], "0 to 100"),
        (Decoding("image", 4.0), [0, 50], "0 to 50, shown x4"),
        (Decoding("image", 4.0), [-9, 50], "-9 to 50, shown x4, below 0 black"),
        (Decoding("image", 0.5, 127.5), [-9, 50], "-9 to 50, shown x0.5, 0 is grey 127.5"),
        (Decoding("map"), [-9, 50], "-9 to 50, blue below 0, orange above"),
        (Decoding("image"), [0, np.inf], "8 of 16 values are not finite"),
        (Decoding("vector"), [0, 1], "16 numbers"),
    ],
)
def test_output_tiles_say_how_values_are_shown(
    decoding: Decoding, values: list[float], detail: str
) -> None:
    array = np.array(values * 8, np.float32)
    output = decode(array, TensorSpec("output", (1, 1, 4, 4), "fp16", decoding=decoding))
    assert output_tiles([output])[0].detail == detail


def test_points_are_ringed_on_the_frame() -> None:
    response = np.zeros((1, 1, 40, 50), np.float32)
    response[0, 0, 20, 30] = 10
    response[0, 0, 5, 5] = 0.1
    spec = TensorSpec("corners", response.shape, "fp16", decoding=Decoding("map"))
    frame = solid((90, 90, 90), 50, 40)
    tile = points_tile(frame, decode(response, spec))
    assert tile is not None
    assert tile.detail == "1 above 8% of the strongest"
    rows, columns = np.nonzero((tile.image != frame).any(axis=2))
    assert (abs(rows - 20).max(), abs(columns - 30).max()) <= (6, 6)
    for other in (response - 1, np.ones_like(response), np.zeros_like(response)):
        assert points_tile(frame, decode(other, spec)) is None
