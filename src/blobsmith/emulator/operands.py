"""Operands as stages compute with them: FP16 memory read as FP32, FP32 results rounded once.

A `Source` brings an operand's present content into an array; a `Target` rounds an array into
memory. Both are planned once, on scratch memory that all stages share.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..blob.records import Buffer, Location, TensorDesc
from .arrays import Array
from .memory import Memory
from .primitives import planned_cast

Step = Callable[[], object]

COMPUTE: dict[str, np.dtype[Any]] = {
    "fp16": np.dtype(np.float32),
    "fp32": np.dtype(np.float32),
    "i32": np.dtype(np.int32),
    "u8": np.dtype(np.uint8),
    "i8": np.dtype(np.int8),
}
"""Types in which stages compute on operands of each storage type."""


class Scratch:
    """Work arrays shared by all stages; their content lasts no longer than one stage."""

    def __init__(self) -> None:
        self._pool: dict[tuple[str, int], Array] = {}

    def array(self, slot: str, shape: tuple[int, ...], dtype: object = np.float32) -> Array:
        """A contiguous array on the slot's memory. Arrays of one slot overlap."""
        kind = np.dtype(dtype)  # type: ignore[call-overload]
        size = prod(shape) * kind.itemsize
        bucket = 1 << max(size - 1, 4095).bit_length()
        block = self._pool.get((slot, bucket))
        if block is None:
            raw = np.empty(bucket + 64, np.uint8)
            start = -raw.ctypes.data % 64
            block = self._pool[(slot, bucket)] = raw[start : start + bucket]
        array: Array = block[:size].view(kind).reshape(shape)
        return array

    @property
    def nbytes(self) -> int:
        """Bytes of all work arrays."""
        return sum(block.nbytes for block in self._pool.values())


class Source:
    """An operand that a stage reads.

    Attributes:
        desc: its descriptor.
        data: after `steps`, its content in memory order, outermost first, in the compute type.
            Constants are decoded once and need no step.
        steps: what to call before each use.
    """

    def __init__(self, memory: Memory, scratch: Scratch, buffer: Buffer, slot: str) -> None:
        self.desc = buffer.desc
        self.buffer = buffer
        self.constant = buffer.location is Location.BLOB
        self.steps: list[Step] = []
        view = memory.view(buffer)
        if self.constant:
            self.data = view.astype(COMPUTE[buffer.desc.dtype])
        elif buffer.desc.dtype != "fp16":
            self.data = view
        else:
            self.data = self._plan_half(memory, scratch, view, slot)

    def _plan_half(self, memory: Memory, scratch: Scratch, view: Array, slot: str) -> Array:
        desc = self.desc
        count = desc.span // 2
        if count <= 2 * desc.elements:  # convert the gaps too: cheaper than a copy without them
            region = memory.region(self.buffer)
            flat: Array = np.ndarray(
                (count,), view.dtype, buffer=region.data, offset=self.buffer.offset
            )
            wide = scratch.array(slot, (count,))
            self.steps.append(planned_cast(flat, wide))
            strides = tuple(2 * s for s in desc.strides[::-1])
            values: Array = np.ndarray(desc.shape, np.float32, wide.data, 0, strides)
            return values
        packed = scratch.array(slot + ".packed", desc.shape, np.uint16)
        bits = view.view(np.uint16)
        self.steps.append(lambda: np.copyto(packed, bits))
        whole = scratch.array(slot, desc.shape)
        self.steps.append(planned_cast(packed.reshape(-1).view(np.float16), whole.reshape(-1)))
        return whole


class Target:
    """An operand that a stage writes.

    Attributes:
        desc: its descriptor.
        data: where the stage puts its result: contiguous, memory order, compute type.
        bits: for FP16, the rounded result as contiguous uint16 after `steps`; None otherwise.
        steps: what to call when the result is complete.
    """

    def __init__(
        self, memory: Memory, scratch: Scratch, buffer: Buffer, slot: str = "target"
    ) -> None:
        self.desc = buffer.desc
        self.buffer = buffer
        view = memory.view(buffer)
        self.view = view
        self.data = scratch.array(slot, view.shape, COMPUTE[buffer.desc.dtype])
        self.bits: Array | None = None
        self.steps: list[Step] = []
        if buffer.desc.dtype != "fp16":
            self.steps.append(lambda: np.copyto(view, self.data))
            return
        compact = view.flags.c_contiguous
        packed = view if compact else scratch.array(slot + ".packed", view.shape, np.float16)
        self.steps.append(planned_cast(self.data.reshape(-1), packed.reshape(-1)))
        self.bits = packed.view(np.uint16)
        if not compact:
            raw, bits = view.view(np.uint16), self.bits
            self.steps.append(lambda: np.copyto(raw, bits))


DEFAULT_ORDERS: dict[int, int] = {1: 0x3, 2: 0x43, 3: 0x321, 4: 0x4321, 5: 0x43521}


def outer_ids(desc: TensorDesc) -> tuple[int, ...]:
    """Dim ids (W 0, H 1, C 2, N 3, D 4, then 5...) in memory order, outermost first."""
    return desc.dim_ids[::-1]


def ir_axes(desc: TensorDesc) -> tuple[int, ...]:
    """Positions, in memory order outermost first, of the axes in ONNX order."""
    rank = len(desc.dims)
    order = DEFAULT_ORDERS.get(rank)
    ids = outer_ids(desc)
    if order is None:
        return tuple(range(rank))
    wanted = [((order >> (4 * i)) & 0xF) - 1 for i in reversed(range(rank))]
    if sorted(wanted) != sorted(ids):
        return tuple(range(rank))
    return tuple(ids.index(i) for i in wanted)


def aligned(array: Array, desc: TensorDesc, like: TensorDesc) -> Array:
    """A view of `array` with the dimensions of `like`: matched by dim id, missing ones 1.

    Args:
        array: in memory order of `desc`.
        desc: its descriptor.
        like: whose memory order the result has.

    Raises:
        ValueError: `desc` has a dimension that `like` lacks and that is not 1, or one that
            neither equals that of `like` nor is 1.
    """
    ids, target = outer_ids(desc), outer_ids(like)
    if ids == target:
        view = array
    else:
        extra = [axis for axis, i in enumerate(ids) if i not in target]
        if any(array.shape[axis] != 1 for axis in extra):
            raise ValueError(f"dimension ids {ids} do not fit {target}")
        kept = [i for i in ids if i in target]
        view = np.squeeze(array, axis=tuple(extra)) if extra else array
        view = view.transpose([kept.index(i) for i in target if i in kept])
        for axis, i in enumerate(target):
            if i not in kept:
                view = np.expand_dims(view, axis)
    for size, want in zip(view.shape, like.shape, strict=True):
        if size not in (1, want):
            raise ValueError(f"shape {view.shape} does not broadcast to {like.shape}")
    return view


def nchw(array: Array, desc: TensorDesc) -> Array:
    """A view of `array` as N, C, H, W; missing dimensions are 1.

    Raises:
        ValueError: it has a further dimension that is not 1.
    """
    sizes = dict(zip(outer_ids(desc), array.shape, strict=True))
    dims = tuple(sizes.get(i, 1) for i in range(4))
    like = TensorDesc(desc.dtype, 0x4321, dims, (0, 0, 0, 0))
    return aligned(array, desc, like)


def in_ir_order(array: Array, desc: TensorDesc) -> Array:
    """A view of `array` with its axes in ONNX order."""
    view: Array = array.transpose(ir_axes(desc))
    return view
