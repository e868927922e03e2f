"""Weighted sums: convolutions on SHAVEs and on the convolution engine, matrix products.

The order of weights in memory is that of docs/blob-format.md, sections 4.4 and 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..blob.records import Buffer, HwOp, Location, Stage
from ..numerics.fp16 import Array
from ..numerics.intervals import UNBOUNDED, Interval, hull, make
from ..numerics.intervals import arithmetic as ar
from ..numerics.intervals.linear import tame, wild
from .regions import Memory

if TYPE_CHECKING:
    from .context import Context

_BLOCK = 8
_UNIT = 2.0**-23


def _dims(buffer: Buffer) -> dict[int, int]:
    return dict(zip(buffer.desc.dim_ids, buffer.desc.dims, strict=True))


def weighted_sum(value: Interval, weights: Array, padded: bool) -> Interval:
    """Bounds of a convolution, one for each output channel.

    Args:
        value: range of each input channel.
        weights: (out channels, in channels, taps).
        padded: whether zeros may stand in for elements.
    """
    lo, hi = tame(value)
    ins = weights.shape[1]
    used = np.abs(weights).sum(axis=(0, 2)) > 0  # junk channels have zero weights
    lo = np.where(used, np.broadcast_to(lo, (ins,)), 0.0)
    hi = np.where(used, np.broadcast_to(hi, (ins,)), 0.0)
    if padded:
        lo, hi = np.minimum(lo, 0), np.maximum(hi, 0)
    up = np.maximum(weights, 0).sum(axis=2)
    down = np.minimum(weights, 0).sum(axis=2)
    low, high = up @ lo + down @ hi, up @ hi + down @ lo
    size = (up - down) @ np.maximum(np.abs(lo), np.abs(hi))
    slack = (weights.shape[1] * weights.shape[2] + 4) * _UNIT * size
    infinite = bool(np.any(np.abs(lo) >= 1e150) or np.any(np.abs(hi) >= 1e150))
    if not padded and np.all(lo >= 0) and np.all(weights >= 0):
        return wild(np.maximum(low - slack, 0), high + slack, value.nan or infinite)
    return wild(low - slack, high + slack, value.nan or infinite)


def convolution(ctx: Context) -> Interval:
    """Conv 0, DepthConv 8, Im2ColConvolution 49."""
    source, target, flat = ctx.buffer(0), ctx.buffer(1), _flat(ctx.memory, ctx.buffer(2))
    kw, kh = int(ctx.number("kernel_w")), int(ctx.number("kernel_h"))
    inputs, outputs = _dims(source).get(2, 1), _dims(target).get(2, 1)
    depthwise = ctx.stage.type_id == 8
    taps = kw * kh
    if flat.size != taps * inputs * (1 if depthwise else outputs):
        return UNBOUNDED
    value = ctx.value(0)
    if depthwise:
        ordered = flat.reshape(taps, inputs).T[:, None, :]
        parts = [
            weighted_sum(_channel(value, c), ordered[c : c + 1], padded=True) for c in range(inputs)
        ]
        return make([p.low for p in parts], [p.high for p in parts], any(p.nan for p in parts))
    return weighted_sum(value, _ordered(ctx, flat, outputs, inputs, kw, kh), padded=True)


def _channel(value: Interval, index: int) -> Interval:
    if value.uniform:
        return value
    return make(value.lo[index], value.hi[index], value.nan)


def _ordered(ctx: Context, flat: Array, outputs: int, inputs: int, kw: int, kh: int) -> Array:
    """The weights as (out channels, in channels, taps)."""
    ids, dims = ctx.buffer(0).desc.dim_ids, ctx.buffer(0).desc.dims
    minor = ids[0] == 2 and len(dims) >= 3
    taps = kw * kh
    dilated = ctx.number("dilation_w") != 1 or ctx.number("dilation_h") != 1
    ordered: Array
    if ctx.stage.type_id == 49 and minor:
        ordered = flat.reshape(outputs, taps, inputs).transpose(0, 2, 1)
    elif taps == 1 and not dilated:
        ordered = flat.reshape(outputs, inputs, 1)
    elif minor and 1 < kw < 12 and kw % 2 and kh != 1 and inputs * outputs <= 256:
        ordered = flat.reshape(taps, inputs, outputs).transpose(2, 1, 0)
    else:
        ordered = flat.reshape(taps, outputs, inputs).transpose(1, 2, 0)
    return ordered


def deconvolution(ctx: Context) -> Interval:
    """Deconvolution 22: weights k, OC, IC; every output adds some of the taps."""
    flat, inputs = _flat(ctx.memory, ctx.buffer(2)), _dims(ctx.buffer(0)).get(2, 1)
    outputs = _dims(ctx.buffer(1)).get(2, 1)
    if flat.size % (inputs * outputs):
        return UNBOUNDED
    weights = flat.reshape(-1, outputs, inputs).transpose(1, 2, 0)
    lo, hi = tame(ctx.value(0))
    low = np.minimum(np.minimum(weights * lo.min(), weights * hi.max()), 0).sum(axis=(1, 2))
    high = np.maximum(np.maximum(weights * lo.min(), weights * hi.max()), 0).sum(axis=(1, 2))
    slack = (flat.size + 4) * _UNIT * (high - low)
    value = ctx.value(0)
    return wild(low - slack, high + slack, value.nan or not value.finite)


def _flat(memory: Memory, buffer: Buffer) -> Array:
    return memory.constants(buffer).reshape(-1)


def fully_connected(ctx: Context) -> Interval:
    """FC 4: weights IC-major, OC-minor."""
    flat = _flat(ctx.memory, ctx.buffer(2))
    source, target = ctx.buffer(0), ctx.buffer(1)
    rows = _dims(source).get(3, 1)
    inputs, outputs = source.desc.elements // rows, target.desc.elements // rows
    if flat.size != inputs * outputs:
        return UNBOUNDED
    weights = flat.reshape(inputs, outputs).T[:, :, None]
    value = ctx.value(0)
    if not value.uniform and value.lo.size != inputs:
        value = value.flat()
    return weighted_sum(value, weights, padded=False)


def product(ctx: Context) -> Interval:
    """GEMM 91: alpha A B + beta C."""
    a = ctx.buffer(0)
    left, right = ctx.value(0).flat(), ctx.value(1).flat()
    inner = a.desc.dims[1] if ctx.number("trans_a") else a.desc.dims[0]
    term = ar.multiply(left, right)
    total = ar.scale(term, ctx.number("alpha") * inner)
    total = ar.widen(total, (inner + 4) * _UNIT * min(total.magnitude, 1e200))
    if ctx.number("has_c"):
        total = ar.add(total, ar.scale(ctx.value(2).flat(), ctx.number("beta")))
    return total


def hardware(memory: Memory, stage: Stage, op: HwOp) -> tuple[Interval, float]:
    """What one operation of the convolution engine stores, and its largest sum before scaling."""
    value = memory.read(stage.buffers[op.input])
    inner = 0.0
    if op.op_type == 4:
        first = op.out_chan_offset
        if not value.uniform and value.lo.size > op.out_num_chans:
            part = slice(first, first + op.out_num_chans)
            value = make(value.lo[part], value.hi[part], value.nan)
        if op.pool_type:
            slack = (op.kernel_w * op.kernel_h + 4) * _UNIT
            zero = op.with_pad or op.pool_type
            lo = np.minimum(value.lo, 0) if zero and op.with_pad else value.lo
            hi = np.maximum(value.hi, 0) if zero and op.with_pad else value.hi
            value = ar.widen_relative(make(lo, hi, value.nan), slack)
        result = value
    elif op.op_type in (0, 1):
        weights = _hardware_weights(memory, stage, op)
        if weights is None:
            return UNBOUNDED, 0.0
        padded = op.with_pad and op.pad_mode == 0
        ins = weights.shape[1]
        if not value.uniform and value.lo.size > ins:
            value = make(value.lo[:ins], value.hi[:ins], value.nan)
        # channels that were never written may hold NaN; their weights are zero, and it is dropped
        if value.nan:
            used = np.asarray(np.abs(weights).sum(axis=(0, 2)) > 0)
            value = make(value.lo, value.hi, memory.nan_in(stage.buffers[op.input], used))
        result = weighted_sum(value, weights, padded)
        result = _with_vector(memory, stage, op, op.biases, result, multiply=False)
        inner = result.magnitude
        result = _with_vector(memory, stage, op, op.scales, result, multiply=True)
    else:
        return UNBOUNDED, 0.0
    return _activated(op, result), inner


def _hardware_weights(memory: Memory, stage: Stage, op: HwOp) -> Array | None:
    flat = memory.constants(stage.buffers[op.coeffs])
    inner, taps, inputs, blocks = (1,) * (4 - flat.ndim) + flat.shape[::-1]
    if inner != _BLOCK or taps != op.kernel_w * op.kernel_h:
        return None
    ordered = flat.reshape(blocks, inputs, taps, _BLOCK).transpose(0, 3, 1, 2)
    whole = ordered.reshape(blocks * _BLOCK, inputs, taps)
    channels = _dims(stage.buffers[op.input]).get(2, 1)
    part = whole[op.out_chan_offset : op.out_chan_offset + op.out_num_chans]
    return part[:, : min(inputs, channels)] if len(part) == op.out_num_chans else None


def _with_vector(
    memory: Memory, stage: Stage, op: HwOp, index: int, value: Interval, *, multiply: bool
) -> Interval:
    if index < 0 or stage.buffers[index].location is Location.NONE:
        return value
    vector: np.ndarray[Any, Any] = memory.constants(stage.buffers[index]).reshape(-1)
    vector = vector[op.out_chan_offset : op.out_chan_offset + op.out_num_chans]
    constant = make(vector, vector)
    return ar.multiply(value, constant) if multiply else ar.add(value, constant)


def _activated(op: HwOp, value: Interval) -> Interval:
    if op.relu is not None:
        threshold, below, above = op.relu
        low = ar.scale(make(np.minimum(value.lo, threshold), np.minimum(value.hi, threshold),
                            value.nan), float(below))  # fmt: skip
        high = ar.scale(make(np.maximum(value.lo, threshold), np.maximum(value.hi, threshold),
                             value.nan), float(above))  # fmt: skip
        value = ar.mixed(hull(low, high), 0.0, 0.0)
    if op.clamp_max is not None:
        value = ar.clip(value, 0.0, float(op.clamp_max))
    return value
