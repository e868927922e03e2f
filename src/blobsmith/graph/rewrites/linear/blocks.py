"""Filters in blocks: b x b pixels as b^2 channels.

A convolution of stride b computes all pixels of a block at once, as channels: what a pass of the
engine costs hardly grows with the number of output channels, and there are 1 / b^2 as many
positions. A Reshape and a Transpose bring the blocks back to pixels (one Permute stage).

A filter is written as one strided convolution, or as two passes (along W into blocks, then along H
from blocks to blocks) where its kernel is separable, or, where the kernel is too large for that,
after a strided convolution that only forms the blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ...builder import Builder
from . import emit, engine
from .factors import Factors
from .form import Array, Axis, Form

SIZES = (2, 3, 4, 5, 6, 8)
"""Sizes of blocks to consider."""
_MOST_CHANNELS = 512


@dataclass(frozen=True)
class Pass:
    """A filter of pixels: kernel (rows, inputs, taps along H, taps along W) and its first tap."""

    kernel: Array
    start: tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """How a form is computed in blocks.

    Attributes:
        block: size of the blocks.
        passes: filters of pixels; the first is made by the strided convolution.
        low, high: blocks that the strided convolution makes along H and W (`high` exclusive).
        padded: zeros around the blocks serve the later passes, put there by the engine.
        cycles: estimate of the convolutions, in cycles of the engine.
    """

    block: int
    passes: tuple[Pass, ...]
    low: tuple[int, int]
    high: tuple[int, int]
    padded: bool
    cycles: float


def ways(form: Form, factors: Factors | None) -> list[tuple[Pass, ...]]:
    """The passes as which the form can be computed in blocks of any size.

    Args:
        form: what to compute.
        factors: the form's kernel as two passes, if it can be.
    """
    y, x = form.y, form.x
    if max(form.taps) == 1 or y.stride != x.stride:
        return []
    whole = (Pass(form.kernel, (y.start, x.start)),)
    found: list[tuple[Pass, ...]] = [whole]
    if y.stride == 1:
        entered = Pass(np.eye(form.inputs)[:, :, None, None], (0, 0))
        found.append((entered, *whole))
        if factors is not None:
            two = (Pass(factors.first, (0, x.start)), Pass(factors.second, (y.start, 0)))
            found += [two, (entered, *two)]
    return found


def plans(form: Form, block: int, passes: list[tuple[Pass, ...]]) -> list[Plan]:
    """How the form can be computed in blocks of that size; empty if it cannot be.

    Args:
        form: what to compute.
        block: size of the blocks.
        passes: ways to do it.
    """
    if min(form.y.size, form.x.size) < 4 * block:
        return []
    found = [_plan(form, block, way) for way in passes]
    return [plan for plan in found if plan is not None]


def _plan(form: Form, block: int, passes: tuple[Pass, ...]) -> Plan | None:
    y, x = form.y, form.x
    stride, size = y.stride, block**2
    if any(p.kernel.shape[0] * size > _MOST_CHANNELS for p in passes):
        return None
    extents = [_extent(p, block) for p in passes[1:]]
    modes = {a.mode for a, t in zip((y, x), form.taps, strict=True) if a.outside(t)}
    padded = (
        passes[0].kernel.shape[2:] == (1, 1) and modes == {"constant"}
        and y.size == y.base and x.size == x.base
    )  # fmt: skip
    low, high = [0, 0], [math.ceil(y.size / block), math.ceil(x.size / block)]
    if padded:
        extents = [_centred(extent) for extent in extents]
    else:
        for extent in reversed(extents):
            low = [a + first for a, (first, _) in zip(low, extent, strict=True)]
            high = [a + first + taps - 1 for a, (first, taps) in zip(high, extent, strict=True)]
    rows, inputs, kh, kw = passes[0].kernel.shape
    kernels = [(kh + (block - 1) * stride, kw + (block - 1) * stride)]
    kernels += [(ey[1], ex[1]) for ey, ex in extents]
    if not all(engine.fits(taps, 1) for taps in kernels) or stride * block > engine.MAX_STRIDE:
        return None
    positions = (high[0] - low[0]) * (high[1] - low[1])
    cycles = engine.cycles(inputs, rows * size, kernels[0], positions) + engine.STAGE
    for stage, taps in zip(passes[1:], kernels[1:], strict=True):
        outputs, inputs = stage.kernel.shape[:2]
        cycles += engine.cycles(inputs * size, outputs * size, taps, positions) + engine.STAGE
    plan = Plan(block, passes, (low[0], low[1]), (high[0], high[1]), padded, cycles)
    return plan if _reaches(form, plan, kernels[0]) else None


def _extent(stage: Pass, block: int) -> list[tuple[int, int]]:
    """First block and number of blocks that a filter reads, along H and W."""
    found = []
    for start, taps in zip(stage.start, stage.kernel.shape[2:], strict=True):
        first = start // block
        found.append((first, (block + start + taps - 2) // block - first + 1))
    return found


def _centred(extent: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """An extent grown to odd size around its centre, as the engine pads it."""
    reaches = [max(-first, first + taps - 1, 0) for first, taps in extent]
    return [(-reach, 2 * reach + 1) for reach in reaches]


def walks(form: Form, plan: Plan) -> tuple[Axis, Axis]:
    """How the strided convolution walks along H and W."""
    axes = []
    for index, axis in enumerate((form.y, form.x)):
        step = axis.stride * plan.block
        taps = plan.passes[0].kernel.shape[2 + index] + (plan.block - 1) * axis.stride
        moved = Axis(
            axis.base, plan.high[index] - plan.low[index], step,
            plan.low[index] * step + plan.passes[0].start[index], axis.mode,
        )  # fmt: skip
        if not axis.mode and moved.outside(taps):
            moved = replace(moved, mode="constant")  # pixels that are cut off again
        axes.append(moved)
    return axes[0], axes[1]


def _reaches(form: Form, plan: Plan, taps: tuple[int, int]) -> bool:
    """Whether reflecting or wrapping continues the source as far as the blocks need it."""
    for axis, count in zip(walks(form, plan), taps, strict=True):
        before, after = -axis.start, axis.last(count) - axis.base
        if axis.mode in ("reflect", "wrap") and max(before, after) >= axis.base:
            return False
    return True


def entry(form: Form, plan: Plan) -> Form:
    """The strided convolution that makes the plan's blocks."""
    first, block = plan.passes[0].kernel, plan.block
    rows, inputs, kh, kw = first.shape
    stride = form.y.stride
    taps = (kh + (block - 1) * stride, kw + (block - 1) * stride)
    kernel = np.zeros((rows, block, block, inputs, *taps))
    for i in range(block):
        for j in range(block):
            y, x = i * stride, j * stride
            kernel[:, i, j, :, y : y + kh, x : x + kw] = first
    y_axis, x_axis = walks(form, plan)
    bias = form.bias if len(plan.passes) == 1 else np.zeros(rows)
    return replace(form, kernel=kernel.reshape(-1, inputs, *taps), bias=np.repeat(bias, block**2),
                   y=y_axis, x=x_axis, lead=(1, rows * block**2), flat=False)  # fmt: skip


def between(stage: Pass, block: int, *, centred: bool = False) -> Pass:
    """A filter of pixels as a filter of blocks, with channels (row, y in block, x in block)."""
    rows, inputs, kh, kw = stage.kernel.shape
    (fy, ty), (fx, tx) = (_centred if centred else list)(_extent(stage, block))
    kernel = np.zeros((rows, block, block, inputs, block, block, ty, tx))
    for i in range(block):
        for j in range(block):
            for u in range(kh):
                for v in range(kw):
                    y, x = i + stage.start[0] + u, j + stage.start[1] + v
                    part = kernel[
                        :, i, j, :, y % block, x % block, y // block - fy, x // block - fx
                    ]
                    part += stage.kernel[:, :, u, v]
    return Pass(kernel.reshape(rows * block**2, inputs * block**2, ty, tx), (fy, fx))


def write(b: Builder, form: Form, plan: Plan) -> str:
    """The nodes of a plan, back to pixels; returns a value (1, rows, h, w)."""
    value = emit.convolution(b, entry(form, plan))
    for index, stage in enumerate(plan.passes[1:], 2):
        blocked = between(stage, plan.block, centred=plan.padded)
        bias = np.repeat(form.bias, plan.block**2) if index == len(plan.passes) else np.zeros(1)
        pads = [-s for s in blocked.start] if plan.padded else [0, 0]
        value = b.op(
            "Conv", value, blocked.kernel.astype(np.float32),
            bias.astype(np.float32) if np.any(bias) else None,
            kernel_shape=list(blocked.kernel.shape[2:]), strides=[1, 1], pads=[*pads, *pads],
        )  # fmt: skip
    return to_pixels(b, value, plan.block, form.y.size, form.x.size)


def to_pixels(b: Builder, value: str, block: int, height: int, width: int) -> str:
    """Blocks (1, rows * block^2, h, w) as pixels (1, rows, height, width)."""
    _, channels, h, w = b.shape(value)
    rows = channels // block**2
    parts = b.reshape(value, (1, rows, block, block, h, w))
    mixed = b.transpose(parts, (0, 1, 4, 2, 5, 3))
    image = b.reshape(mixed, (1, rows, h * block, w * block))
    if (height, width) == (h * block, w * block):
        return image
    return b.slice(image, (2, 3), (0, 0), (height, width))
