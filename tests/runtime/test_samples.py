"""Photographs come from installed packages alone, and the sequence really moves."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from blobsmith.errors import EnvironmentFault
from blobsmith.runtime import samples


def test_photographs_are_installed_credited_and_in_colour() -> None:
    have = samples.photos()
    assert {photo.name for photo in have} >= {"coffee", "china", "astronaut", "cat", "rocket"}
    for photo in have:
        picture = samples.load(photo)
        assert photo.credit
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        assert min(picture.shape[:2]) >= 300
        assert picture.std() > 20


def test_frames_are_bgr() -> None:
    """The coffee's saucer is red, the rocket's sky is blue."""
    have = {
        photo.name: samples.load(photo).reshape(-1, 3).mean(axis=0) for photo in samples.photos()
    }
    assert have["coffee"][2] > have["coffee"][0] + 40
    assert have["rocket"][0] > have["rocket"][2] + 20


def test_neither_package_is_imported_and_nothing_is_fetched() -> None:
    code = (
        "import sys, socket; socket.socket = None;"
        "from blobsmith.runtime import samples; samples.sample_photos(64, 48, 8);"
        "print([m for m in ('skimage', 'sklearn', 'pooch', 'torch') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_sequence_moves_smoothly_and_comes_back() -> None:
    frames = list(samples.sample_frames(96, 64, 20, shot=10))
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 20
    steps = [np.abs(b.astype(int) - a).mean() for a, b in pairwise(frames)]
    assert all(step > 1 for step in steps)
    assert steps[9] > max(steps[:9])  # the cut to the next photograph
    again = list(samples.sample_frames(96, 64, 20, shot=10))
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))


def test_view_keeps_the_shape_of_things() -> None:
    photo = np.zeros((100, 200, 3), np.uint8)
    photo[40:60, 90:110] = 255  # a square in the middle
    for width, height in ((50, 50), (80, 40), (300, 600)):
        seen = samples.view(photo, width, height)[:, :, 0] > 127
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        assert seen.shape == (height, width)
        assert abs(len(rows) - len(columns)) <= 1


def test_stereo_pair_shows_one_scene_twice() -> None:
    left, right = samples.stereo_pair()
    assert left.shape == right.shape == (500, 741, 3)
    assert not np.array_equal(left, right)
    shifts = [np.abs(left[:, 60:].astype(int) - right[:, 60 - s : 741 - s]).mean() for s in (0, 30)]
    assert shifts[1] < shifts[0]  # near things lie further left in the right picture


def test_without_the_packages_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "find_spec", lambda name: None)
    for call in (
        samples.photos,
        samples.stereo_pair,
        lambda: samples.sample_frames(8, 8, 1),
        lambda: samples.sample_photos(8, 8, 1),
    ):
        with pytest.raises(EnvironmentFault) as caught:
            call()
        assert "blobsmith[samples]" in caught.value.remedy


def test_drawn_scene_moves() -> None:
    frames = list(samples.drawn_frames(64, 48, 3))
    assert all(frame.shape == (48, 64, 3) for frame in frames)
    assert not np.array_equal(frames[0], frames[1])
