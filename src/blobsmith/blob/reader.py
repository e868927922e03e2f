"""`Blob`: a compiled .blob file as frozen records. Pure Python; nothing is executed or written."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast

from ..errors import BlobError, EnvironmentFault
from ..tensors import DType, TensorSpec
from .cursor import Cursor
from .header import read_header
from .operands import Regions, read_io
from .records import Header, IOInfo, Location, Stage
from .stages import read_stages
from .trailer import Trailer, read_trailer
from .types import OPAQUE, category

MAX_FILE = 1 << 31
SCRATCH_SLACK = 1 << 16
"""Bytes of scratch memory that a header may ask for beyond twice of what its stages use; every
blob compiled for the tests asks for less than 64 unused bytes."""
_LETTERS = {0: "W", 1: "H", 2: "C", 3: "N", 4: "D"}


@dataclass(frozen=True, eq=False)
class Blob:
    """A .blob file: header, inputs, outputs and every stage, checked.

    Every operand of every stage is known to lie inside its memory region, so that readers of
    this value may index memory without further checks.

    Attributes:
        data: the bytes of the file, the 2022.1 trailer included if it has one.
        name: the file's name, for messages; may be empty.
        header: sizes, versions, section offsets.
        inputs: input records in file order, companions of dynamic shapes left out.
        outputs: output records likewise.
        stages: stages in the order of execution.
        trailer: names and shapes before compilation, or None.
    """

    data: bytes
    name: str
    header: Header
    inputs: tuple[IOInfo, ...]
    outputs: tuple[IOInfo, ...]
    stages: tuple[Stage, ...]
    trailer: Trailer | None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Blob:
        """Reads a file.

        Raises:
            BlobError: no such file, or it is no sound blob.
            EnvironmentFault: it may not be read.
        """
        file = Path(path)
        try:
            if not file.is_file():
                raise BlobError(
                    "there is no such file", where=str(file), remedy="give the path of a .blob file"
                )
            if file.stat().st_size > MAX_FILE:
                raise BlobError("the file is larger than a blob can be", where=str(file))
            data = file.read_bytes()
        except OSError as error:
            raise EnvironmentFault(
                f"the file cannot be read: {error.strerror}",
                where=str(file),
                remedy="check the file's permissions",
            ) from error
        return cls.from_bytes(data, str(file))

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "") -> Blob:
        """Reads a blob from memory; `name` is used in messages.

        Raises:
            BlobError: with the byte offset and the field that is damaged.
        """
        data = bytes(data)
        header = read_header(data, name)
        regions = Regions.of(data, header)
        inputs = _section(data, header, regions, "input", name)
        outputs = _section(data, header, regions, "output", name)
        regions = replace(
            regions,
            inputs=tuple(item.desc.span for item in inputs),
            outputs=tuple(item.desc.span for item in outputs),
        )
        stages = read_stages(data, header, regions, name)
        _check_totals(data, header, stages, name)
        trailer = read_trailer(data, header.file_size, name)
        visible = [
            tuple(item for item in items if "@shape" not in item.name)
            for items in (inputs, outputs)
        ]
        return cls(data, name, header, visible[0], visible[1], stages, trailer)

    @property
    def shaves(self) -> int:
        """SHAVE processors that the blob was compiled for."""
        return self.header.shaves

    @property
    def size(self) -> int:
        """Bytes of the blob itself, without the trailer."""
        return self.header.file_size

    @property
    def const_offset(self) -> int:
        """Byte offset of the constants in `data`."""
        return self.header.const_offset

    @cached_property
    def sha256(self) -> str:
        """Hash of the blob itself, without the trailer."""
        return hashlib.sha256(self.data[: self.size]).hexdigest()

    @cached_property
    def input_specs(self) -> tuple[TensorSpec, ...]:
        """The inputs as tensor specs: shape outermost first, the batch included."""
        return tuple(_spec(item, self.header.batch_size) for item in self.inputs)

    @cached_property
    def output_specs(self) -> tuple[TensorSpec, ...]:
        """The outputs as tensor specs: shape outermost first, the batch included."""
        return tuple(_spec(item, self.header.batch_size) for item in self.outputs)

    def __repr__(self) -> str:
        return (
            f"Blob({self.name or 'bytes'}: {len(self.inputs)} inputs, {len(self.outputs)} outputs, "
            f"{len(self.stages)} stages, {self.shaves} shaves, {self.size} bytes)"
        )


def _section(
    data: bytes, header: Header, regions: Regions, kind: str, name: str
) -> tuple[IOInfo, ...]:
    if kind == "input":
        start, end = header.input_info_offset, header.output_info_offset
        count, total, at = header.inputs_count, header.inputs_size, 80
    else:
        start, end = header.output_info_offset, header.stage_offset
        count, total, at = header.outputs_count, header.outputs_size, 84
    cursor = Cursor(data, start, end, name, f"{kind}s")
    records = read_io(cursor, regions, count, total, header.batch_size, kind)
    cursor.part = f"{kind}s"
    if end - cursor.pos >= 64:
        raise cursor.fail(f"{end - cursor.pos} bytes are left", f"{kind}s_count")
    cursor.padding(end, f"padding behind the {kind}s")
    used = records[-1].offset + records[-1].desc.span * header.batch_size if records else 0
    if used != total:
        raise cursor.fail(
            f"{kind}s_size is {total}, but the {kind}s take {used} bytes", f"{kind}s_size", at
        )
    return tuple(records)


def _check_totals(data: bytes, header: Header, stages: tuple[Stage, ...], name: str) -> None:
    """What the header says of the stages as a whole: kinds present, scratch memory used."""
    cursor = Cursor(data, 0, len(data), name, "header")
    injected = [stage.injected for stage in stages if stage.injected is not None]
    every = [*stages, *injected]
    kinds = {category(stage.type_id) for stage in stages}
    inside = {category(stage.type_id) for stage in injected}  # the flags may leave these out
    flags = (
        ("hardware", "has_hw_stage", header.has_hw),
        ("software", "has_shave_stage", header.has_shave),
        ("dma", "has_dma_stage", header.has_dma),
    )
    for index, (kind, field, flag) in enumerate(flags):
        if (kind in kinds and not flag) or (flag and kind not in kinds | inside):
            raise cursor.fail(
                f"{field} is {int(flag)}, the stages say otherwise", field, 104 + 4 * index
            )
    used = max(
        (
            buffer.offset + buffer.desc.span
            for stage in every
            for buffer in stage.buffers
            if buffer.location is Location.BSS
        ),
        default=0,
    )
    if header.bss_size > 2 * used + SCRATCH_SLACK and not any(s.type_id in OPAQUE for s in every):
        raise cursor.fail(
            f"{header.bss_size} bytes of scratch memory, of which the stages use {used}",
            "bss_mem_size",
            92,
        )


def _spec(item: IOInfo, batch: int) -> TensorSpec:
    layout = "".join(_LETTERS.get(i, "N") for i in reversed(item.desc.dim_ids))
    shape = item.desc.shape
    if batch > 1 and layout[:1] == "N":
        shape = (shape[0] * batch, *shape[1:])
    return TensorSpec(item.name, shape, cast(DType, item.desc.dtype), layout)
