"""Which stages read memory that nothing has written."""

from __future__ import annotations

import numpy as np

from ..blob.reader import Blob
from ..blob.records import Buffer, Location, Stage
from .arrays import Array
from .memory import STORAGE, Memory, Region, all_stages, storage_array


def unwritten_reads(blob: Blob, memory: Memory) -> tuple[int, ...]:
    """Finds reads of bytes that no earlier stage wrote, and marks them stale in `memory`.

    A run that reads such bytes would see what an earlier run left there. They are refilled before
    each run, so that equal inputs give equal outputs.

    Returns:
        Indices of the stages that do so.
    """
    written: dict[Region, Array] = {}
    reach: dict[Region, tuple[int, int]] = {}
    found: list[int] = []
    for stage in all_stages(blob):
        outputs = set(_outputs(stage))
        for index, buffer in enumerate(stage.buffers):
            if index in outputs or buffer.location in (
                Location.NONE, Location.BLOB, Location.INPUT,
            ):  # fmt: skip
                continue
            marks = _marks(written, memory, buffer)
            if (marks != np.iinfo(marks.dtype).max).any():
                key = (buffer.location, max(buffer.io_index, 0))
                low, high = reach.get(key, (1 << 62, 0))
                end = buffer.offset + buffer.desc.span
                reach[key] = (min(low, buffer.offset), max(high, end))
                found.append(stage.index)
        for index in outputs:
            buffer = stage.buffers[index]
            if buffer.location not in (Location.NONE, Location.BLOB):
                marks = _marks(written, memory, buffer)
                marks[...] = np.iinfo(marks.dtype).max
    for (location, io_index), (start, stop) in reach.items():
        memory.mark_stale(location, io_index, start - start % 2, stop + stop % 2)
    return tuple(dict.fromkeys(found))


def _marks(written: dict[Region, Array], memory: Memory, buffer: Buffer) -> Array:
    key = (buffer.location, max(buffer.io_index, 0))
    if key not in written:
        written[key] = np.zeros(memory.region(buffer).size, np.uint8)
    dtype = STORAGE[buffer.desc.dtype]
    strides = buffer.desc.strides[::-1]
    view = storage_array(written[key], dtype, buffer.desc.shape, strides, buffer.offset)
    return view.view(f"<u{dtype.itemsize}")


def _outputs(stage: Stage) -> list[int]:
    """Positions of the operands that a stage writes (docs/blob-format.md section 4)."""
    count = len(stage.buffers)
    if stage.type_id == 38:
        return sorted({op.output for op in stage.hw_ops})
    if stage.type_id == 104:
        return list(range(2, count))
    if stage.type_id in (91, 128, 129, 133):
        return [count - 1]
    if stage.type_id in (0, 8, 49):
        return [1, *range(3, count)]
    return [1]
