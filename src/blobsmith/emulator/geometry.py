"""Where a kernel lies on a picture, and pictures with borders around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import Array
from .context import StageContext
from .operands import Step
from .relayout import planned_copy


@dataclass(frozen=True)
class Geometry:
    """Kernel placement: strides, dilations and padding before the first row and column."""

    stride_y: int = 1
    stride_x: int = 1
    dilation_y: int = 1
    dilation_x: int = 1
    top: int = 0
    left: int = 0

    def reach(self, kernel: tuple[int, int], out: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of padded input that an output of this size needs."""
        return (
            (out[0] - 1) * self.stride_y + (kernel[0] - 1) * self.dilation_y + 1,
            (out[1] - 1) * self.stride_x + (kernel[1] - 1) * self.dilation_x + 1,
        )

    def spread(self, kh: int, kw: int) -> int:
        """Elements of a kernel with its dilation's gaps filled by zeros."""
        return ((kh - 1) * self.dilation_y + 1) * ((kw - 1) * self.dilation_x + 1)

    def dilated(self, kernel: Array) -> Array:
        """The kernel (kh, kw) with its dilation's gaps filled by zeros."""
        if self.dilation_y == self.dilation_x == 1:
            return kernel
        rows, columns = kernel.shape
        shape = ((rows - 1) * self.dilation_y + 1, (columns - 1) * self.dilation_x + 1)
        wide = np.zeros(shape, np.float32)
        wide[:: self.dilation_y, :: self.dilation_x] = kernel
        return wide


def plan_padded(
    ctx: StageContext,
    x: Array,
    size: tuple[int, int],
    top: int,
    left: int,
    value: float = 0.0,
    slot: str = "padded",
) -> Array:
    """`x` (C, H, W) moved by `top`, `left` in planes of `size`, filled up with `value`.

    A view where nothing has to be filled and rows are dense, else scratch memory and steps.
    """
    height, width = size
    inner_h, inner_w = min(x.shape[1], height - top), min(x.shape[2], width - left)
    if top == left == 0 and (inner_h, inner_w) == size and x.strides[2] == x.itemsize:
        return x[:, :height, :width]
    if inner_h <= 0 or inner_w <= 0:
        raise ctx.fail("its padding leaves nothing of the input")
    padded = ctx.scratch.array(slot, (x.shape[0], height, width))
    edges = [
        padded[:, :top],
        padded[:, top + inner_h :],
        padded[:, top : top + inner_h, :left],
        padded[:, top : top + inner_h, left + inner_w :],
    ]
    for edge in edges:
        if edge.size:
            ctx.then(filler(edge, value))
    inner = padded[:, top : top + inner_h, left : left + inner_w]
    ctx.then(*planned_copy(x[:, :inner_h, :inner_w], inner))
    return padded


def filler(place: Array, value: float) -> Step:
    """A step that fills an array."""
    return lambda: np.copyto(place, value)
