"""Pictures of the page: what went in, what came out, how far off."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest

from blobsmith.report import pictures
from blobsmith.report.pictures import difference_image, frame_view
from blobsmith.tensors import Decoding, TensorSpec

FRAME = TensorSpec("image", (1, 3, 40, 60), "u8", "NCHW", "rgb", mean=(127.5,), scale=(255.0,))
LEVELS = TensorSpec("out", (1, 1, 40, 60), "fp16", "NCHW", "gray", decoding=Decoding("image"))
VECTOR = TensorSpec("v", (20,), "fp16", "C", decoding=Decoding("vector", factor=0.5))


def _decoded(uri: str) -> np.ndarray:
    assert uri.startswith("data:image/png;base64,")
    data = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape)


def test_one_frame_with_pictures_and_numbers() -> None:
    frame = _noise(1, 3, 40, 60).astype(np.uint8)
    want = _noise(1, 1, 40, 60).astype(np.float32)
    got = want.astype(np.float16)
    got[0, 0, 3, 4] += 2
    vector = np.arange(20, dtype=np.float32)
    view = frame_view(
        [FRAME], [LEVELS, VECTOR], {"image": frame},
        {"out": want, "v": vector},
        {"out": got, "v": (vector * 0.5).astype(np.float16)},
        label="noise", reference_label="the function",
    )  # fmt: skip
    (shown,) = view.inputs
    assert (shown.name, shown.type) == ("image", "u8 1x3x40x60")
    assert shown.note == "the function expects RGB; mean 127.5; scale 255"
    assert shown.picture is not None
    np.testing.assert_array_equal(_decoded(shown.picture.uri), frame[0].transpose(1, 2, 0))
    levels, numbers = view.outputs
    assert levels.largest == 2
    assert levels.amplified == pytest.approx(127.5)
    assert levels.difference is not None
    assert "largest 2" in levels.difference.detail
    assert (numbers.largest, numbers.actual) == (0, None)
    assert numbers.actual_numbers is not None
    assert numbers.actual_numbers.count == 20
    # The factor is taken out of the blob's result, and is not in the function's.
    assert numbers.actual_numbers.values[:3] == (0, 1, 2)
    assert numbers.reference_numbers is not None
    assert numbers.reference_numbers.values[:3] == (0, 1, 2)
    found = [p.id for o in view.outputs for p in (o.reference, o.actual, o.difference) if p]
    assert len({*found, shown.picture.id}) == 4


def test_without_a_reference_there_is_no_difference() -> None:
    got = _noise(1, 1, 40, 60).astype(np.float16)
    frame = np.zeros((1, 3, 40, 60), np.uint8)
    view = frame_view(
        [FRAME], [LEVELS], {"image": frame}, None, {"out": got}, label="x", reference_label=""
    )
    (output,) = view.outputs
    assert (output.reference, output.difference, output.largest) == (None, None, None)
    assert output.actual is not None
    assert (output.low, output.high) == (float(got.min()), float(got.max()))


def test_where_the_difference_is() -> None:
    want = np.zeros((1, 1, 40, 60), np.float32)
    got = want.copy()
    got[0, 0, 10, 20], got[0, 0, 30, 50] = 0.5, -0.25
    picture, factor = difference_image(want, got, LEVELS)
    assert factor == pytest.approx(510)
    bright = picture.astype(int).sum(axis=2)
    assert bright.max() == bright[10, 20] > bright[30, 50] > 0
    # Single points are drawn 3x3, the rest is black.
    assert np.count_nonzero(bright > bright.min()) == 18


def test_no_difference_is_black() -> None:
    same = _noise(1, 1, 40, 60).astype(np.float32)
    picture, factor = difference_image(same, same.astype(np.float16), LEVELS)
    assert not picture.any()
    assert factor == 0


def test_what_is_not_finite_in_the_blob_alone_is_magenta_and_infinite() -> None:
    want = np.ones((1, 1, 40, 60), np.float32)
    got = want.astype(np.float16)
    got[0, 0, 5, 6] = np.inf
    picture, _ = difference_image(want, got, LEVELS)
    assert picture[5, 6].tolist() == [255, 0, 255]
    frame = np.zeros((1, 3, 40, 60), np.uint8)
    view = frame_view(
        [FRAME], [LEVELS], {"image": frame}, {"out": want}, {"out": got}, label="",
        reference_label="",
    )  # fmt: skip
    assert view.outputs[0].largest == float("inf")
    assert "not finite" in view.outputs[0].note


def test_large_pictures_are_stored_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BUDGET", 3000)
    frame = _noise(1, 3, 40, 60).astype(np.uint8)
    got = _noise(1, 1, 40, 60).astype(np.float16)
    view = frame_view(
        [FRAME], [LEVELS], {"image": frame}, None, {"out": got}, label="", reference_label=""
    )
    shots = [view.inputs[0].picture, view.outputs[0].actual]
    assert sum(len(base64.b64decode(s.uri.partition(",")[2])) for s in shots if s) <= 3000
    assert all((s.width, s.height) == (60, 40) for s in shots if s)


def test_a_float_input_is_stretched_to_be_seen() -> None:
    spec = TensorSpec("image", (3, 4, 5), "fp16", "CHW", "bgr")
    values = np.linspace(-1, 1, 60).reshape(3, 4, 5).astype(np.float16)
    view = frame_view(
        [spec], [VECTOR], {"image": values}, None, {"v": np.zeros(20, np.float16)}, label="",
        reference_label="",
    )  # fmt: skip
    assert view.inputs[0].picture is not None
    seen = _decoded(view.inputs[0].picture.uri)
    assert (seen.min(), seen.max()) == (0, 255)
