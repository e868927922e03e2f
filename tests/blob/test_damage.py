"""A damaged blob is refused with the byte and field at fault; with bounded memory."""

from __future__ import annotations

import re
import struct
import tracemalloc
from dataclasses import dataclass

import pytest

from blobsmith.blob import Blob
from blobsmith.errors import BlobError

from .assemble import BSS, CONST, INPUT, OUTPUT, Assembler, words
from .test_reader import CONCAT_TRAILER

PLACE = re.compile(r"at byte \d+ \(0x[0-9a-f]+\)")


def refused(data: bytes) -> BlobError:
    """The error that these bytes must raise; it names the file and the byte."""
    with pytest.raises(BlobError) as caught:
        Blob.from_bytes(data, "some.blob")
    assert PLACE.search(caught.value.where), caught.value.where
    assert caught.value.where.startswith("some.blob, ")
    assert caught.value.remedy
    return caught.value


def changed(data: bytes, offset: int, *values: int) -> bytes:
    """The bytes with some 32-bit words replaced."""
    out = bytearray(data)
    struct.pack_into(f"<{len(values)}I", out, offset, *values)
    return bytes(out)


def test_cut_at_any_byte(concat_bytes: bytes) -> None:
    whole = concat_bytes + CONCAT_TRAILER
    for end in range(len(whole)):
        if end != len(concat_bytes):
            refused(whole[:end])
    Blob.from_bytes(whole)


def test_cut_inside_a_hardware_blob(filter_bytes: bytes) -> None:
    for end in range(0, len(filter_bytes), 37):
        refused(filter_bytes[:end])


# offset of a header word, a wrong value, the field that the message must name
HEADER = [
    (0, 0, "preamble"),
    (16, 0, "preamble"),
    (52, 9708, "magic"),
    (56, 2048, "file_size"),
    (56, 1000, "file_size"),
    (60, 7, "ver_major"),
    (64, 3, "ver_major"),
    (68, 4, "input 3"),
    (68, 2, "inputs"),
    (68, 0xFFFFFFFF, "inputs_count"),
    (72, 0, "outputs_count"),
    (72, 2, "output 1"),
    (76, 4, "stage 3"),
    (76, 2, "stages_count"),
    (76, 0x7FFFFFFF, "stages_count"),
    (80, 270000, "buffer offset"),
    (80, 0x3FFFFFFF, "inputs_size"),
    (84, 0x3FFFFFFF, "outputs_size"),
    (88, 0, "batch_size"),
    (88, 2, "buffer offset"),
    (92, 0x3FFFFFFF, "bss_mem_size"),
    (92, 0xFFFFFFFF, "bss_mem_size"),
    (96, 20, "number_of_cmx_slices"),
    (100, 17, "number_of_shaves"),
    (100, 2, "number of shaves"),
    (104, 1, "has_hw_stage"),
    (108, 0, "has_shave_stage"),
    (112, 1, "has_dma_stage"),
    (112, 2, "has_dma_stage"),
    (116, 200, "input_info_section_offset"),
    (116, 128, "input_info_section_offset"),
    (120, 4096, "output_info_section_offset"),
    (124, 256, "stage_section_offset"),
    (128, 64, "const_data_section_offset"),
    (128, 1024, "dims"),
    (136, 1, "padding behind the header"),
]


@pytest.mark.parametrize(("offset", "value", "field"), HEADER)
def test_header_fields(concat_bytes: bytes, offset: int, value: int, field: str) -> None:
    assert field in refused(changed(concat_bytes, offset, value)).where


# offset inside the first Convert's record (448), a wrong value, the field
STAGE = [
    (0, 0, "record length"),
    (0, 130, "record length"),
    (0, 0xFFFFFFFF, "record length"),
    (4, 26, "type"),
    (8, 7, "number of shaves"),
    (12, 0, "params length"),
    (12, 24, "operand 0"),
    (12, 0xFFFFFFF0, "params length"),
    (24, 7, "from_detection_output"),
    (32, 9, "data type"),
    (36, 0x4322, "order"),
    (36, 0x54321, "order"),
    (40, 9, "dims count"),
    (40, 0, "dims count"),
    (44, 4, "dims location"),
    (48, 1 << 30, "dims offset"),
    (48, 2, "dims offset"),
    (56, 1 << 30, "strides offset"),
    (60, 6, "location"),
    (64, 3, "io index"),
    (68, 270001, "parent bytes"),
    (72, 1, "offset"),
    (108, 1, "io index"),
    (112, 1, "parent bytes"),
    (116, 1, "offset"),
    (116, 1 << 31, "offset"),
]


@pytest.mark.parametrize(("offset", "value", "field"), STAGE)
def test_stage_fields(concat_bytes: bytes, offset: int, value: int, field: str) -> None:
    where = refused(changed(concat_bytes, 448 + offset, value)).where
    assert "stage 0" in where
    assert field in where


@pytest.mark.parametrize(("back", "value", "field"), [(8, 112, "type"), (4, 1, "border")])
def test_end_of_a_record(concat_bytes: bytes, back: int, value: int, field: str) -> None:
    assert field in refused(changed(concat_bytes, 448 + 128 - back, value)).where


def test_sizes_that_overflow_32_bits(concat_bytes: bytes) -> None:
    """Dimensions whose product is far beyond any memory, with strides that pretend to fit."""
    blob = Blob.from_bytes(concat_bytes)
    dims, strides = struct.unpack_from("<I4xI", concat_bytes, 448 + 48)
    huge = changed(concat_bytes, blob.const_offset + dims, 65536, 65536, 65536, 65536)
    assert "strides" in refused(huge).where
    flat = changed(huge, blob.const_offset + strides, 1, 0, 0, 0)
    assert "strides" in refused(flat).where


@dataclass(frozen=True)
class Wrong:
    """A stage whose parameters contradict its operands, and the field to be named."""

    kind: int
    params: bytes
    field: str
    shapes: tuple[tuple[int, ...], ...] = ((8, 4, 2, 1), (8, 4, 2, 1))


WRONG = [
    Wrong(34, words(0, 0, 1, 2, -1, -1, -1, -1), "permutation"),
    Wrong(34, words(1, 0, 2, 3, -1, -1, -1, -1), "permutation"),
    Wrong(71, words(1, 0, 0, 0, 0, 0, 0, 0, 0.0, 0), "begins"),
    Wrong(71, words(0, 0, 0, 0, 0, 0, 0, 0, 0.0, 4), "mode"),
    Wrong(28, words(0, 2), "tiles"),
    Wrong(3, words(4), "axis"),
    Wrong(3, words(-1), "axis"),
    Wrong(19, b"", "operands", ((8, 4), (8, 2))),
    Wrong(1, words(0, 1, 1, 1, 0, 0, 0), "kernel_w"),
    Wrong(1, words(1, 1, 1, 0, 0, 0, 0), "kernel_h"),
    Wrong(2, words(1 << 30, 1, 1, 1, 0, 0, 0), "kernel_w"),
    Wrong(2, words(1, 1, 1, 1, 1 << 30, 0, 0), "kernel_w"),
    Wrong(67, words(0, 1, 5), "coord_mode"),
    Wrong(140, words(2), "mode"),
    Wrong(104, words(1, 0, 1, 1, 1), "has_values"),
    Wrong(100, words(4), "axis"),
    Wrong(100, words(0), "operands"),
    Wrong(91, words(1.0, 1.0, 1, 0, 0), "has_c"),
    Wrong(12, words(1.0, 1.0, 400, 0.0, 0.0, 0.0), "post_operation"),
    Wrong(12, words(1.0, 1.0, -1, 0.0, 0.0, 0.0), "operands", ((7, 4, 2, 1), (8, 4, 2, 1))),
    Wrong(0, words(9, 9, 1, 1, 4, 4, 1, 1), "kernel_w"),
]
_COUNTS = {12: 4, 104: 3, 100: 3, 91: 3, 0: 3}


@pytest.mark.parametrize("case", WRONG, ids=lambda case: f"{case.kind} {case.field}")
def test_parameters_that_do_not_fit_the_operands(case: Wrong) -> None:
    made = Assembler(bss=1024)
    made.io(INPUT, "x", (4,))
    made.io(OUTPUT, "y", (4,))
    shapes = [*case.shapes, *[case.shapes[0]] * (_COUNTS.get(case.kind, 2) - 2)]
    made.stage(case.kind, case.params, *(made.buffer(shape, BSS) for shape in shapes))
    where = refused(made.blob()).where
    assert "stage 0" in where
    assert case.field in where


HW_OP = {"type": 0, "mode": 0, "kernel": 3, "coeffs": 1, "offset": 0, "count": 8}
HW_WRONG = [
    ({"type": 3}, "operation type"),
    ({"mode": 5}, "operation mode"),
    ({"kernel": 5}, "coeffs"),
    ({"kernel": 0}, "kernel width"),
    ({"coeffs": 3}, "coeffs index"),
    ({"coeffs": -1}, "coeffs index"),
    ({"offset": 8}, "output channels"),
    ({"count": 0}, "output channels"),
]


def convolution(**over: int) -> bytes:
    """A hardware convolution of 8 channels, 3x3, padded, put together by hand."""
    op = HW_OP | over
    made = Assembler()
    made.io(INPUT, "x", (16, 6, 8, 1))
    made.io(OUTPUT, "y", (16, 6, 8, 1))
    params = words(
        1, op["type"], op["mode"], 1, 0, 0, 2, op["coeffs"], -1, -1, op["offset"], op["count"],
        op["kernel"], op["kernel"], 1, 0, 0, 0, 0, 0,
    )  # fmt: skip
    weights = made.constant(bytes(8 * 9 * 8 * 2))
    data = words(3) + b"".join(
        [
            made.buffer((16, 6, 8, 1), INPUT),
            made.buffer((8, 9, 8, 1), CONST, weights),
            made.buffer((16, 6, 8, 1), OUTPUT),
        ]
    )
    made.stages.append(made.record(38, params, data))
    return made.blob()


def test_a_convolution_by_hand_is_read() -> None:
    (stage,) = Blob.from_bytes(convolution()).stages
    (op,) = stage.hw_ops
    assert (op.kernel_w, op.out_num_chans, op.with_pad, op.relu) == (3, 8, True, None)


@pytest.mark.parametrize(("over", "field"), HW_WRONG)
def test_hardware_operations(over: dict[str, int], field: str) -> None:
    assert field in refused(convolution(**over)).where


def test_injected_stages_do_not_nest() -> None:
    """A hardware stage inside another would let a file nest without end."""
    made = Assembler()
    made.io(INPUT, "x", (4,))
    made.io(OUTPUT, "y", (4,))
    record = made.record(38, words(1) + bytes(76), words(0))
    for _ in range(50):
        params = words(1, 4, 0, 0, 0, 0, 0, -1, -1, -1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1) + record
        record = made.record(38, params, words(0))
    made.stages.append(record)
    assert "injected" in refused(made.blob()).where


def test_two_inputs_of_one_name_and_names_for_a_terminal() -> None:
    made = Assembler()
    for name in ("x", "x"):
        made.io(INPUT, name, (4,))
    made.io(OUTPUT, "y", (4,))
    made.stage(6, words(0, 0.0), made.buffer((4,), INPUT), made.buffer((4,), OUTPUT))
    assert "name" in refused(made.blob()).where
    made = Assembler()
    made.io(INPUT, "\x1b[2Jx", (4,))
    made.io(OUTPUT, "y", (4,))
    made.stage(6, words(0, 0.0), made.buffer((4,), INPUT), made.buffer((4,), OUTPUT))
    assert "control characters" in refused(made.blob()).what


def test_nearly_every_changed_word_is_found(concat_bytes: bytes) -> None:
    """Words of header, records and tables; what stays are values that mean something else."""
    tried = found = 0
    for offset in range(0, len(concat_bytes), 4):
        (value,) = struct.unpack_from("<I", concat_bytes, offset)
        for wrong in (value ^ 1, value ^ 0x80000000, value + 64, 0xFFFFFFFF - value):
            tried += 1
            try:
                Blob.from_bytes(changed(concat_bytes, offset, wrong & 0xFFFFFFFF))
            except BlobError as error:
                found += PLACE.search(error.where) is not None
    assert found / tried > 0.85


def test_many_stages_take_linear_memory() -> None:
    made = Assembler()
    made.io(INPUT, "x", (4,))
    made.io(OUTPUT, "y", (4,))
    operands = [made.buffer((4,), INPUT), made.buffer((4,), OUTPUT)]
    for _ in range(2000):
        made.stage(6, words(0, 0.0), *operands)
    data = made.blob()
    tracemalloc.start()
    try:
        blob = Blob.from_bytes(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(blob.stages) == 2000
    assert peak < 20 * len(data)
