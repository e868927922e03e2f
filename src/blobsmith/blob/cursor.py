"""A bounded reading position in a file: every read is checked, every error has a place."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from ..errors import BlobError

REMEDY = "the file is damaged or no MyriadX blob: compile or download it again"

_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from
_U64 = struct.Struct("<Q").unpack_from
_F32 = struct.Struct("<f").unpack_from


class Cursor:
    """Reads little-endian values from `data` up to `end`.

    Attributes:
        data: the whole file.
        pos: byte offset of the next read.
        end: first byte that may not be read.
        name: the file's name, for messages.
        part: what is being read ("stage 3 (Conv)"), for messages.
    """

    __slots__ = ("data", "end", "name", "part", "pos")

    def __init__(self, data: bytes, pos: int, end: int, name: str, part: str = "") -> None:
        self.data = data
        self.pos = pos
        self.end = min(end, len(data))
        self.name = name
        self.part = part

    def fail(self, what: str, field: str, offset: int | None = None) -> BlobError:
        """The error for a bad `field`; `offset` defaults to the current position."""
        at = self.pos if offset is None else offset
        place = ", ".join(p for p in (self.name, self.part, field) if p)
        return BlobError(what, where=f"{place}, at byte {at} (0x{at:x})", remedy=REMEDY)

    def _take(self, count: int, field: str) -> int:
        pos = self.pos
        if count > self.end - pos:
            raise self.fail(f"the data end before {field}: {count} bytes needed", field)
        self.pos = pos + count
        return pos

    def _read(self, unpack: Callable[[bytes, int], tuple[Any, ...]], size: int, field: str) -> Any:
        return unpack(self.data, self._take(size, field))[0]

    def u32(self, field: str) -> int:
        """An unsigned 32-bit word."""
        pos = self.pos
        if pos + 4 > self.end:
            raise self.fail(f"the data end before {field}", field)
        self.pos = pos + 4
        return int(_U32(self.data, pos)[0])

    def i32(self, field: str) -> int:
        """A signed 32-bit word."""
        return int(self._read(_I32, 4, field))

    def u64(self, field: str) -> int:
        """An unsigned 64-bit word."""
        return int(self._read(_U64, 8, field))

    def f32(self, field: str) -> float:
        """A 32-bit float; not a number and infinity are returned as they are."""
        return float(self._read(_F32, 4, field))

    def take(self, count: int, field: str) -> bytes:
        """`count` bytes, or an error if the file has fewer."""
        pos = self._take(count, field)
        return self.data[pos : pos + count]

    def flag(self, field: str) -> bool:
        """A word that is 0 or 1."""
        value = self.u32(field)
        if value > 1:
            raise self.fail(f"{field} is {value}, not 0 or 1", field, self.pos - 4)
        return value == 1

    def ranged(self, field: str, low: int, high: int) -> int:
        """A signed word in `low`..`high`."""
        value = self.i32(field)
        if not low <= value <= high:
            raise self.fail(f"{field} is {value}, outside {low}..{high}", field, self.pos - 4)
        return value

    def sub(self, length: int, part: str) -> Cursor:
        """A cursor over the next `length` bytes; this one stays where it is."""
        if length > self.end - self.pos:
            raise self.fail(f"the data end inside {part}", part)
        return Cursor(self.data, self.pos, self.pos + length, self.name, part)

    def padding(self, until: int, field: str) -> None:
        """Zero bytes up to `until`."""
        gap = self.data[self.pos : until]
        if gap.strip(b"\0"):
            at = self.pos + len(gap) - len(gap.lstrip(b"\0"))
            raise self.fail(f"{field} is not zero", field, at)
        self.pos = until
