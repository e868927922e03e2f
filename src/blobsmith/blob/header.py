"""The preamble and the header of a blob (docs/blob-format.md sections 1.1 and 1.2)."""

from __future__ import annotations

import struct

from .cursor import Cursor
from .records import Header

PREAMBLE_SIZE = 52
HEADER_END = 132
MAGIC = 9709
SLICE_BYTES = 131072
MAX_SHAVES = 16
MAX_SLICES = 19
MAX_MEMORY = 1 << 30
"""Largest region accepted, bytes: no camera with a MyriadX has more DDR."""

_PREAMBLE = bytearray(PREAMBLE_SIZE)
_PREAMBLE[:4] = b"\x7felf"
struct.pack_into("<HHI", _PREAMBLE, 16, 1, 2, 2)
struct.pack_into("<H", _PREAMBLE, 40, 8 * PREAMBLE_SIZE)
PREAMBLE = bytes(_PREAMBLE)

VERSIONS: frozenset[tuple[int, int]] = frozenset(
    [(5, 0), (6, 0), (2020, 3), (2020, 4), (2021, 1), (2021, 2), (2021, 3), (2021, 4), (2022, 1)]
)
"""Version fields that DepthAI accepts: {5,0} is 2020.3, {6,0} is 2020.4 to 2022.1."""


def read_header(data: bytes, name: str) -> Header:
    """Reads and checks the first 132 bytes.

    Raises:
        BlobError: a field is impossible; the message names it and its byte offset.
    """
    cursor = Cursor(data, 0, len(data), name, "header")
    for index, want in enumerate(PREAMBLE):
        if index >= len(data) or data[index] != want:
            if index < len(data):
                raise cursor.fail("this is not a MyriadX blob", "preamble", index)
            raise cursor.fail("the data end inside the preamble", "preamble", index)
    cursor.pos = PREAMBLE_SIZE
    magic = cursor.u32("magic")
    if magic != MAGIC:
        raise cursor.fail(f"the magic number is {magic}, not {MAGIC}", "magic", 52)
    size_at = cursor.pos
    file_size = cursor.u32("file_size")
    if file_size > len(data):
        raise cursor.fail(
            f"the file has {len(data)} of the {file_size} bytes that its header states",
            "file_size",
            size_at,
        )
    if file_size < HEADER_END + 60 or file_size % 64:
        raise cursor.fail(f"file_size is {file_size}, no multiple of 64", "file_size", size_at)
    version = (cursor.u32("ver_major"), cursor.u32("ver_minor"))
    if version not in VERSIONS:
        raise cursor.fail(f"version {version[0]}.{version[1]} is not known", "ver_major", 60)
    header = Header(
        file_size=file_size,
        version=version,
        inputs_count=cursor.ranged("inputs_count", 0, file_size // 56),
        outputs_count=cursor.ranged("outputs_count", 1, file_size // 56),
        stages_count=cursor.ranged("stages_count", 1, file_size // 24),
        inputs_size=cursor.ranged("inputs_size", 0, MAX_MEMORY),
        outputs_size=cursor.ranged("outputs_size", 1, MAX_MEMORY),
        batch_size=cursor.ranged("batch_size", 1, 1 << 16),
        bss_size=cursor.ranged("bss_mem_size", 0, MAX_MEMORY),
        cmx_slices=cursor.ranged("number_of_cmx_slices", 0, MAX_SLICES),
        shaves=cursor.ranged("number_of_shaves", 0, MAX_SHAVES),
        has_hw=cursor.flag("has_hw_stage"),
        has_shave=cursor.flag("has_shave_stage"),
        has_dma=cursor.flag("has_dma_stage"),
        input_info_offset=cursor.u32("input_info_section_offset"),
        output_info_offset=cursor.u32("output_info_section_offset"),
        stage_offset=cursor.u32("stage_section_offset"),
        const_offset=cursor.u32("const_data_section_offset"),
    )
    _check_sections(cursor, header)
    return header


def _check_sections(cursor: Cursor, header: Header) -> None:
    previous, before = HEADER_END, "header"
    sections = (
        ("input_info_section_offset", header.input_info_offset),
        ("output_info_section_offset", header.output_info_offset),
        ("stage_section_offset", header.stage_offset),
        ("const_data_section_offset", header.const_offset),
    )
    for index, (field, offset) in enumerate(sections):
        at = 116 + 4 * index
        if offset % 64 or offset > header.file_size:
            raise cursor.fail(
                f"{field} is {offset}: no multiple of 64 inside {header.file_size} bytes",
                field,
                at,
            )
        if offset < previous:
            raise cursor.fail(f"{field} is {offset}, before the end of {before}", field, at)
        previous, before = offset, field
    cursor.padding(header.input_info_offset, "padding behind the header")
