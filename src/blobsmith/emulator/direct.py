"""Convolution by OpenCV's filter2D: one call for each pair of channels that has a kernel."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from .arrays import Array
from .context import StageContext
from .geometry import Geometry, filler, plan_padded
from .operands import Step

MOST_TAPS = 121
"""Above 11x11 taps filter2D turns to a Fourier transform, which smears inf over the picture."""


def _pieces(kernel: Array) -> Iterator[tuple[int, int, Array]]:
    """The kernel's non-zero part in pieces that filter2D sums tap by tap: row, column, piece."""
    rows, columns = np.flatnonzero(kernel.any(axis=1)), np.flatnonzero(kernel.any(axis=0))
    if not rows.size:
        return
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    wide = min(right - left, MOST_TAPS)
    high = max(1, MOST_TAPS // wide)
    for row in range(top, bottom, high):
        for column in range(left, right, wide):
            piece = kernel[row : min(row + high, bottom), column : min(column + wide, right)]
            if piece.any():
                yield row, column, np.ascontiguousarray(piece)


def plan_direct(
    ctx: StageContext,
    x: Array,
    kernels: list[list[tuple[int, Array]]],
    bias: Array | None,
    out: Array,
    geometry: Geometry,
) -> None:
    """One filter2D for each input channel and (dilated) kernel that an output channel lists."""
    height, width = out.shape[1:]
    kh, kw = next(kernel.shape for row in kernels for _, kernel in row)
    same = (
        geometry.stride_y == geometry.stride_x == 1
        and (height, width) == x.shape[1:]
        and kh * kw <= MOST_TAPS
        and geometry.top < kh
        and geometry.left < kw
        and x.strides[2] == x.itemsize
    )
    reach = ((height - 1) * geometry.stride_y + kh, (width - 1) * geometry.stride_x + kw)
    if not same:
        x = plan_padded(ctx, x, reach, geometry.top, geometry.left)
    block = ctx.scratch.array("filtered", reach).reshape(-1)
    for o, row in enumerate(kernels):
        start = 0.0 if bias is None else float(bias[o])
        empty = True
        for i, kernel in row:
            if same:
                place = out[o] if empty else block[: height * width].reshape(height, width)
                anchor = (geometry.left, geometry.top)
                ctx.then(_filter(x[i], kernel, anchor, start if empty else 0.0, place))
                ctx.then(*_deposit(out[o], place, empty))
                empty = False
                continue
            for top, left, piece in _pieces(kernel):
                high = (height - 1) * geometry.stride_y + piece.shape[0]
                wide = (width - 1) * geometry.stride_x + piece.shape[1]
                source = x[i, top : top + high, left : left + wide]
                place = block[: high * wide].reshape(high, wide)
                ctx.then(_filter(source, piece, (0, 0), start if empty else 0.0, place))
                part = place[
                    : (height - 1) * geometry.stride_y + 1 : geometry.stride_y,
                    : (width - 1) * geometry.stride_x + 1 : geometry.stride_x,
                ]
                ctx.then(*_deposit(out[o], part, empty))
                empty = False
        if empty:
            ctx.then(filler(out[o], start))


def _deposit(place: Array, part: Array, first: bool) -> list[Step]:
    if not first:
        return [lambda: np.add(place, part, out=place)]
    if part.ctypes.data == place.ctypes.data:
        return []
    return [lambda: np.copyto(place, part)]


def _filter(
    source: Array,
    kernel: Array,
    anchor: tuple[int, int],
    delta: float,
    place: Array,
) -> Step:
    def run() -> None:
        result = cv2.filter2D(source, cv2.CV_32F, kernel, place, anchor, delta, cv2.BORDER_CONSTANT)
        if result is not place:
            np.copyto(place, result)

    return run
