"""The byte memory in which stages run, and typed views on it (docs/blob-format.md 1.3 to 1.5).

Tensors have no identity in a blob: a stage finds its operands by location and offset, and memory
is used again and again. So the emulator keeps the same regions as the chip and makes every
operand a NumPy view on them, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..blob.reader import Blob
from ..blob.records import Buffer, IOInfo, Location, Stage
from ..errors import BlobError
from .arrays import Array

STORAGE: dict[str, np.dtype[Any]] = {
    "fp16": np.dtype("<f2"),
    "u8": np.dtype("u1"),
    "i32": np.dtype("<i4"),
    "fp32": np.dtype("<f4"),
    "i8": np.dtype("i1"),
}
"""NumPy types of the elements as they lie in memory."""

MAX_MEMORY = 1 << 30
"""Most bytes that all regions of a blob together may take here; a camera has 512 MB."""

POISON = 0x7E00
"""The half-precision NaN that fills memory when reads of unwritten memory are hunted."""

Region = tuple[Location, int]


def all_stages(blob: Blob) -> Iterator[Stage]:
    """The stages in the order of execution: each injected stage behind its host."""
    for stage in blob.stages:
        yield stage
        if stage.injected is not None:
            yield stage.injected


def storage_array(
    region: Array,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    at: int,
) -> Array:
    """A strided array on a region's bytes; NumPy checks that it stays inside.

    Raises:
        ValueError: the array would leave the region.
    """
    array: Array = Array(shape, dtype, region.data, at, strides)
    return array


class Memory:
    """All regions of one blob: inputs, outputs, constants, scratch (BSS), on-chip memory (CMX).

    Scratch is allocated as far as operands reach, not as far as the header claims.

    Args:
        blob: the blob, read and checked.
        poison: fill everything but the constants with half-precision NaN instead of zeros.

    Raises:
        BlobError: the blob needs more than `MAX_MEMORY`.
    """

    def __init__(self, blob: Blob, *, poison: bool = False) -> None:
        sizes: dict[Region, int] = {}
        for kind, infos in ((Location.INPUT, blob.inputs), (Location.OUTPUT, blob.outputs)):
            for info in infos:
                sizes[(kind, info.index)] = info.desc.span
        for stage in all_stages(blob):
            for buffer in stage.buffers:
                if buffer.location not in (Location.NONE, Location.BLOB):
                    key = (buffer.location, max(buffer.io_index, 0))
                    sizes[key] = max(sizes.get(key, 0), buffer.offset + buffer.desc.span)
        total = sum(sizes.values())
        if total > MAX_MEMORY:
            raise BlobError(
                f"the blob's tensors need {total >> 20} MiB of memory",
                where=blob.name,
                remedy=f"no camera has more than {MAX_MEMORY >> 20} MiB; the file is damaged",
            )
        self.poison = poison
        constants = np.frombuffer(blob.data, np.uint8)[blob.const_offset : blob.size]
        self._regions: dict[Region, Array] = {
            key: np.zeros(-(-size // 64) * 64, np.uint8) for key, size in sizes.items()
        }
        self._regions[(Location.BLOB, 0)] = constants
        self._stale: list[Array] = []
        self.reset(everything=True)

    @property
    def nbytes(self) -> int:
        """Bytes of all regions, the constants included."""
        return sum(region.nbytes for region in self._regions.values())

    def region(self, buffer: Buffer) -> Array:
        """The bytes of the region in which an operand lies."""
        return self._regions[(buffer.location, max(buffer.io_index, 0))]

    def view(self, buffer: Buffer) -> Array:
        """An operand in memory order, outermost dimension first, in its storage type.

        Raises:
            BlobError: it is not aligned to its elements.
        """
        desc = buffer.desc
        dtype = STORAGE[desc.dtype]
        if buffer.offset % dtype.itemsize or any(s % dtype.itemsize for s in desc.strides):
            raise BlobError(
                f"an operand at {buffer.location.name} {buffer.offset} is not aligned to its "
                f"{dtype.itemsize}-byte elements",
                remedy="the file is damaged; build it again",
            )
        return storage_array(
            self.region(buffer), dtype, desc.shape, desc.strides[::-1], buffer.offset
        )

    def io_view(self, info: IOInfo, location: Location) -> Array:
        """A whole input or output in memory order, outermost dimension first."""
        region = self._regions[(location, info.index)]
        desc = info.desc
        return storage_array(region, STORAGE[desc.dtype], desc.shape, desc.strides[::-1], 0)

    def mark_stale(self, location: Location, io_index: int, start: int, stop: int) -> None:
        """Registers bytes that are read before they are written: `reset` refills them."""
        self._stale.append(self._regions[(location, max(io_index, 0))][start:stop])

    def reset(self, *, everything: bool = False) -> None:
        """Refills stale bytes, so that no run depends on an earlier one.

        Args:
            everything: refill all regions but the constants.
        """
        spans = self._stale
        if everything:
            spans = [r for (kind, _), r in self._regions.items() if kind is not Location.BLOB]
        for span in spans:
            if self.poison and span.size % 2 == 0:
                span.view("<u2")[...] = POISON
            else:
                span[...] = 0
