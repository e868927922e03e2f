"""The convolution engine (NCE): convolution, convolution with pooling, pooling (section 5)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...blob.records import Buffer, HwOp, Location
from ..arrays import Array
from ..context import Planner, StageContext
from ..convolve import plan_convolution
from ..geometry import Geometry, plan_padded
from ..operands import Source, Step, Target, nchw
from ..pool import plan_windows
from ..primitives import HALF_MAX

_CONV, _CONV_POOL, _FC, _POOL = 0, 1, 2, 4
_BLOCK = 8
_REPEAT_RIGHT, _REPEAT_BOTTOM, _REPEAT_TOP, _REPEAT_LEFT = 1, 2, 4, 8
_ONE_SIDED = (
    "the engine pools a picture that is padded on some sides only; "
    "how the chip places the windows then is unknown"
)


def hardware(ctx: StageContext) -> None:
    """MyriadXHwOp 38: its operations in order. An injected stage is planned as one of its own."""
    for position, op in enumerate(_merged(ctx.stage.hw_ops)):
        if op.op_type == _FC:
            raise ctx.fail(
                "fully connected hardware operations are not supported: no compiler that is "
                "known emits them"
            )
        _Operation(ctx, op, position).plan()


def _merged(ops: tuple[HwOp, ...]) -> list[HwOp]:
    """Operations that differ only in adjoining slices of the output's channels, as one.

    The engine takes up to 256 output channels at a time; the results do not depend on that.
    """
    merged: list[HwOp] = []
    for op in ops:
        last = merged[-1] if merged else None
        if (
            last is not None
            and op.op_type != _FC
            and op.out_chan_offset == last.out_chan_offset + last.out_num_chans
            and op == replace(last, out_chan_offset=op.out_chan_offset,
                              out_num_chans=op.out_num_chans)
        ):  # fmt: skip
            merged[-1] = replace(last, out_num_chans=last.out_num_chans + op.out_num_chans)
        else:
            merged.append(op)
    return merged


class _Operation:
    """One operation while it is planned."""

    def __init__(self, ctx: StageContext, op: HwOp, position: int) -> None:
        self.ctx, self.op = ctx, op
        self.source: Source = ctx.source(op.input, "input")
        buffer = ctx.buffer(op.output)
        x = nchw(self.source.data, self.source.desc)
        if op.op_type == _POOL and x.shape[0] > 1:
            x, buffer = self._as_channels(x, buffer)
        channels = slice(op.out_chan_offset, op.out_chan_offset + op.out_num_chans)
        self.target = self._target(buffer, channels)
        out = nchw(self.target.data, self.target.desc)
        if x.shape[0] != 1 or out.shape[0] != 1:
            raise ctx.fail(f"operation {position} has a batch of {x.shape[0]}")
        self.x, self.out = x[0], out[0]
        if self.target.desc.dim_ids[:2] != (0, 1) or not self.out.flags.c_contiguous:
            raise ctx.fail(f"operation {position} writes an interleaved tensor")
        self.pads = self._pads()

    def _as_channels(self, x: Array, buffer: Buffer) -> tuple[Array, Buffer]:
        """A batch of pictures as channels of one, which is how the engine pools them."""
        desc, ids = buffer.desc, buffer.desc.dim_ids
        batch, planes, *size = x.shape
        joined = x.reshape(1, batch * planes, *size)
        dense = desc.strides[-1] == desc.dims[-2] * desc.strides[-2] if len(ids) == 4 else False
        if ids != (0, 1, 2, 3) or not dense or not np.shares_memory(x, joined):
            raise self.ctx.fail("it pools a batch that is not dense")
        dims = (*desc.dims[:2], desc.dims[2] * desc.dims[3], 1)
        return joined, replace(buffer, desc=replace(desc, dims=dims))

    def _target(self, buffer: Buffer, channels: slice) -> Target:
        """The slice of the output's channels that this operation writes."""
        ctx, desc = self.ctx, buffer.desc
        ids = desc.dim_ids
        if buffer.location is Location.BLOB:
            raise ctx.fail("it writes into the constants")
        if 2 not in ids or channels.stop > desc.dims[ids.index(2)]:
            raise ctx.fail(f"channels {channels.start} to {channels.stop} of {desc.shape}")
        axis = ids.index(2)
        dims = tuple(
            channels.stop - channels.start if i == axis else n for i, n in enumerate(desc.dims)
        )
        part = replace(
            buffer,
            desc=replace(desc, dims=dims),
            offset=buffer.offset + channels.start * desc.strides[axis],
        )
        ctx.spend(part.desc.elements)
        return Target(ctx.memory, ctx.scratch, part)

    def plan(self) -> None:
        """Adds the steps."""
        if self.op.op_type == _POOL:
            self._pool(self.x, self.out)
            self._activate(self.out)
        else:
            self._convolve()
        self.ctx.finish(self.target, self.source)

    def _pads(self) -> tuple[int, int]:
        """Rows above and columns before the input: half the kernel, for convolutions always.

        The compiler also gives pooling to the engine that is padded on some sides only. Which
        ones, the flags of maximum pooling say; average pooling has none, and what its output's
        size leaves open is decided for the top and the left. That the chip does the same is a
        guess, and a run warns of it.
        """
        op, out = self.op, self.out.shape[1:]
        if not op.with_pad:
            return 0, 0
        usual = (op.kernel_h // 2, op.kernel_w // 2)
        if op.op_type != _POOL:
            return usual
        if op.pad_mode:
            top = usual[0] if op.pad_mode & _REPEAT_TOP else 0
            left = usual[1] if op.pad_mode & _REPEAT_LEFT else 0
        elif op.stride == 1:
            top = min(usual[0], max(0, out[0] - 1 + op.kernel_h - self.x.shape[1]))
            left = min(usual[1], max(0, out[1] - 1 + op.kernel_w - self.x.shape[2]))
        else:
            return usual
        full = all(n == m for n, m in zip(out, self.x.shape[1:], strict=True))
        if (top, left) != usual or (not op.pad_mode and not full):
            ctx, count = self.ctx, self.out.size
            ctx.then(lambda: ctx.warn("padding", count, _ONE_SIDED))
        return top, left

    def _reach(self, out: tuple[int, ...]) -> tuple[int, int]:
        """Rows and columns of padded input; a kernel may reach one window beyond the input."""
        op = self.op
        reach = ((out[0] - 1) * op.stride + op.kernel_h, (out[1] - 1) * op.stride + op.kernel_w)
        for need, have, span in zip(
            reach, self.x.shape[1:], (op.kernel_h, op.kernel_w), strict=True
        ):
            if need > have + 2 * span:
                raise self.ctx.fail(f"a {op.kernel_h}x{op.kernel_w} kernel from {self.x.shape}")
        return reach

    def _padded(self, x: Array, size: tuple[int, int]) -> Array:
        """The input with zeros or repeated borders around it."""
        op, (top, left) = self.op, self.pads
        padded = plan_padded(self.ctx, x, size, top, left)
        if padded.base is x.base and not (top or left):
            return padded
        bottom, right = top + min(x.shape[1], size[0] - top), left + min(x.shape[2], size[1] - left)
        pieces = (
            (_REPEAT_TOP, padded[:, :top], padded[:, top : top + 1]),
            (_REPEAT_BOTTOM, padded[:, bottom:], padded[:, bottom - 1 : bottom]),
            (_REPEAT_LEFT, padded[:, :, :left], padded[:, :, left : left + 1]),
            (_REPEAT_RIGHT, padded[:, :, right:], padded[:, :, right - 1 : right]),
        )
        for flag, place, edge in pieces:
            if op.pad_mode & flag and place.size:
                self.ctx.then(_repeat(place, edge))
        return padded

    def _pool(self, x: Array, out: Array) -> None:
        op = self.op
        first = op.out_chan_offset
        if x.shape[0] == out.shape[0]:
            first = 0
        if first + out.shape[0] > x.shape[0]:
            raise self.ctx.fail(f"pooling {x.shape[0]} channels to {out.shape[0]}")
        padded = self._padded(x[first : first + out.shape[0]], self._reach(out.shape[1:]))
        kernel, stride = (op.kernel_h, op.kernel_w), (op.stride, op.stride)
        plan_windows(self.ctx, padded, out, kernel, stride, np.add if op.pool_type else np.maximum)
        if op.pool_type:
            factor = np.float32(1.0 / (op.kernel_h * op.kernel_w))
            self.ctx.then(lambda: np.multiply(out, factor, out=out))

    def _convolve(self) -> None:
        ctx, op, out = self.ctx, self.op, self.out
        fused = op.op_type == _CONV_POOL
        result = out
        if fused:
            pooled = (out.shape[1] * op.pool_kernel_h, out.shape[2] * op.pool_kernel_w)
            ctx.spend(out.shape[0] * pooled[0] * pooled[1])
            result = ctx.scratch.array("unpooled", (out.shape[0], *pooled))
        weights, x = self._weights()
        bias, scale = self._vector(op.biases), self._vector(op.scales)
        size = self._reach(result.shape[1:])
        top, left = self.pads
        if op.pad_mode:
            x, top, left = self._padded(x, size), 0, 0
        exact = scale is None or bool((np.frexp(scale)[0] == 0.5).all())
        limit = None
        if scale is not None and exact:  # powers of two commute with every rounding
            weights = weights * scale[:, None, None, None]
            bias = None if bias is None else bias * scale
            limit = np.float32(HALF_MAX) * scale
        elif scale is not None:
            limit = np.full(scale.shape, HALF_MAX, np.float32)
        geometry = Geometry(op.stride, op.stride, top=top, left=left)
        plan_convolution(ctx, x, weights, bias, result, geometry)
        if limit is not None and scale is not None and not np.array_equal(scale, scale**0):
            self._watch(result, limit)
        if scale is not None and not exact:
            factor = scale[:, None, None]
            ctx.then(lambda: np.multiply(result, factor, out=result))
        self._activate(result)
        if fused:
            kernel = (op.pool_kernel_h, op.pool_kernel_w)
            plan_windows(ctx, result, out, kernel, kernel, np.maximum)

    def _weights(self) -> tuple[Array, Array]:
        """Weights (OC, IC, kh, kw) of this operation's channels, and the input they belong to."""
        ctx, op = self.ctx, self.op
        flat = ctx.constant(op.coeffs)
        inner, taps, inputs, blocks = (1,) * (4 - flat.ndim) + flat.shape[::-1]
        if flat.ndim > 4 or inner != _BLOCK or taps != op.kernel_w * op.kernel_h:
            raise ctx.fail(f"weights of {flat.shape} for a {op.kernel_h}x{op.kernel_w} kernel")
        ordered = flat.reshape(blocks, inputs, op.kernel_h, op.kernel_w, _BLOCK)
        shape = (blocks * _BLOCK, inputs, op.kernel_h, op.kernel_w)
        whole = ordered.transpose(0, 4, 1, 2, 3).reshape(shape)
        weights = self._part(whole)
        used = np.flatnonzero(weights.any(axis=(0, 2, 3)))
        if used.size and used[-1] >= self.x.shape[0]:
            raise ctx.fail(f"weights for {inputs} channels, an input of {self.x.shape[0]}")
        count = min(inputs, self.x.shape[0])
        return weights[:, :count], self.x[:count]

    def _part(self, whole: Array) -> Array:
        start, count = self.op.out_chan_offset, self.op.out_num_chans
        if start + count <= len(whole):
            return whole[start : start + count]
        raise self.ctx.fail(f"{len(whole)} weights or biases for channels {start}+{count}")

    def _vector(self, index: int) -> Array | None:
        return None if index < 0 else self._part(self.ctx.constant(index).reshape(-1))

    def _activate(self, result: Array) -> None:
        op = self.op
        if op.relu is not None:
            threshold, below, above = (np.float32(v) for v in op.relu)
            if op.relu == (0, 0, 1):
                self.ctx.then(lambda: np.maximum(result, 0, out=result))
            else:
                self.ctx.then(
                    lambda: np.multiply(
                        result, np.where(result > threshold, above, below), out=result
                    )
                )
        if op.clamp_max is not None:
            top = np.float32(op.clamp_max)
            self.ctx.then(
                lambda: np.maximum(result, 0, out=result),
                lambda: np.minimum(result, top, out=result),
            )

    def _watch(self, result: Array, limit: Array) -> None:
        """Warns where the sum before scaling passes what FP16 holds."""
        ctx, lowest, bound = self.ctx, float(limit.min()), limit[:, None, None]

        def check() -> None:
            if max(result.max(), -result.min()) > lowest:
                over = np.abs(result) > bound
                count = int(np.count_nonzero(over))
                if count:
                    peak = float((np.abs(result) / bound).max()) * HALF_MAX
                    ctx.warn(
                        "prescale",
                        count,
                        f"{count} sums pass {HALF_MAX:.0f} before scaling (up to {peak:.6g}); "
                        "whether the chip clips them is unknown",
                    )

        ctx.then(check)


def _repeat(place: Array, edge: Array) -> Step:
    return lambda: np.copyto(place, edge)


PLANNERS: dict[int, Planner] = {38: hardware}
