"""Inputs that show what a graph does: noise, extremes, patterns, photographs.

A set of inputs is a mapping from input name to array, of the spec's shape and as the user's
function takes it: levels 0..255 as float32 for images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import FrameError
from ..tensors import TensorSpec
from .fp16 import MAX

Feeds = Mapping[str, npt.NDArray[Any]]

PHOTOS = ("coffee.png", "camera.png", "astronaut.png")
UNKNOWN_RANGE = 1.0
"""Half the width of the noise for a floating-point input that declares no range."""


class Frame(NamedTuple):
    """One set of inputs and what it is called in reports."""

    label: str
    feeds: Feeds


def bounds(spec: TensorSpec) -> tuple[float, float]:
    """The range that synthetic inputs are drawn from."""
    if spec.dtype == "u8":
        return 0.0, 255.0
    if spec.value_range is not None:
        return float(spec.value_range[0]), float(spec.value_range[1])
    return -UNKNOWN_RANGE, UNKNOWN_RANGE


def quick(specs: Sequence[TensorSpec]) -> Iterator[Frame]:
    """Noise and the upper end: the part that every build runs."""
    yield Frame("noise", _each(specs, _noise))
    yield Frame("all at the maximum", _each(specs, lambda spec, i: _level(spec, 1.0)))


def standard(specs: Sequence[TensorSpec]) -> Iterator[Frame]:
    """Noise, constant levels, gradients, checkerboards, and photographs where installed."""
    yield from quick(specs)
    yield Frame("all at the minimum", _each(specs, lambda spec, i: _level(spec, 0.0)))
    yield Frame("dim noise", _each(specs, lambda spec, i: _dim(spec, i)))
    yield Frame("gradient", _each(specs, lambda spec, i: _ramp(spec, -1 - i % 2)))
    yield Frame("checkerboard", _each(specs, lambda spec, i: _checkers(spec, 1 + i)))
    yield Frame("coarse checkerboard", _each(specs, lambda spec, i: _checkers(spec, 8 + i)))
    if any(_pictured(spec) for spec in specs):
        for name in PHOTOS:
            photo = _photo(name)
            if photo is not None:
                yield Frame(name.split(".")[0], _each(specs, lambda s, i, p=photo: _fit(p, s, i)))


def given(frames: Iterable[Feeds], specs: Sequence[TensorSpec]) -> Iterator[Frame]:
    """The user's own inputs, checked against the specs.

    Raises:
        FrameError: an input is missing or has the wrong shape.
    """
    for number, feeds in enumerate(frames):
        found = {}
        for spec in specs:
            if spec.name not in feeds:
                raise FrameError(
                    f"frame {number} has nothing for input {spec.name!r}",
                    remedy=f"give an array of shape {spec.shape} for each input",
                )
            array = np.asarray(feeds[spec.name])
            if array.shape != spec.shape:
                raise FrameError(
                    f"frame {number} has shape {array.shape} for input {spec.name!r}",
                    where=f"the input is {spec.shape}",
                    remedy="resize the frames, or build for their size",
                )
            found[spec.name] = np.asarray(array, np.float32)
        yield Frame(f"frame {number}", found)


def _each(specs: Sequence[TensorSpec], make: Any) -> dict[str, npt.NDArray[np.float32]]:
    return {spec.name: make(spec, i) for i, spec in enumerate(specs)}


def _finish(spec: TensorSpec, share: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Values from shares of the range, whole numbers for U8, representable for FP16."""
    low, high = bounds(spec)
    values = low + (high - low) * np.asarray(share, np.float64)
    if spec.dtype == "u8":
        return np.asarray(np.round(values), np.float32)
    clipped = np.clip(values, -MAX, MAX)
    return np.asarray(clipped.astype(np.float16), np.float32)


def _noise(spec: TensorSpec, index: int) -> npt.NDArray[np.float32]:
    return _finish(spec, np.random.default_rng(index).random(spec.shape))


def _dim(spec: TensorSpec, index: int) -> npt.NDArray[np.float32]:
    noise = np.random.default_rng(100 + index).random(spec.shape)
    low, high = bounds(spec)
    middle = 0.0 if spec.dtype == "u8" or high == low else min(max(-low / (high - low), 0.0), 1.0)
    return _finish(spec, middle + (noise - middle) / 16)


def _level(spec: TensorSpec, share: float) -> npt.NDArray[np.float32]:
    return _finish(spec, np.full(spec.shape, share))


def _ramp(spec: TensorSpec, axis: int) -> npt.NDArray[np.float32]:
    if not spec.shape:
        return _level(spec, 0.5)
    axis = max(axis, -len(spec.shape))
    size = spec.shape[axis]
    shape = [1] * len(spec.shape)
    shape[axis] = size
    return _finish(spec, np.broadcast_to(np.linspace(0, 1, size).reshape(shape), spec.shape))


def _checkers(spec: TensorSpec, side: int) -> npt.NDArray[np.float32]:
    index = np.indices(spec.shape[-2:]) if spec.shape else np.zeros((1,))
    board = (index // side).sum(axis=0) % 2
    return _finish(spec, np.broadcast_to(board, spec.shape))


def _pictured(spec: TensorSpec) -> bool:
    return spec.dtype == "u8" and len(spec.shape) >= 2 and min(spec.shape[-2:]) >= 8


def _photo(name: str) -> npt.NDArray[np.uint8] | None:
    """A photograph of scikit-image as BGR, without importing that package; None if not there."""
    found = find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(next(iter(found.submodule_search_locations))) / "data" / name
    if not path.is_file():
        return None
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(image, np.uint8)


def _fit(photo: npt.NDArray[np.uint8], spec: TensorSpec, index: int) -> npt.NDArray[np.float32]:
    """The photograph in an input's shape; further inputs get it shifted, others noise."""
    if not _pictured(spec):
        return _noise(spec, index)
    height, width = spec.shape[-2:]
    rows = (np.arange(height) * photo.shape[0] // height + 3 * index) % photo.shape[0]
    columns = (np.arange(width) * photo.shape[1] // width + 5 * index) % photo.shape[1]
    picked = photo[rows][:, columns].astype(np.float32)
    planes = picked.transpose(2, 0, 1)
    if len(spec.shape) == 2 or spec.shape[-3] == 1:
        planes = np.round(picked @ np.asarray([0.114, 0.587, 0.299]))[None]
    channels = spec.shape[-3] if len(spec.shape) > 2 else 1
    planes = planes[np.arange(channels) % planes.shape[0]]
    shape = spec.shape if len(spec.shape) > 2 else (1, *spec.shape)
    return np.asarray(np.broadcast_to(planes, shape).reshape(spec.shape), np.float32)
