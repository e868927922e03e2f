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

import numpy as np

from .arrays import Array
from .context import MACS_PER_UNIT, StageContext
from .direct import MOST_TAPS, plan_direct
from .geometry import Geometry, plan_padded
from .operands import Step
from .patches import CALL_UNITS, plan_matrix

_LARGEST_SPREAD = 64 * MOST_TAPS

# Nanoseconds, measured on one machine with two cores; they only choose between equal results.
_NS_CALL = 12_000.0
_NS_TAP = 0.06
_NS_COLUMN = 0.6
_NS_PASS = 0.3
_MACS_PER_NS = 50.0


def plan_convolution(
    ctx: StageContext,
    x: Array,
    weights: Array,
    bias: Array | None,
    out: Array,
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
    ctx.spend(CALL_UNITS + outputs * depth * positions // MACS_PER_UNIT)
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
        plan_direct(ctx, x[low:high], [[(i - low, k) for i, k in row] for row in kernels],
                     bias, out, geometry)  # fmt: skip
        return
    if used.size == high - low:
        x = x[low:high]
    else:
        few = ctx.scratch.array("channels", (used.size, *x.shape[1:]))
        whole = x
        ctx.then(lambda: np.take(whole, used, axis=0, out=few, mode="clip"))
        x = few
    plan_matrix(ctx, x, np.ascontiguousarray(weights[:, used]), bias, out, geometry)


def plan_depthwise(
    ctx: StageContext,
    x: Array,
    weights: Array,
    out: Array,
    geometry: Geometry,
) -> None:
    """Adds the steps of ``out[c] = x[c] * weights[c]``, one kernel for each channel.

    Args: as for `plan_convolution`, with weights (C, kh, kw) and no bias.
    """
    channels, kh, kw = weights.shape
    positions = out.shape[1] * out.shape[2]
    ctx.spend(CALL_UNITS + weights.size * positions // MACS_PER_UNIT)
    reach = geometry.reach((kh, kw), out.shape[1:])
    direct = channels * (_NS_CALL + kh * kw * reach[0] * reach[1] * _NS_TAP)
    shifted = 2 * kh * kw * (_NS_PASS * out.size + 5_000)
    if direct < shifted and geometry.spread(kh, kw) <= _LARGEST_SPREAD:
        kernels = [[(c, geometry.dilated(weights[c]))] for c in range(channels)]
        plan_direct(ctx, x, kernels, None, out, geometry)
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


def _tap(
    part: Array,
    tap: Array,
    term: Array,
    out: Array,
) -> list[Step]:
    steps: list[Step] = [lambda: np.multiply(part, tap, out=term)]
    if term is not out:
        steps.append(lambda: np.add(out, term, out=out))
    return steps
