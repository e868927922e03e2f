"""Patches put back into a picture: torch.nn.functional.fold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def pair(value: Any) -> tuple[int, int]:
    """A size as torch takes it, one number or two, as two."""
    if isinstance(value, (tuple, list)):
        return (int(value[0]), int(value[-1]))
    return (int(value), int(value))


def _fold(
    x: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Each patch in its place, summed where they overlap."""
    (height, width), (kh, kw) = pair(output_size), pair(kernel_size)
    (dh, dw), (ph, pw), (sh, sw) = pair(dilation), pair(padding), pair(stride)
    rows = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    columns = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    batch, taps = x.shape[0], kh * kw
    channels = x.shape[1] // taps
    if dh == dw == 1 and sh == sw and kh % sh == 0 and kw % sw == 0:
        patches = x.reshape(batch, channels, taps, rows * columns)
        canvas = (height + 2 * ph, width + 2 * pw)
        whole = _by_tiles(patches, canvas, (kh, kw), sh, (rows, columns))
        return whole[:, :, ph : ph + height, pw : pw + width]
    weight = torch.eye(taps).reshape(taps, 1, kh, kw).repeat(channels, 1, 1, 1)
    over = (
        height + 2 * ph - dh * (kh - 1) - 1 - sh * (rows - 1),
        width + 2 * pw - dw * (kw - 1) - 1 - sw * (columns - 1),
    )
    return F.conv_transpose2d(
        x.reshape(batch, channels * taps, rows, columns),
        weight,
        stride=(sh, sw),
        padding=(ph, pw),
        output_padding=over,
        groups=channels,
        dilation=(dh, dw),
    )


def _by_tiles(
    patches: Tensor,
    canvas: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    grid: tuple[int, int],
) -> Tensor:
    """Tiles of one stride's size: those at the same place in their patches do not overlap."""
    batch, channels = patches.shape[:2]
    (kh, kw), (rows, columns) = kernel, grid
    total: Any = None
    for top in range(0, kh, stride):
        for left in range(0, kw, stride):
            index = [(top + i) * kw + left + j for i in range(stride) for j in range(stride)]
            tiles = patches if len(index) == kh * kw else patches[:, :, index]
            tiles = tiles.reshape(batch, channels * stride * stride, rows, columns)
            plane = F.pixel_shuffle(tiles, stride) if stride > 1 else tiles
            below = canvas[0] - top - rows * stride
            right = canvas[1] - left - columns * stride
            plane = F.pad(plane, (left, right, top, below))
            total = plane if total is None else total + plane
    return total


FOLDING: dict[Callable[..., Any], tuple[tuple[Any, ...], Callable[..., bool]]] = {
    _fold: ((F.fold,), lambda x, *args, **kwargs: x.dim() == 3),
}
