"""Blobs put together from the specification alone, for layouts that no compiler here writes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

BORDER = 0x7F83FF19
NONE, INPUT, OUTPUT, CONST, BSS, CMX = range(6)
ORDERS = {1: 0x3, 2: 0x43, 3: 0x321, 4: 0x4321}
SIZES = {0: 2, 1: 1, 2: 4, 3: 4}


def words(*values: int | float) -> bytes:
    """Little-endian 32-bit words; floats as f32."""
    return b"".join(struct.pack("<f" if isinstance(v, float) else "<i", v) for v in values)


def align(data: bytes) -> bytes:
    """Zero padded to a multiple of 64."""
    return data + bytes(-len(data) % 64)


@dataclass
class Assembler:
    """Collects inputs, outputs, stages and constants; `blob` joins them.

    Attributes:
        shaves: SHAVEs and CMX slices.
        bss: bytes of scratch memory.
        batch: samples of a run.
    """

    shaves: int = 4
    bss: int = 0
    batch: int = 1
    const: bytes = b""
    ios: dict[int, list[tuple[bytes, int]]] = field(default_factory=lambda: {INPUT: [], OUTPUT: []})
    stages: list[bytes] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)

    def constant(self, data: bytes) -> int:
        """Adds bytes to the constants; their offset."""
        offset = len(self.const)
        self.const += align(data)
        return offset

    def desc(self, dims: Sequence[int], dtype: int = 0, order: int | None = None) -> bytes:
        """A compact tensor's descriptor; `dims` minor first."""
        strides, step = [], SIZES[dtype]
        for size in dims:
            strides.append(step)
            step *= size
        tables = [self.constant(struct.pack(f"<{len(t)}I", *t)) for t in (dims, strides)]
        code = ORDERS[len(dims)] if order is None else order
        return words(dtype, code, len(dims), CONST, tables[0], CONST, tables[1])

    def io(self, kind: int, name: str, dims: Sequence[int], dtype: int = 0) -> int:
        """Adds an input or output; its index."""
        size = SIZES[dtype]
        for item in dims:
            size *= item
        records = self.ios[kind]
        offset = sum(-(-s * self.batch // 64) * 64 for _, s in records)
        raw = name.encode() + b"\0"
        raw += bytes(-len(raw) % 16)
        record = words(len(records), offset, len(raw)) + raw + self.desc(dims, dtype)
        records.append((record, size))
        return len(records) - 1

    def buffer(
        self,
        dims: Sequence[int],
        location: int,
        offset: int = 0,
        dtype: int = 0,
        index: int = 0,
        order: int | None = None,
    ) -> bytes:
        """An operand."""
        parent = b""
        if location in self.ios:
            parent = words(index, self.ios[location][index][1])
        return self.desc(dims, dtype, order) + words(location) + parent + words(offset)

    def absent(self) -> bytes:
        """The operand that is not there."""
        return self.buffer([1], NONE)

    def record(self, kind: int, params: bytes, data: bytes, shaves: int | None = None) -> bytes:
        """A stage record, not added to the list (for injection)."""
        unit = "hw" if kind == 38 else "dma" if kind in (19, 119, 120) else "shave"
        self.kinds.add(unit)
        granted = (1 if unit == "shave" else 0) if shaves is None else shaves
        body = words(kind, granted, len(params) + 4) + params + data
        return words(len(body) + 12) + body + words(kind, BORDER)

    def stage(self, kind: int, params: bytes, *buffers: bytes, shaves: int | None = None) -> None:
        """Adds an ordinary stage."""
        self.stages.append(self.record(kind, params, b"".join(buffers), shaves))

    def blob(self, version: tuple[int, int] = (6, 0)) -> bytes:
        """The whole file."""
        sections = [align(b"".join(r for r, _ in self.ios[kind])) for kind in (INPUT, OUTPUT)]
        sections += [align(b"".join(self.stages)), align(self.const)]
        offsets = [192]
        for section in sections:
            offsets.append(offsets[-1] + len(section))
        sizes = []
        for kind in (INPUT, OUTPUT):
            end = 0
            for _, size in self.ios[kind]:
                end = -(-end // 64) * 64 + size * self.batch
            sizes.append(end)
        preamble = bytearray(52)
        preamble[:4] = b"\x7felf"
        struct.pack_into("<HHI", preamble, 16, 1, 2, 2)
        struct.pack_into("<H", preamble, 40, 0x1A0)
        header = words(
            9709, offsets[-1], *version, len(self.ios[INPUT]), len(self.ios[OUTPUT]),
            len(self.stages), *sizes, self.batch, self.bss, self.shaves, self.shaves,
            *(int(unit in self.kinds) for unit in ("hw", "shave", "dma")), *offsets[:4],
        )  # fmt: skip
        return align(bytes(preamble) + header) + b"".join(sections)
