"""Convolutions on SHAVEs: Conv, Im2ColConvolution, DepthConv, Deconvolution (section 4.4).

DepthDeconv is none of the specification's verified types; its layout was found from blobs of
grouped transposed convolutions.
"""

from __future__ import annotations

import struct

import numpy as np

from ..arrays import Array
from ..context import MACS_PER_UNIT, Planner, StageContext
from ..convolve import plan_convolution, plan_depthwise
from ..geometry import Geometry
from ..operands import Source, Step, Target, nchw
from ..primitives import planned_product
from ..relayout import planned_copy

_IM2COL, _DEPTH, _DEPTH_DECONV = 49, 8, 63
_SMALL_WEIGHTS = 256
_WIDEST_KERNEL = 12
_CALL_UNITS = 1 << 13


def _c_minor(source: Source) -> bool:
    return source.desc.dim_ids[0] == 2 and len(source.desc.dims) >= 3


def _weights(ctx: StageContext, source: Source, outputs: int, inputs: int) -> Array:
    """The weights as (OC, IC, kh, kw); their order in memory depends on the case."""
    kw, kh = ctx.integer("kernel_w"), ctx.integer("kernel_h")
    flat = ctx.constant(2).reshape(-1)
    taps, kind = kw * kh, ctx.stage.type_id
    want = taps * inputs * (1 if kind == _DEPTH else outputs)
    if flat.size != want or taps < 1:
        raise ctx.fail(
            f"{flat.size} weights for {outputs}x{inputs} channels and a {kh}x{kw} kernel"
        )
    if kind == _DEPTH:
        ordered = flat.reshape(taps, inputs).T.reshape(inputs, 1, taps)
    elif kind == _IM2COL and _c_minor(source):
        ordered = flat.reshape(outputs, taps, inputs).transpose(0, 2, 1)
    elif taps == 1 and ctx.integer("dilation_w") == ctx.integer("dilation_h") == 1:
        ordered = flat.reshape(outputs, inputs, 1)
    elif (
        _c_minor(source)
        and 1 < kw < _WIDEST_KERNEL
        and kw % 2
        and kh != 1
        and inputs * outputs <= _SMALL_WEIGHTS
    ):
        ordered = flat.reshape(taps, inputs, outputs).transpose(2, 1, 0)
    else:
        ordered = flat.reshape(taps, outputs, inputs).transpose(1, 2, 0)
    return np.ascontiguousarray(ordered).reshape(*ordered.shape[:2], kh, kw)


def _planes(ctx: StageContext, source: Source, target: Target) -> tuple[Array, Array]:
    """Input and output as N, C, H, W views."""
    x, out = nchw(source.data, source.desc), nchw(target.data, target.desc)
    if x.shape[0] != out.shape[0]:
        raise ctx.fail(f"{x.shape[0]} samples become {out.shape[0]}")
    return x, out


def convolution(ctx: StageContext) -> None:
    """Conv 0, Im2ColConvolution 49, DepthConv 8: zero padding, no bias (a stage of its own)."""
    source, target = ctx.source(0), ctx.target(1)
    x, out = _planes(ctx, source, target)
    weights = _weights(ctx, source, out.shape[1], x.shape[1])
    geometry = Geometry(
        stride_y=ctx.integer("stride_h"),
        stride_x=ctx.integer("stride_w"),
        dilation_y=ctx.integer("dilation_h"),
        dilation_x=ctx.integer("dilation_w"),
        top=ctx.integer("pad_top"),
        left=ctx.integer("pad_left"),
    )
    _check(ctx, geometry, weights.shape[2:], x.shape[2:], out.shape[2:])
    depthwise = ctx.stage.type_id == _DEPTH
    if depthwise and out.shape[1] != x.shape[1]:
        raise ctx.fail(f"a depthwise convolution from {x.shape[1]} to {out.shape[1]} channels")
    for sample in range(x.shape[0]):
        planes = out[sample]
        if not planes.flags.c_contiguous:
            planes = ctx.scratch.array("planes", planes.shape)
        if depthwise:
            plan_depthwise(ctx, x[sample], weights[:, 0], planes, geometry)
        else:
            plan_convolution(ctx, x[sample], weights, None, planes, geometry)
        if planes is not out[sample] and not np.shares_memory(planes, out[sample]):
            ctx.then(*planned_copy(planes, out[sample]))
    ctx.finish(target, source)


def _check(
    ctx: StageContext,
    geometry: Geometry,
    kernel: tuple[int, ...],
    size: tuple[int, ...],
    out: tuple[int, ...],
) -> None:
    """Strides, dilations and paddings in a range where the output reads mostly real input."""
    reach = geometry.reach((kernel[0], kernel[1]), (out[0], out[1]))
    steps = (geometry.stride_y, geometry.stride_x, geometry.dilation_y, geometry.dilation_x)
    if min(steps) < 1 or max(steps) > 1 << 12:
        raise ctx.fail(f"strides and dilations {steps}")
    for axis, before in enumerate((geometry.top, geometry.left)):
        span = (kernel[axis] - 1) * steps[2 + axis] + 1
        if before >= span + size[axis] or reach[axis] > size[axis] + 2 * span + before:
            raise ctx.fail(f"a kernel of {kernel} on {size} does not give {out}")


def deconvolution(ctx: StageContext) -> None:
    """Deconvolution 22, DepthDeconv 63: each input element adds the kernel at its strided place.

    Memory order of the weights is k, OC, IC with the kernel flipped in both directions;
    depthwise it is k, C for a C-minor input and C, k for others.
    """
    source, target = ctx.source(0), ctx.target(1)
    x, out = _planes(ctx, source, target)
    depthwise = ctx.stage.type_id == _DEPTH_DECONV
    kw, kh, sx, sy, left, top = _deconvolution_fields(ctx)
    inputs, outputs = x.shape[1], out.shape[1]
    flat = ctx.constant(2).reshape(-1)
    if flat.size != kw * kh * outputs * (1 if depthwise else inputs) or not (sx and sy):
        raise ctx.fail(f"{flat.size} weights for {outputs}x{inputs} channels, kernel {kh}x{kw}")
    if depthwise and inputs != outputs:
        raise ctx.fail(f"a depthwise deconvolution from {inputs} to {outputs} channels")
    if depthwise and not _c_minor(source):
        flat = flat.reshape(outputs, kh * kw).T.reshape(-1)
    taps = np.ascontiguousarray(flat.reshape(kh, kw, outputs, -1)[::-1, ::-1])
    rows, columns = x.shape[2:]
    ctx.spend(flat.size * rows * columns // MACS_PER_UNIT + kw * kh * x.shape[0] * _CALL_UNITS)
    wide = ctx.scratch.array("planes", (inputs, rows * columns))
    product = ctx.scratch.array("product", (outputs, rows * columns))
    for sample in range(x.shape[0]):
        ctx.then(*planned_copy(x[sample], wide.reshape(inputs, rows, columns)))
        place = out[sample]
        ctx.then(_zero(place))
        for ky in range(kh):
            for kx in range(kw):
                y0, y1, oy = _overlap(ky - top, sy, rows, place.shape[1])
                x0, x1, ox = _overlap(kx - left, sx, columns, place.shape[2])
                if y0 >= y1 or x0 >= x1:
                    continue
                part = product.reshape(outputs, rows, columns)[:, y0:y1, x0:x1]
                spot = place[:, oy : oy + (y1 - y0 - 1) * sy + 1 : sy,
                             ox : ox + (x1 - x0 - 1) * sx + 1 : sx]  # fmt: skip
                ctx.then(*_scatter(depthwise, taps[ky, kx], wide, product, part, spot))
    ctx.finish(target, source)


def _deconvolution_fields(ctx: StageContext) -> tuple[int, ...]:
    """kernel_w, kernel_h, stride_w, stride_h, pad_left, pad_top; both types have the same six."""
    if len(ctx.stage.params) != 24:
        raise ctx.fail(f"{len(ctx.stage.params)} bytes of parameters, not 24")
    return struct.unpack("<6I", ctx.stage.params)


def _overlap(offset: int, stride: int, count: int, limit: int) -> tuple[int, int, int]:
    """Input positions i in [first, last) with 0 <= i * stride + offset < limit; first's place."""
    first = max(0, -(offset // stride)) if offset < 0 else 0
    last = min(count, (limit - 1 - offset) // stride + 1) if limit > offset else 0
    return first, last, first * stride + offset


def _zero(place: Array) -> Step:
    return lambda: np.copyto(place, 0)


def _scatter(
    depthwise: bool,
    tap: Array,
    wide: Array,
    product: Array,
    part: Array,
    spot: Array,
) -> tuple[Step, Step]:
    def add() -> None:
        np.add(spot, part, out=spot)

    if depthwise:
        return lambda: np.multiply(tap, wide, out=product), add
    return planned_product(tap, wide, product), add


PLANNERS: dict[int, Planner] = {
    0: convolution,
    _DEPTH: convolution,
    22: deconvolution,
    _DEPTH_DECONV: deconvolution,
    _IM2COL: convolution,
}
