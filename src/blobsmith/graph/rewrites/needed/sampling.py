"""Where GridSample reads: the taps of every output pixel, and their weights.

The grid's -1..1 is mapped to pixels, out-of-image positions are treated as the padding mode says,
and the interpolation gives 1 (nearest), 4 (linear) or 16 (cubic) taps. Sources: ONNX GridSample-16
and torch.nn.functional.grid_sample, whose cubic uses a = -0.75.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...editor import Array

Mode = Literal["nearest", "linear", "cubic"]
_CUBIC_A = -0.75


@dataclass(frozen=True)
class Sampler:
    """How a GridSample node reads its image.

    Attributes:
        mode: interpolation.
        padding: "zeros", "border" or "reflection".
        align_corners: whether -1 and 1 are the centres of the outermost pixels or their edges.
    """

    mode: Mode
    padding: str
    align_corners: bool


@dataclass(frozen=True)
class Taps:
    """Along one axis: for every position, indices into it and their weights.

    Attributes:
        index: [taps, ...] in 0..size-1.
        weight: [taps, ...]; 0 where the tap lies outside and outside is zero.
    """

    index: Array
    weight: Array


def pixels(grid: Array, size: int, align_corners: bool, kind: type = np.float64) -> Array:
    """Grid coordinates -1..1 as pixel positions, in double precision unless told otherwise."""
    g: Array = grid.astype(kind)
    if align_corners:
        return (g + 1) / 2 * (size - 1)
    return ((g + 1) * size - 1) / 2


def _reflected(position: Array, size: int, align_corners: bool) -> Array:
    low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
    span = high - low
    if span <= 0:
        return np.zeros_like(position)
    away = np.abs(position - low)
    folds = np.floor(away / span)
    rest = away - folds * span
    return np.where(folds % 2 == 0, rest + low, high - rest)


def taps(position: Array, size: int, sampler: Sampler) -> Taps:
    """The taps along one axis at pixel positions.

    Args:
        position: any shape; may lie outside the image.
        size: length of the image's axis.
        sampler: mode, padding and alignment.
    """
    if sampler.mode != "cubic":
        if sampler.padding == "border":
            position = np.clip(position, 0, size - 1)
        elif sampler.padding == "reflection":
            position = _reflected(position, size, sampler.align_corners)
            position = np.clip(position, 0, size - 1)
    if sampler.mode == "nearest":
        index, weight = np.rint(position)[None], np.ones((1, *position.shape))
    elif sampler.mode == "linear":
        first = np.floor(position)
        part = position - first
        index, weight = np.stack([first, first + 1]), np.stack([1 - part, part])
    else:
        first = np.floor(position)
        part = position - first
        index = np.stack([first + k for k in (-1, 0, 1, 2)])
        weight = np.stack([_cubic(part + 1), _cubic(part), _cubic(1 - part), _cubic(2 - part)])
    if sampler.mode == "cubic" and sampler.padding == "reflection":
        index = np.clip(_reflected(index, size, sampler.align_corners), 0, size - 1)
        index = np.rint(index)
    outside = (index < 0) | (index > size - 1)
    if sampler.padding == "zeros":
        weight = np.where(outside, 0.0, weight)
    return Taps(np.clip(index, 0, size - 1).astype(np.int64), weight)


def _cubic(distance: Array) -> Array:
    d, a = np.abs(distance), _CUBIC_A
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, far)


def as_matrix(found: Taps, size: int) -> Array:
    """The taps of one axis as a matrix [positions, size]."""
    count = found.index.shape[1]
    matrix = np.zeros((count, size))
    for index, weight in zip(found.index, found.weight, strict=True):
        np.add.at(matrix, (np.arange(count), index), weight)
    return matrix
