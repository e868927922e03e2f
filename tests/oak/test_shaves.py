"""How many SHAVEs: the vendor's published limits."""

from __future__ import annotations

from typing import Any

import pytest

from blobsmith.errors import UsageError
from blobsmith.oak.shaves import fit_threads, free_shaves, recommend
from blobsmith.tensors import TensorSpec


def frames(width: int, height: int) -> list[TensorSpec]:
    return [TensorSpec("x", (1, 3, height, width), "u8", "NCHW", "bgr")]


# luxonis/oak-examples issue 89: 13 are free at 1080p, 10 at 4K; the vendor's benchmark, which has
# no camera, was compiled for 8 shaves and run on 2 threads.
@pytest.mark.parametrize(
    ("options", "shaves", "free"),
    [
        ({}, 6, 13),
        ({"resolution": "720p"}, 6, 13),
        ({"resolution": "1080p", "threads": 1}, 13, 13),
        ({"resolution": "4K"}, 5, 10),
        ({"resolution": (4056, 3040), "threads": 1}, 10, 10),
        ({"inputs": frames(300, 300)}, 6, 13),
        ({"inputs": frames(3840, 2160)}, 5, 10),
        ({"inputs": frames(3840, 2160), "resolution": "1080p"}, 6, 13),
        ({"camera": False}, 8, 16),
    ],
)
def test_recommendation(options: dict[str, Any], shaves: int, free: int) -> None:
    advice = recommend(**options)
    assert (advice.shaves, advice.free) == (shaves, free)
    assert advice.shaves * advice.threads <= advice.free
    for number in (shaves, free):
        assert str(number) in advice.explanation


@pytest.mark.parametrize(
    ("shaves", "threads", "free", "fitting"),
    [(6, 2, 13, 2), (7, 2, 13, 1), (13, 2, 13, 1), (5, 2, 10, 2), (6, 2, 10, 1), (1, 1, 10, 1)],
)
def test_threads_that_fit(shaves: int, threads: int, free: int, fitting: int) -> None:
    got, note = fit_threads(shaves, threads, free)
    assert got == fitting
    assert bool(note) == (got < threads)


def test_a_blob_for_more_than_are_free() -> None:
    with pytest.raises(UsageError, match="compiled for 14 shaves, but the camera leaves only 13"):
        fit_threads(14, 1, 13)


@pytest.mark.parametrize("threads", [0, 3])
def test_other_threads(threads: int) -> None:
    with pytest.raises(UsageError, match="inference threads"):
        recommend(threads=threads)


def test_an_unknown_resolution() -> None:
    with pytest.raises(UsageError, match="'8k' is not known") as caught:
        recommend(resolution="8k")
    assert "1080p" in caught.value.remedy


def test_portrait_frames() -> None:
    assert free_shaves(1080, 1920) == 13
    assert free_shaves(2160, 3840) == 10
