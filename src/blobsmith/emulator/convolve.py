"""Two-dimensional convolution in FP32, planned for fixed memory.

Three ways, chosen by an estimate of their time:

- direct: one OpenCV `filter2D` for each pair of channels whose kernel is not all zero. Best for
  few channels and for the depthwise convolutions that the compiler hands to the convolution
  engine as dense weights full of zeros;
- matrix: patches to columns, then one matrix product for each block of rows;
- pointwise: a product without columns, for 1x1 kernels.

All three sum in FP32. The order of summation differs; so would the chip's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from .context import MACS_PER_UNIT, StageContext
from .operands import Step
from .primitives import planned_product
from .relayout import planned_copy

_MOST_TAPS = 121  # above 11x11 taps filter2D turns to a Fourier transform, which smears inf
_LARGEST_SPREAD = 64 * _MOST_TAPS
_COLUMN_FLOATS = 1 << 20
_MOST_COLUMN_FLOATS = 1 << 27
_CALL_UNITS = 1 << 13

# Nanoseconds, measured on one machine with two cores; they only choose between equal results.
_NS_CALL = 12_000.0
_NS_TAP = 0.06
_NS_COLUMN = 0.6
_NS_PASS = 0.3
_MACS_PER_NS = 50.0


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

    def dilated(self, kernel: np.ndarray) -> np.ndarray:
        """The kernel (kh, kw) with its dilation's gaps filled by zeros."""
        if self.dilation_y == self.dilation_x == 1:
            return kernel
        rows, columns = kernel.shape
        shape = ((rows - 1) * self.dilation_y + 1, (columns - 1) * self.dilation_x + 1)
        wide = np.zeros(shape, np.float32)
        wide[:: self.dilation_y, :: self.dilation_x] = kernel
        return wide


def plan_convolution(
    ctx: StageContext,
    x: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray | None,
    out: np.ndarray,
    geometry: Geometry,
) -> None:
    """Adds the steps of ``out[o] = bias[o] + sum_i x[i] * weights[o, i]`` with zero padding.

    Input channels whose weights are all zero are not read: the compiler lets convolutions read
    channels that nothing wrote.

    Args:
        ctx: the stage; steps are added to it.
        x: (I, H, W) float32, any strides; positions outside it count as 0.
        weights: (O, I, kh, kw) float32, constant.
        bias: (O,) float32, constant; None for zeros.
        out: (O, OH, OW) float32, contiguous.
        geometry: strides, dilations, padding.
    """
    outputs, _, kh, kw = weights.shape
    positions = out.shape[1] * out.shape[2]
    pairs = np.any(weights != 0, axis=(2, 3))
    used = np.flatnonzero(pairs.any(axis=0))
    if not used.size:
        fill = np.zeros(outputs, np.float32) if bias is None else bias
        ctx.then(lambda: np.copyto(out, fill[:, None, None]))
        return
    low, high = int(used[0]), int(used[-1]) + 1
    depth = used.size * kh * kw
    ctx.spend(_CALL_UNITS + outputs * depth * positions // MACS_PER_UNIT)
    plane = int(np.prod(geometry.reach((kh, kw), out.shape[1:])))
    direct = np.count_nonzero(pairs) * _NS_CALL + np.count_nonzero(weights) * plane * _NS_TAP
    rate = min(_MACS_PER_NS, 3.0 * outputs)
    gathering = _NS_COLUMN if kh * kw > 1 else 0.1
    matrix = depth * positions * (outputs / rate + gathering) + _NS_CALL
    if direct < matrix and geometry.spread(kh, kw) <= _LARGEST_SPREAD:
        kernels = [
            [(int(i), geometry.dilated(weights[o, i])) for i in np.flatnonzero(pairs[o])]
            for o in range(outputs)
        ]
        _plan_direct(ctx, x[low:high], [[(i - low, k) for i, k in row] for row in kernels],
                     bias, out, geometry)  # fmt: skip
        return
    if used.size == high - low:
        x = x[low:high]
    else:
        few = ctx.scratch.array("channels", (used.size, *x.shape[1:]))
        whole = x
        ctx.then(lambda: np.take(whole, used, axis=0, out=few, mode="clip"))
        x = few
    _plan_matrix(ctx, x, np.ascontiguousarray(weights[:, used]), bias, out, geometry)


def plan_depthwise(
    ctx: StageContext,
    x: np.ndarray,
    weights: np.ndarray,
    out: np.ndarray,
    geometry: Geometry,
) -> None:
    """Adds the steps of ``out[c] = x[c] * weights[c]``, one kernel for each channel.

    Args: as for `plan_convolution`, with weights (C, kh, kw) and no bias.
    """
    channels, kh, kw = weights.shape
    positions = out.shape[1] * out.shape[2]
    ctx.spend(_CALL_UNITS + weights.size * positions // MACS_PER_UNIT)
    reach = geometry.reach((kh, kw), out.shape[1:])
    direct = channels * (_NS_CALL + kh * kw * reach[0] * reach[1] * _NS_TAP)
    shifted = 2 * kh * kw * (_NS_PASS * out.size + 5_000)
    if direct < shifted and geometry.spread(kh, kw) <= _LARGEST_SPREAD:
        kernels = [[(c, geometry.dilated(weights[c]))] for c in range(channels)]
        _plan_direct(ctx, x, kernels, None, out, geometry)
        return
    padded = plan_padded(ctx, x, reach, geometry.top, geometry.left)
    term = ctx.scratch.array("product", out.shape)
    for ky in range(kh):
        for kx in range(kw):
            top, left = ky * geometry.dilation_y, kx * geometry.dilation_x
            part = padded[
                :,
                top : top + (out.shape[1] - 1) * geometry.stride_y + 1 : geometry.stride_y,
                left : left + (out.shape[2] - 1) * geometry.stride_x + 1 : geometry.stride_x,
            ]
            tap = np.ascontiguousarray(weights[:, ky, kx]).reshape(-1, 1, 1)
            ctx.then(*_tap(part, tap, term if ky or kx else out, out))


def _tap(part: np.ndarray, tap: np.ndarray, term: np.ndarray, out: np.ndarray) -> list[Step]:
    steps: list[Step] = [lambda: np.multiply(part, tap, out=term)]
    if term is not out:
        steps.append(lambda: np.add(out, term, out=out))
    return steps


def plan_padded(
    ctx: StageContext,
    x: np.ndarray,
    size: tuple[int, int],
    top: int,
    left: int,
    value: float = 0.0,
    slot: str = "padded",
) -> np.ndarray:
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
            ctx.then(_filler(edge, value))
    inner = padded[:, top : top + inner_h, left : left + inner_w]
    ctx.then(*planned_copy(x[:, :inner_h, :inner_w], inner))
    return padded


def _filler(place: np.ndarray, value: float) -> Step:
    return lambda: np.copyto(place, value)


def _pieces(kernel: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """The kernel's non-zero part in pieces that filter2D sums tap by tap: row, column, piece."""
    rows, columns = np.flatnonzero(kernel.any(axis=1)), np.flatnonzero(kernel.any(axis=0))
    if not rows.size:
        return
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    wide = min(right - left, _MOST_TAPS)
    high = max(1, _MOST_TAPS // wide)
    for row in range(top, bottom, high):
        for column in range(left, right, wide):
            piece = kernel[row : min(row + high, bottom), column : min(column + wide, right)]
            if piece.any():
                yield row, column, np.ascontiguousarray(piece)


def _plan_direct(
    ctx: StageContext,
    x: np.ndarray,
    kernels: list[list[tuple[int, np.ndarray]]],
    bias: np.ndarray | None,
    out: np.ndarray,
    geometry: Geometry,
) -> None:
    """One filter2D for each input channel and (dilated) kernel that an output channel lists."""
    height, width = out.shape[1:]
    kh, kw = next(kernel.shape for row in kernels for _, kernel in row)
    same = (
        geometry.stride_y == geometry.stride_x == 1
        and (height, width) == x.shape[1:]
        and kh * kw <= _MOST_TAPS
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
            ctx.then(_filler(out[o], start))


def _deposit(place: np.ndarray, part: np.ndarray, first: bool) -> list[Step]:
    if not first:
        return [lambda: np.add(place, part, out=place)]
    if part.ctypes.data == place.ctypes.data:
        return []
    return [lambda: np.copyto(place, part)]


def _filter(
    source: np.ndarray,
    kernel: np.ndarray,
    anchor: tuple[int, int],
    delta: float,
    place: np.ndarray,
) -> Step:
    def run() -> None:
        result = cv2.filter2D(source, cv2.CV_32F, kernel, place, anchor, delta, cv2.BORDER_CONSTANT)
        if result is not place:
            np.copyto(place, result)

    return run


def _plan_matrix(
    ctx: StageContext,
    x: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray | None,
    out: np.ndarray,
    geometry: Geometry,
) -> None:
    """Patches to columns, a block of rows at a time, and a product with the weights."""
    outputs, inputs, kh, kw = weights.shape
    height, width = out.shape[1:]
    flat = weights.reshape(outputs, -1)
    result = out.reshape(outputs, -1)
    reach = geometry.reach((kh, kw), (height, width))
    x = plan_padded(ctx, x, reach, geometry.top, geometry.left)
    sy, sx = geometry.stride_y, geometry.stride_x
    depth = inputs * kh * kw
    if depth * width > _MOST_COLUMN_FLOATS:
        raise ctx.fail(f"patches of {depth} elements, {width} in a row")
    rows = max(1, min(height, _COLUMN_FLOATS // (depth * width)))
    c, h, w = x.strides
    patches = np.lib.stride_tricks.as_strided(
        x,
        (inputs, kh, kw, height, width),
        (c, h * geometry.dilation_y, w * geometry.dilation_x, h * sy, w * sx),
        writeable=False,
    )
    if kh == kw == sy == sx == 1 and x.flags.c_contiguous:
        columns = x.reshape(inputs, -1)
        ctx.then(planned_product(flat, columns, result))
    else:
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            ctx.spend(_CALL_UNITS)
            ctx.then(*_block(ctx, flat, patches[..., start:stop, :], result, start * width))
    if bias is not None and bias.any():
        column = np.ascontiguousarray(bias.reshape(-1, 1))
        ctx.then(lambda: np.add(result, column, out=result))


def _block(
    ctx: StageContext, flat: np.ndarray, patches: np.ndarray, result: np.ndarray, start: int
) -> list[Step]:
    columns = ctx.scratch.array("columns", patches.shape)
    matrix = columns.reshape(flat.shape[1], -1)
    count = matrix.shape[1]
    product = ctx.scratch.array("product", (flat.shape[0], count))
    place = result[:, start : start + count]
    if count == result.shape[1]:
        return [
            lambda: np.copyto(columns, patches),
            planned_product(flat, matrix, place),
        ]
    return [
        lambda: np.copyto(columns, patches),
        planned_product(flat, matrix, product),
        lambda: np.copyto(place, product),
    ]
