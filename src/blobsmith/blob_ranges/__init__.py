"""Bounds of what every stage of a compiled blob stores, for every input.

The compiler changes the graph: a quotient becomes x^-1 times y, a sum over axes an average times
its count, a factor moves into weights, convolutions on the engine are computed with scaled weights.
Values may leave FP16's range there where the ONNX graph does not. This follows ranges through the
stages themselves, from the blob's bytes alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..blob.reader import Blob
from ..blob.records import Buffer, Location, Stage
from ..blob.types import HW_OP, operand_roles
from ..errors import BlobError
from ..numerics.fp16 import round_out
from ..numerics.intervals import UNBOUNDED, Interval, hull, make
from ..numerics.intervals.engine import input_range
from ..numerics.report import StageRange
from ..tensors import TensorSpec
from . import moves, rules
from .context import RULES, Context
from .regions import Memory, io_buffer, stages_in_order
from .rules import moves_only
from .weights import hardware

__all__ = ["stage_ranges"]

FAMILIES = (moves, rules)
"""The modules that fill `RULES` when they are imported."""


def stage_ranges(blob: Blob, specs: Sequence[TensorSpec] = ()) -> tuple[StageRange, ...]:
    """Bounds of every stage, injected stages behind their hosts.

    Args:
        blob: the compiled blob.
        specs: the model's inputs, matched by name, for the ranges of floating-point inputs; U8
            inputs are 0..255 without.

    Raises:
        BlobError: a stage whose operands contradict its parameters.
    """
    memory = Memory(blob)
    known = {spec.name: spec for spec in specs}
    for info in blob.inputs:
        if info.desc.dtype == "u8":
            low, high = 0.0, 255.0
        else:
            low, high = input_range(known.get(info.name))
        memory.write(io_buffer(info, Location.INPUT), make(low, high))
    found = []
    with np.errstate(all="ignore"):
        for stage in stages_in_order(blob):
            try:
                found.append(_run(stage, memory))
            except (ValueError, KeyError, IndexError, TypeError) as error:
                raise BlobError(
                    f"the operands of {stage.type_name} do not fit its parameters: {error}",
                    where=f"stage {stage.index}",
                    remedy="the file is damaged; build it again",
                ) from error
    return tuple(found)


def _run(stage: Stage, memory: Memory) -> StageRange:
    before = _safe_inputs(stage, memory)
    inner = 0.0
    if stage.type_id == HW_OP:
        result: Interval | None = None
        for op in stage.hw_ops:
            part, most = hardware(memory, stage, op)
            inner = max(inner, most)
            target = stage.buffers[op.output]
            stored = _stored(part, target)
            whole = op.out_num_chans == dict(
                zip(target.desc.dim_ids, target.desc.dims, strict=True)
            ).get(2, 1)
            if whole:
                memory.write(target, stored)
            else:
                _write_channels(memory, target, op.out_chan_offset, op.out_num_chans, stored)
            result = stored.flat() if result is None else hull(result, stored.flat())
        value = result or UNBOUNDED
    else:
        value = _software(stage, memory)
    safe = value.finite and not value.nan
    return StageRange(
        index=stage.index, type_name=stage.type_name, bounds=(value.low, value.high),
        nan=value.nan, inner=inner, origin=before and not safe,
    )  # fmt: skip


def _software(stage: Stage, memory: Memory) -> Interval:
    """Runs a stage that is none of the engine's; returns the range of all its outputs."""
    rule = RULES.get(stage.type_id)
    value = UNBOUNDED if rule is None else rule(Context(stage, memory))
    roles = operand_roles(stage.type_id, len(stage.buffers))
    outputs = [b for b, role in zip(stage.buffers, roles, strict=True) if role == "output"]
    if not outputs:
        outputs = [b for b in stage.buffers if b.location not in (Location.BLOB, Location.NONE)]
    if value is not None:
        for target in outputs:
            stored = value if moves_only(stage) else _stored(value, target)
            memory.write(target, stored)
    parts = [memory.read(b).flat() for b in outputs if b.location is not Location.NONE]
    return hull(*parts) if parts else UNBOUNDED


def _stored(value: Interval, target: Buffer) -> Interval:
    """The bounds after rounding to the target's type."""
    if target.desc.dtype not in ("fp16", "fp32"):
        return value
    lo, hi = round_out(value.lo, value.hi, half=target.desc.dtype == "fp16")
    return Interval(lo, hi, value.nan)


def _write_channels(
    memory: Memory, target: Buffer, first: int, count: int, value: Interval
) -> None:
    view = memory.view(target)
    axis = len(target.desc.dims) - 1 - target.desc.dim_ids.index(2)
    where = (slice(None),) * axis + (slice(first, first + count),)
    entries = memory.add(value)
    shape = [1] * view.ndim
    shape[axis] = entries.size
    view[where] = entries.reshape(shape)


def _safe_inputs(stage: Stage, memory: Memory) -> bool:
    """Whether everything that a stage reads is finite."""
    if stage.type_id == HW_OP:
        reads = [stage.buffers[op.input] for op in stage.hw_ops]
        return all(_no_overflow(memory, buffer, junk=True) for buffer in reads)
    roles = operand_roles(stage.type_id, len(stage.buffers))
    reads = [b for b, role in zip(stage.buffers, roles, strict=True) if role == "input"]
    return all(_no_overflow(memory, buffer, junk=False) for buffer in reads)


def _no_overflow(memory: Memory, buffer: Buffer, *, junk: bool) -> bool:
    if buffer.location in (Location.NONE, Location.BLOB):
        return True
    used = memory.used(memory.view(buffer))
    used = used[used > 0] if junk else used
    finite = np.isfinite(memory.low[used]) & np.isfinite(memory.high[used])
    return bool(finite.all() and not memory.nan[used].any())
