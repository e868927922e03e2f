"""The frozen records a .blob file is read into.

Section numbers refer to docs/blob-format.md. Dimensions and strides are stored as in the file,
minor (fastest-varying) first; `shape` gives the usual outermost-first order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class Location(IntEnum):
    """Where an operand lives (section 1.5)."""

    NONE = 0
    INPUT = 1
    OUTPUT = 2
    BLOB = 3
    BSS = 4
    CMX = 5


DATA_TYPES: dict[int, tuple[str, int]] = {
    0: ("fp16", 2),
    1: ("u8", 1),
    2: ("i32", 4),
    3: ("fp32", 4),
    4: ("i8", 1),
}


@dataclass(frozen=True, slots=True)
class TensorDesc:
    """Type, order, dimensions and byte strides of a tensor (section 1.3).

    Attributes:
        dtype: "fp16", "u8", "i32", "fp32" or "i8".
        order: DimsOrder code, e.g. 0x4321 for NCHW.
        dims: sizes, minor first.
        strides: byte strides, minor first.
    """

    dtype: str
    order: int
    dims: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return {"fp16": 2, "u8": 1, "i32": 4, "fp32": 4, "i8": 1}[self.dtype]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes in memory order, outermost first."""
        return self.dims[::-1]

    @property
    def dim_ids(self) -> tuple[int, ...]:
        """Dim ids (W 0, H 1, C 2, N 3, D 4) of `dims`, minor first."""
        return tuple(((self.order >> (4 * i)) & 0xF) - 1 for i in range(len(self.dims)))

    @property
    def elements(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.dims:
            count *= size
        return count

    @property
    def span(self) -> int:
        """Bytes from the first element to the end of the last one."""
        if not self.elements:
            return 0
        return self.itemsize + sum(
            (d - 1) * s for d, s in zip(self.dims, self.strides, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Buffer:
    """An operand of a stage (section 1.5).

    Attributes:
        desc: type, dimensions, strides.
        location: memory region.
        offset: bytes from the start of that region (of the one tensor for INPUT and OUTPUT).
        io_index: index of the input or output, -1 elsewhere.
        parent_bytes: size of that whole input or output tensor, 0 elsewhere.
    """

    desc: TensorDesc
    location: Location
    offset: int
    io_index: int = -1
    parent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class IOInfo:
    """An input or output of the blob (section 1.4)."""

    index: int
    name: str
    offset: int
    desc: TensorDesc


@dataclass(frozen=True, slots=True)
class HwOp:
    """One record of a hardware (NCE) stage (section 5); buffer fields index `Stage.buffers`.

    `op_type`: 0 convolution, 1 convolution and pooling, 2 fully connected, 4 pooling.
    `pool_type`: 0 max, 1 average (op_type 4 only). -1 in a buffer field: absent.
    """

    op_type: int
    pool_type: int
    op_mode: int
    with_pad: bool
    pad_mode: int
    input: int
    output: int
    coeffs: int
    biases: int
    scales: int
    out_chan_offset: int
    out_num_chans: int
    kernel_w: int
    kernel_h: int
    stride: int
    pool_kernel_w: int
    pool_kernel_h: int
    fc: tuple[int, int, int, int, int] | None
    relu: tuple[int, int, int] | None
    clamp_max: float | None
    reuse_data: int
    reuse_coeff: int


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage (section 2).

    Attributes:
        index: position in the stage list (an injected stage has its host's).
        type_id: stage type (section 3).
        type_name: its name, "Unknown<id>" if the specification has none.
        shaves: SHAVEs granted.
        params: the raw parameter bytes, without their length word.
        fields: the parameters decoded by name where the layout is known (section 4), else empty.
        buffers: operands in file order; for a hardware stage, its buffer list.
        hw_ops: hardware operations (type 38 only).
        injected: the stage run beside a hardware stage, if any.
        offset: byte offset of the record in the file.
        length: length of the record in bytes.
    """

    index: int
    type_id: int
    type_name: str
    shaves: int
    params: bytes
    fields: Mapping[str, int | float | tuple[int, ...]] = field(default_factory=dict)
    buffers: tuple[Buffer, ...] = ()
    hw_ops: tuple[HwOp, ...] = ()
    injected: Stage | None = None
    offset: int = 0
    length: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """The blob header (section 1.2); sizes in bytes, offsets from the start of the file."""

    file_size: int
    version: tuple[int, int]
    inputs_count: int
    outputs_count: int
    stages_count: int
    inputs_size: int
    outputs_size: int
    batch_size: int
    bss_size: int
    cmx_slices: int
    shaves: int
    has_hw: bool
    has_shave: bool
    has_dma: bool
    input_info_offset: int
    output_info_offset: int
    stage_offset: int
    const_offset: int
