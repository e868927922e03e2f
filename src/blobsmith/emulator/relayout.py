"""Copies between memory layouts, with the fastest library call for each case.

NumPy copies slowly where the destination's inner dimension is short, as from planar to
interleaved pictures; OpenCV's merge does that with vector instructions.
"""

from __future__ import annotations

import cv2
import numpy as np

from .arrays import Array
from .operands import Step

_MOST_CHANNELS = 4
_WORTH = 4096


def planned_copy(source: Array, target: Array) -> list[Step]:
    """Steps that copy the present content of `source` to `target`.

    Args:
        source: any strides, shape and type of `target`.
        target: any strides. May overlap `source`: the result is as if copied aside first.
    """
    if source.size >= _WORTH and source.itemsize in (2, 4):
        ones = tuple(i for i, n in enumerate(source.shape) if n == 1)
        planar, mixed = np.squeeze(source, ones), np.squeeze(target, ones)
        if planar.ndim == 2:
            planar, mixed = planar[None], mixed[None]
        if (
            planar.ndim == 3
            and planar.shape[2] <= _MOST_CHANNELS
            and planar.strides[1] == planar.itemsize
            and mixed.strides[1:] == (mixed.shape[2] * mixed.itemsize, mixed.itemsize)
            and mixed.strides[0] >= mixed.shape[1] * mixed.strides[1]
            and not np.may_share_memory(planar, mixed)
        ):
            return [_merge(planar, mixed)]
    return [lambda: np.copyto(target, source)]


def _merge(planar: Array, mixed: Array) -> Step:
    kind = f"i{mixed.itemsize}"  # only bits are moved
    place = mixed.view(kind)  # rows may have gaps between them
    planes = [planar[:, :, channel].view(kind) for channel in range(planar.shape[2])]

    def merge() -> None:
        result = cv2.merge(planes, place)
        if result is not place:
            np.copyto(place, result)

    return merge
