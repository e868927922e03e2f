"""A blob as plain data: what `blobsmith inspect` prints, as a table or as JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..tensors import TensorSpec
from .header import SLICE_BYTES
from .params import UndecodedFields
from .reader import Blob
from .records import Buffer, HwOp, IOInfo, Location, Stage
from .types import HW_OP, category, operand_roles

Row = dict[str, Any]

TEXT_COLUMNS = ("#", "stage", "unit", "shaves", "inputs", "outputs", "parameters")
"""Headings of `text_rows`; an injected stage's number ends in "+"."""

PLACES = {
    Location.NONE: "none",
    Location.INPUT: "input",
    Location.OUTPUT: "output",
    Location.BLOB: "constants",
    Location.BSS: "scratch",
    Location.CMX: "cmx",
}
_HW_TYPES = {0: "convolution", 1: "convolution+pool", 2: "fully connected", 4: "pool"}
_LINKS = {"input": "input", "output": "output", "coeffs": "weights", "biases": "biases",
          "scales": "scales"}  # fmt: skip


def every_stage(blob: Blob) -> Iterator[tuple[Stage, bool]]:
    """All stages in order, each injected one behind its host, with "is it injected"."""
    for stage in blob.stages:
        yield stage, False
        if stage.injected is not None:
            yield stage.injected, True


def describe(blob: Blob) -> Row:
    """Header, inputs, outputs, memory and counts of stages; JSON-ready.

    Sizes and offsets are bytes, shapes outermost first.
    """
    header = blob.header
    units = Counter(category(stage.type_id) for stage, _ in every_stage(blob))
    kinds = Counter(stage.type_name for stage, _ in every_stage(blob))
    return {
        "name": blob.name,
        "bytes": blob.size,
        "sha256": blob.sha256,
        "header": {
            "version": f"{header.version[0]}.{header.version[1]}",
            "shaves": header.shaves,
            "cmx_slices": header.cmx_slices,
            "batch": header.batch_size,
            "stages": header.stages_count,
            "has_hardware": header.has_hw,
            "has_software": header.has_shave,
            "has_dma": header.has_dma,
            "sections": {
                "inputs": header.input_info_offset,
                "outputs": header.output_info_offset,
                "stages": header.stage_offset,
                "constants": header.const_offset,
                "end": header.file_size,
            },
        },
        "inputs": [_io(*pair) for pair in zip(blob.inputs, blob.input_specs, strict=True)],
        "outputs": [_io(*pair) for pair in zip(blob.outputs, blob.output_specs, strict=True)],
        "memory": {
            "inputs": header.inputs_size,
            "outputs": header.outputs_size,
            "scratch": header.bss_size,
            "cmx": header.cmx_slices * SLICE_BYTES,
            "cmx_used": _cmx_used(blob),
            "constants": header.file_size - header.const_offset,
        },
        "counts": {
            "hardware": units["hardware"],
            "software": units["software"],
            "dma": units["dma"],
            "injected": sum(1 for _, inner in every_stage(blob) if inner),
            "types": dict(sorted(kinds.items())),
        },
        "metadata": _metadata(blob),
    }


def stage_rows(blob: Blob) -> list[Row]:
    """One JSON-ready row for each stage, in the order of execution.

    An injected stage follows the hardware stage beside which it runs and has its index.
    """
    return [_row(stage, injected) for stage, injected in every_stage(blob)]


def text_rows(blob: Blob) -> list[tuple[str, str, str, str, str, str, str]]:
    """The stage table as text: one tuple of `TEXT_COLUMNS` a stage."""
    rows = []
    for row in stage_rows(blob):
        outs = [_text(o) for o in row["operands"] if o["role"] == "output"]
        ins = [_text(o) for o in row["operands"] if o["role"] != "output"]
        details = [f"{key} {_value(value)}" for key, value in row["parameters"].items()]
        details += _summaries(row["operations"])
        rows.append(
            (
                f"{row['index']}{'+' if row['injected'] else ''}",
                row["name"],
                row["unit"],
                str(row["shaves"]) if row["unit"] == "software" else "",
                "\n".join(ins),
                "\n".join(outs),
                ", ".join(details),
            )
        )
    return rows


def _row(stage: Stage, injected: bool) -> Row:
    undecoded = isinstance(stage.fields, UndecodedFields)
    if stage.type_id == HW_OP:
        roles: tuple[str, ...] = _hw_roles(stage)
    else:
        roles = operand_roles(stage.type_id, len(stage.buffers))
    return {
        "index": stage.index,
        "injected": injected,
        "name": stage.type_name,
        "type": stage.type_id,
        "unit": category(stage.type_id),
        "shaves": stage.shaves,
        "operands": [
            _operand(role, buffer)
            for role, buffer in zip(roles, stage.buffers, strict=True)
            if buffer.location is not Location.NONE
        ],
        "parameters": {"undecoded": stage.params.hex()}
        if undecoded
        else {key: _plain(value) for key, value in stage.fields.items()},
        "operations": [_operation(op) for op in stage.hw_ops],
        "offset": stage.offset,
        "length": stage.length,
    }


def _hw_roles(stage: Stage) -> tuple[str, ...]:
    roles = ["operand"] * len(stage.buffers)
    for op in stage.hw_ops:
        for field, role in _LINKS.items():
            if getattr(op, field) >= 0:
                roles[getattr(op, field)] = role
    return tuple(roles)


def _operand(role: str, buffer: Buffer) -> Row:
    desc = buffer.desc
    row: Row = {
        "role": role,
        "dtype": desc.dtype,
        "shape": list(desc.shape),
        "order": f"0x{desc.order:x}",
        "strides": list(desc.strides[::-1]),
        "location": PLACES[buffer.location],
        "offset": buffer.offset,
        "bytes": desc.span,
    }
    if buffer.io_index >= 0:
        row["io_index"] = buffer.io_index
    return row


def _operation(op: HwOp) -> Row:
    row: Row = {
        "operation": _HW_TYPES[op.op_type],
        "mode": op.op_mode,
        "padding": op.with_pad,
        "output_channels": [op.out_chan_offset, op.out_chan_offset + op.out_num_chans],
        "kernel": [op.kernel_h, op.kernel_w],
        "stride": op.stride,
    }
    if op.with_pad:
        row["pad_mode"] = op.pad_mode
    if op.op_type == 4:
        row["pool"] = "average" if op.pool_type else "max"
    if op.op_type == 1:
        row["pool_kernel"] = [op.pool_kernel_h, op.pool_kernel_w]
    if op.fc is not None:
        row["fc"] = list(op.fc)
    if op.relu is not None:
        row["relu"] = list(op.relu)
    if op.clamp_max is not None:
        row["clamp_max"] = _plain(op.clamp_max)
    return row


def _summaries(operations: list[Row]) -> list[str]:
    """The operations of a hardware stage in words, equal ones counted."""
    words: Counter[str] = Counter()
    for op in operations:
        text = f"{op.get('pool', '')} {op['operation']}".strip()
        text += f" {op['kernel'][0]}x{op['kernel'][1]} stride {op['stride']} mode {op['mode']}"
        text += "".join(f" {key}" for key in ("relu", "clamp_max") if key in op)
        words[text] += 1
    return [f"{count} x {text}" if count > 1 else text for text, count in words.items()]


def _text(operand: Row) -> str:
    shape = "x".join(map(str, operand["shape"]))
    place = operand["location"] + (f" {operand['io_index']}" if "io_index" in operand else "")
    role = "" if operand["role"] in ("input", "output") else f"{operand['role']} "
    return f"{role}{operand['dtype']} {shape} {place}+{operand['offset']}"


def _value(value: object) -> str:
    if isinstance(value, list):
        return "(" + " ".join(_value(item) for item in value) + ")"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: float | tuple[int, ...]) -> Any:
    """A JSON-ready value; what is no finite number becomes text."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _io(info: IOInfo, spec: TensorSpec) -> Row:
    return {
        "name": info.name,
        "dtype": spec.dtype,
        "shape": list(spec.shape),
        "layout": spec.layout,
        "bytes": spec.nbytes,
        "offset": info.offset,
    }


def _cmx_used(blob: Blob) -> int:
    ends = (
        buffer.offset + buffer.desc.span
        for stage, _ in every_stage(blob)
        for buffer in stage.buffers
        if buffer.location is Location.CMX
    )
    return max(ends, default=0)


def _metadata(blob: Blob) -> Row | None:
    """Names and shapes of the network before it was compiled, if the file has them."""
    if blob.trailer is None:
        return None
    return {
        kind: [{"name": t.source or t.name, "shape": list(t.shape)} for t in tensors]
        for kind, tensors in (
            ("parameters", blob.trailer.parameters),
            ("results", blob.trailer.results),
        )
    }
