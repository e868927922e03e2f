"""Blobs of one stage made of records, for what the compiler here cannot be brought to emit."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from blobsmith.blob import Blob
from blobsmith.blob.params import LAYOUTS, decode
from blobsmith.blob.records import Buffer, Header, HwOp, IOInfo, Location, Stage, TensorDesc
from blobsmith.blob.types import ELTWISE, type_name
from blobsmith.emulator import Emulator, RunResult

DTYPES = {"float16": "fp16", "uint8": "u8", "int32": "i32", "float32": "fp32"}
ORDERS = {1: 0x3, 2: 0x43, 3: 0x321, 4: 0x4321, 5: 0x43521}


@dataclass(frozen=True)
class In:
    """An input operand; `order` is the DimsOrder code, the default one if 0."""

    values: np.ndarray
    order: int = 0


@dataclass(frozen=True)
class Const:
    """A constant operand."""

    values: np.ndarray
    order: int = 0


@dataclass(frozen=True)
class Out:
    """The output operand, in memory order."""

    shape: tuple[int, ...]
    dtype: str = "fp16"
    order: int = 0


ABSENT = Buffer(TensorDesc("fp16", 0x3, (1,), (2,)), Location.NONE, 0)


def _desc(shape: tuple[int, ...], dtype: str, order: int) -> TensorDesc:
    item = {"fp16": 2, "u8": 1, "i32": 4, "fp32": 4}[dtype]
    strides = [item]
    for size in shape[:0:-1]:
        strides.append(strides[-1] * size)
    return TensorDesc(dtype, order or ORDERS[len(shape)], shape[::-1], tuple(strides))


def params(type_id: int, *values: float) -> bytes:
    """Parameters packed in the layout of the type (docs/blob-format.md section 4)."""
    if type_id in ELTWISE:
        whole = all(isinstance(v, int) for v in values)
        return struct.pack("<6i" if whole else "<2fi3f", *values)
    if type_id == 71:
        return struct.pack("<8IfI", *values)
    if type_id not in LAYOUTS:
        return b""
    code = next(code for code, names in LAYOUTS[type_id] if len(names) == len(values))
    return struct.pack(code, *values)


def blob(
    type_id: int,
    packed: bytes,
    operands: Sequence[In | Const | Out | None],
    ops: Sequence[HwOp] = (),
) -> tuple[Blob, dict[str, np.ndarray]]:
    """A blob of one stage, and its inputs by name (x0, x1, ...); its output is y."""
    data = bytearray(128)
    buffers: list[Buffer] = []
    inputs: list[IOInfo] = []
    outputs: list[IOInfo] = []
    feeds: dict[str, np.ndarray] = {}
    for operand in operands:
        if operand is None:
            buffers.append(ABSENT)
        elif isinstance(operand, Out):
            desc = _desc(operand.shape, operand.dtype, operand.order)
            outputs.append(IOInfo(len(outputs), f"y{len(outputs) or ''}", 0, desc))
            buffers.append(Buffer(desc, Location.OUTPUT, 0, len(outputs) - 1, desc.span))
        else:
            desc = _desc(operand.values.shape, DTYPES[str(operand.values.dtype)], operand.order)
            if isinstance(operand, In):
                inputs.append(IOInfo(len(inputs), f"x{len(inputs)}", 0, desc))
                feeds[inputs[-1].name] = operand.values
                buffers.append(Buffer(desc, Location.INPUT, 0, len(inputs) - 1, desc.span))
            else:
                buffers.append(Buffer(desc, Location.BLOB, len(data) - 128))
                raw = np.ascontiguousarray(operand.values).tobytes()
                data += raw + b"\0" * (-len(raw) % 64)
    fields = {} if ops else decode(type_id, packed, buffers[0].desc.dtype)
    stage = Stage(0, type_id, type_name(type_id), 1, packed, fields, tuple(buffers), tuple(ops))
    header = Header(
        len(data), (6, 0), len(inputs), len(outputs), 1, 0, 0, 1, 0, 0, 1, bool(ops), True, False,
        0, 0, 0, 128,
    )  # fmt: skip
    made = Blob(bytes(data), "handmade", header, tuple(inputs), tuple(outputs), (stage,), None)
    return made, feeds


def run(
    type_id: int, values: Sequence[float], operands: Sequence[In | Const | Out | None]
) -> np.ndarray:
    """The output of one stage."""
    made, feeds = blob(type_id, params(type_id, *values), operands)
    return Emulator(made).run(feeds)["y"]


def run_hw(op: dict[str, Any], operands: Sequence[In | Const | Out]) -> RunResult:
    """One hardware operation; `op` overrides the fields of a plain 1x1 convolution."""
    fields: dict[str, Any] = {
        "op_type": 0, "pool_type": 0, "op_mode": 0, "with_pad": False, "pad_mode": 0,
        "input": 0, "output": len(operands) - 1, "coeffs": 1, "biases": -1, "scales": -1,
        "out_chan_offset": 0, "out_num_chans": 8, "kernel_w": 1, "kernel_h": 1, "stride": 1,
        "pool_kernel_w": 0, "pool_kernel_h": 0, "fc": None, "relu": None, "clamp_max": None,
        "reuse_data": 0, "reuse_coeff": 0,
    }  # fmt: skip
    made, feeds = blob(38, b"", operands, [HwOp(**(fields | op))])
    return Emulator(made).run(feeds)
