"""Tensor descriptors, input and output records, operands (docs/blob-format.md 1.3 to 1.5)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .cursor import Cursor
from .header import SLICE_BYTES
from .records import DATA_TYPES, Buffer, Header, IOInfo, Location, TensorDesc

MAX_DIMS = 8
_DESC = struct.Struct("<7I")
_LOCATIONS = {int(item): item for item in Location}


@dataclass(frozen=True)
class Regions:
    """How many bytes an operand may reach in each memory region.

    Attributes:
        data: the whole file.
        const_offset: start of the constants in the file.
        const_end: their end.
        bss: bytes of the DDR scratch region.
        cmx: bytes of on-chip memory.
        inputs: bytes of each input tensor.
        outputs: bytes of each output tensor.
    """

    data: bytes
    const_offset: int
    const_end: int
    bss: int
    cmx: int
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()

    @classmethod
    def of(cls, data: bytes, header: Header) -> Regions:
        """The regions that a header states, without inputs and outputs yet."""
        return cls(
            data,
            header.const_offset,
            header.file_size,
            header.bss_size,
            header.cmx_slices * SLICE_BYTES,
        )

    def limit(self, location: Location, io_index: int) -> int:
        """Bytes of a region (of the one tensor for inputs and outputs)."""
        if location is Location.INPUT:
            return self.inputs[io_index]
        if location is Location.OUTPUT:
            return self.outputs[io_index]
        if location is Location.BLOB:
            return self.const_end - self.const_offset
        return self.bss if location is Location.BSS else self.cmx


def _table(
    cursor: Cursor, regions: Regions, at: int, count: int, field: str, location: int, offset: int
) -> tuple[int, ...]:
    """The `count` words of a dims or strides table, whose location word stands at byte `at`."""
    if location != Location.BLOB:
        known = location in _LOCATIONS and location != Location.NONE
        what = "dynamic shapes are not supported" if known else f"{field} location is {location}"
        raise cursor.fail(what, f"{field} location", at)
    size = regions.const_end - regions.const_offset
    if offset % 4 or offset + 4 * count > size:
        raise cursor.fail(
            f"{field} offset is {offset}: the table leaves the constants ({size} bytes)",
            f"{field} offset",
            at + 4,
        )
    return struct.unpack_from(f"<{count}I", regions.data, regions.const_offset + offset)


def read_desc(cursor: Cursor, regions: Regions) -> TensorDesc:
    """Reads a tensor descriptor and checks that its elements do not overlap.

    Raises:
        BlobError: unknown type or order, too many dimensions, tables outside the constants,
            strides that overlap (which would let few bytes claim a huge tensor).
    """
    at = cursor.pos
    code, order, count, *tables = _DESC.unpack(cursor.take(_DESC.size, "tensor descriptor"))
    kind = DATA_TYPES.get(code)
    if kind is None:
        raise cursor.fail(f"the data type {code} is not known", "data type", at)
    if not 1 <= count <= MAX_DIMS:
        raise cursor.fail(f"a tensor has {count} dimensions, not 1 to 8", "dims count", at + 8)
    nibbles = [(order >> (4 * i)) & 0xF for i in range(count)]
    if order >> (4 * count) or 0 in nibbles or len(set(nibbles)) != count:
        raise cursor.fail(f"dims order 0x{order:x} does not order {count} dims", "order", at + 4)
    dims = _table(cursor, regions, at + 12, count, "dims", tables[0], tables[1])
    strides = _table(cursor, regions, at + 20, count, "strides", tables[2], tables[3])
    if strides[0] != kind[1]:
        raise cursor.fail(
            f"the innermost stride is {strides[0]} bytes, the element {kind[1]}", "strides", at + 24
        )
    reach = kind[1]
    for size, stride in zip(dims, strides, strict=True):
        if size == 0:
            raise cursor.fail("a dimension is 0", "dims", at + 16)
        if size > 1:
            if stride < reach:
                raise cursor.fail(
                    f"a stride of {stride} bytes overlaps {reach} bytes inside it",
                    "strides",
                    at + 24,
                )
            reach = stride * (size - 1) + reach
    return TensorDesc(kind[0], order, dims, strides)


def read_io(
    cursor: Cursor, regions: Regions, count: int, total: int, batch: int, kind: str
) -> list[IOInfo]:
    """Reads the `count` records of the input or output section.

    Args:
        total: bytes of all inputs (outputs), from the header.
        batch: samples of a run; each tensor's buffer holds that many, one behind the other.
        kind: "input" or "output", for messages.
    """
    records: list[IOInfo] = []
    end = 0
    for position in range(count):
        cursor.part = f"{kind} {position}"
        at = cursor.pos
        index = cursor.u32("index")
        if index != position:
            raise cursor.fail(f"record {position} has the index {index}", "index", at)
        offset = cursor.i32("buffer offset")
        length = cursor.u32("name length")
        if length == 0 or length % 16 or length > cursor.end - cursor.pos:
            raise cursor.fail(f"the name has {length} bytes", "name length", at + 8)
        name = _name(cursor, length)
        desc_at = cursor.pos
        desc = read_desc(cursor, regions)
        if desc.dtype == "i8":
            raise cursor.fail(f"an {kind} of type i8", "data type", desc_at)
        size = desc.span * batch
        if offset < end or offset % 64 or offset + size > total:
            raise cursor.fail(
                f"the {kind} {name!r} ({size} bytes at {offset}) does not fit "
                f"behind byte {end} of the {total} bytes of all {kind}s",
                "buffer offset",
                at + 4,
            )
        end = offset + size
        records.append(IOInfo(index, name, offset, desc))
    if len({item.name for item in records}) != len(records):
        raise cursor.fail(f"two {kind}s have one name", "name")
    return records


def _name(cursor: Cursor, length: int) -> str:
    at = cursor.pos
    raw = cursor.take(length, "name")
    text, _, rest = raw.partition(b"\0")
    if len(text) == length or rest.strip(b"\0"):
        raise cursor.fail("the name is not padded with zeros", "name", at)
    try:
        name = text.decode("utf-8")
    except UnicodeDecodeError:
        raise cursor.fail("the name is not UTF-8", "name", at) from None
    if not name.isprintable():
        raise cursor.fail("the name holds control characters", "name", at)
    return name


def read_buffer(cursor: Cursor, regions: Regions) -> Buffer:
    """Reads an operand and checks that all of it lies inside its memory region."""
    desc = read_desc(cursor, regions)
    at = cursor.pos
    location = _LOCATIONS.get(cursor.u32("location"))
    if location is None:
        raise cursor.fail("the operand's location is not known", "location", at)
    io_index, parent = -1, 0
    if location in (Location.INPUT, Location.OUTPUT):
        sizes = regions.inputs if location is Location.INPUT else regions.outputs
        io_index = cursor.u32("io index")
        if io_index >= len(sizes):
            raise cursor.fail(
                f"operand of {location.name.lower()} {io_index}, but there are {len(sizes)}",
                "io index",
                at + 4,
            )
        parent = cursor.u32("parent bytes")
        if parent != sizes[io_index]:
            raise cursor.fail(
                f"the whole {location.name.lower()} is said to have {parent} bytes, "
                f"not {sizes[io_index]}",
                "parent bytes",
                at + 8,
            )
    at = cursor.pos
    offset = cursor.u32("offset")
    if location is Location.NONE:
        if offset:
            raise cursor.fail(f"an absent operand has the offset {offset}", "offset", at)
    else:
        if offset % desc.itemsize:
            raise cursor.fail(f"the offset {offset} is not aligned to {desc.dtype}", "offset", at)
        limit = regions.limit(location, io_index)
        if offset + desc.span > limit:
            raise cursor.fail(
                f"an operand of {desc.span} bytes at {offset} leaves "
                f"{location.name} ({limit} bytes)",
                "offset",
                at,
            )
    return Buffer(desc, location, offset, io_index, parent)
