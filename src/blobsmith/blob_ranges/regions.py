"""Which range lies where in memory.

A blob has no tensors, only memory that is written and read (docs/blob-format.md, section 1.5). So
each memory region gets a map that says, for every two bytes (or every byte, where the region holds
U8), which range was written there last. Moving data is moving entries of this map.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt

from ..blob.reader import Blob
from ..blob.records import Buffer, IOInfo, Location, Stage
from ..numerics.fp16 import Array
from ..numerics.intervals import Interval, make

Ids = npt.NDArray[np.int32]
Region = tuple[Location, int]

MAX_CHANNELS = 4096
"""Tensors of more channels get one range for all."""
JUNK = 0
"""Entry of memory that was never written."""


def stages_in_order(blob: Blob) -> list[Stage]:
    """The stages as they are executed, injected ones behind their hosts."""
    found: list[Stage] = []
    for stage in blob.stages:
        found.append(stage)
        if stage.injected is not None:
            found.append(stage.injected)
    return found


def channel_axis(buffer: Buffer) -> int | None:
    """Axis of the channels in memory order, outermost first; None if it has none."""
    ids = buffer.desc.dim_ids
    return len(ids) - 1 - ids.index(2) if 2 in ids else None


class Memory:
    """The map of all regions, and the table of ranges that its entries point into."""

    def __init__(self, blob: Blob) -> None:
        self.blob = blob
        sizes: dict[Region, int] = {}
        units: dict[Region, int] = {}
        for stage in stages_in_order(blob):
            for buffer in stage.buffers:
                self._measure(sizes, units, buffer)
        for kind, infos in ((Location.INPUT, blob.inputs), (Location.OUTPUT, blob.outputs)):
            for info in infos:
                self._measure(sizes, units, io_buffer(info, kind))
        self.units = units
        self.maps = {
            key: np.zeros(-(-size // units[key]) + 8, np.int32) for key, size in sizes.items()
        }
        self.low = np.array([-np.inf])
        self.high = np.array([np.inf])
        self.nan = np.array([True])

    @staticmethod
    def _measure(sizes: dict[Region, int], units: dict[Region, int], buffer: Buffer) -> None:
        if buffer.location in (Location.NONE, Location.BLOB):
            return
        key = (buffer.location, max(buffer.io_index, 0))
        sizes[key] = max(sizes.get(key, 0), buffer.offset + buffer.desc.span)
        unit = gcd(buffer.desc.itemsize, buffer.offset, *buffer.desc.strides)
        units[key] = gcd(units.get(key, 4), unit) or 1

    def view(self, buffer: Buffer) -> Ids:
        """The map's entries of an operand, in memory order, outermost dimension first."""
        key = (buffer.location, max(buffer.io_index, 0))
        unit, entries = self.units[key], self.maps[key]
        strides = tuple(4 * (s // unit) for s in buffer.desc.strides[::-1])
        view: Ids = np.ndarray(
            buffer.desc.shape, np.int32, entries.data, 4 * (buffer.offset // unit), strides
        )
        return view

    def put(self, buffer: Buffer, entries: Ids | np.ndarray[Any, Any] | int) -> None:
        """Writes entries over an operand, all the units of each element."""
        key = (buffer.location, max(buffer.io_index, 0))
        view = self.view(buffer)
        view[...] = entries
        unit = self.units[key]
        for extra in range(1, buffer.desc.itemsize // unit):
            moved: Ids = np.ndarray(
                view.shape, np.int32, self.maps[key].data,
                4 * (buffer.offset // unit + extra), view.strides,
            )  # fmt: skip
            moved[...] = entries

    def add(self, value: Interval) -> Ids:
        """New entries for these ranges, one for each element of the bounds."""
        start = self.low.size
        lo, hi = np.atleast_1d(value.lo), np.atleast_1d(value.hi)
        value = value.with_nan(bool(np.isnan(lo).any()))
        self.low = np.concatenate([self.low, lo.reshape(-1)])
        self.high = np.concatenate([self.high, hi.reshape(-1)])
        self.nan = np.concatenate([self.nan, np.full(lo.size, value.nan)])
        return np.arange(start, start + lo.size, dtype=np.int32).reshape(lo.shape)

    def entries(self, buffer: Buffer) -> Ids:
        """A copy of an operand's entries; constants get entries of their own."""
        if buffer.location is not Location.BLOB:
            moved: Ids = self.view(buffer).copy()
            return moved
        values = self.constants(buffer)
        if values.size <= MAX_CHANNELS:
            each: Ids = self.add(make(values, values))
            return each
        one: Ids = np.full(values.shape, self.add(make(values.min(), values.max()))[0], np.int32)
        return one

    def write(self, buffer: Buffer, value: Interval) -> None:
        """A range for each channel (a 1-d bound), or one for all (a 0-d bound)."""
        axis = channel_axis(buffer)
        if value.uniform or axis is None or value.lo.size != buffer.desc.shape[axis]:
            self.put(buffer, int(self.add(value.flat())[0]))
            return
        shape = [1] * len(buffer.desc.shape)
        shape[axis] = -1
        self.put(buffer, self.add(value).reshape(shape))

    def read(self, buffer: Buffer) -> Interval:
        """The range of each channel of an operand (1-d bounds), 0-d if it has no channels."""
        if buffer.location is Location.NONE:
            return make(0.0, 0.0)
        if buffer.location is Location.BLOB:
            return self.constant_range(buffer)
        return self.range_of(self.view(buffer), channel_axis(buffer))

    def range_of(self, entries: Ids, axis: int | None) -> Interval:
        """The ranges that map entries stand for, joined over all axes but the channels'."""
        many = axis is not None and 1 < entries.shape[axis] <= MAX_CHANNELS
        used = self.used(entries)
        if not many or axis is None:
            return make(self.low[used].min(), self.high[used].max(), bool(self.nan[used].any()))
        nan = bool(self.nan[used].any())
        if used.size == 1:
            return make(self.low[used[0]], self.high[used[0]], nan)
        others = tuple(i for i in range(entries.ndim) if i != axis)
        low = self.low[entries].min(axis=others)
        return make(low, self.high[entries].max(axis=others), nan)

    def nan_in(self, buffer: Buffer, channels: npt.NDArray[np.bool_]) -> bool:
        """Whether some of an operand's channels may hold NaN."""
        view, axis = self.view(buffer), channel_axis(buffer)
        if axis is None:
            return bool(self.nan[self.used(view)].any())
        chosen = np.flatnonzero(channels[: view.shape[axis]])
        return bool(self.nan[self.used(np.take(view, chosen, axis=axis))].any())

    def used(self, entries: Ids) -> npt.NDArray[np.int64]:
        """The different entries of a part of the map."""
        present = np.zeros(self.low.size, np.bool_)
        present[entries] = True
        return np.flatnonzero(present)

    def constants(self, buffer: Buffer) -> Array:
        """The values of a constant operand, in memory order, outermost dimension first."""
        kind = {"fp16": "<f2", "fp32": "<f4", "i32": "<i4", "u8": "u1", "i8": "i1"}
        dtype = np.dtype(kind[buffer.desc.dtype])
        data = np.frombuffer(self.blob.data, np.uint8)[self.blob.const_offset : self.blob.size]
        view: np.ndarray[Any, Any] = np.ndarray(
            buffer.desc.shape, dtype, data.data, buffer.offset, buffer.desc.strides[::-1]
        )
        return view.astype(np.float64)

    def constant_range(self, buffer: Buffer) -> Interval:
        """Bounds of a constant operand, one for each channel."""
        values, axis = self.constants(buffer), channel_axis(buffer)
        if axis is None or values.shape[axis] == 1:
            return make(values.min(), values.max())
        others = tuple(i for i in range(values.ndim) if i != axis)
        return make(values.min(axis=others), values.max(axis=others))


def io_buffer(info: IOInfo, location: Location) -> Buffer:
    """A whole input or output as an operand."""
    return Buffer(info.desc, location, 0, info.index, info.desc.span)
