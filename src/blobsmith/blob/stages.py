"""Stage records: ordinary, hardware and injected stages (docs/blob-format.md sections 2, 5)."""

from __future__ import annotations

from .cursor import Cursor
from .operands import Regions, read_buffer
from .params import decode
from .records import Buffer, Header, HwOp, Stage
from .semantics import problem
from .types import HW_OP, OPAQUE, OPERAND_COUNTS, type_name

BORDER = 0x7F83FF19
_TRAILER = 8
_SMALLEST = 24


def read_stages(data: bytes, header: Header, regions: Regions, name: str) -> tuple[Stage, ...]:
    """All top-level stages in file order, which is the order of execution.

    Raises:
        BlobError: a record is damaged, or the records do not fill their section.
    """
    cursor = Cursor(data, header.stage_offset, header.const_offset, name, "stages")
    stages = [read_stage(cursor, header, regions, i) for i in range(header.stages_count)]
    cursor.part = "stages"
    if header.const_offset - cursor.pos >= 64:
        raise cursor.fail(
            f"{header.const_offset - cursor.pos} bytes are left behind stage "
            f"{header.stages_count - 1}, the last one that the header counts",
            "stages_count",
        )
    cursor.padding(header.const_offset, "padding behind the stages")
    return tuple(stages)


def read_stage(
    cursor: Cursor, header: Header, regions: Regions, index: int, injected: bool = False
) -> Stage:
    """Reads the record at the cursor and moves the cursor behind it."""
    start = cursor.pos
    label = f"stage {index}{' (injected)' if injected else ''}"
    cursor.part = label
    length = cursor.u32("record length")
    if length < _SMALLEST or length % 4 or length > cursor.end - start:
        raise cursor.fail(f"the record has {length} bytes", "record length", start)
    record = Cursor(cursor.data, start + 4, start + length, cursor.name, label)
    type_id = record.u32("stage type")
    record.part = f"{label} ({type_name(type_id)})"
    record.end = start + length
    shaves = record.ranged("number of shaves", 0, header.shaves)
    params_at = record.pos
    params_size = record.u32("params length")
    if params_size < 4 or params_size % 4 or params_size > length - 12 - _TRAILER:
        raise record.fail(f"the params have {params_size} bytes", "params length", params_at)
    _check_trailer(record, start + length - _TRAILER, type_id)
    record.end = start + length - _TRAILER
    data_at = params_at + params_size
    params = record.data[params_at + 4 : data_at]
    ops: tuple[HwOp, ...] = ()
    inner: Stage | None = None
    if type_id == HW_OP:
        if injected:
            raise record.fail("a hardware stage is injected into another", "stage type", start + 4)
        sub = Cursor(record.data, params_at + 4, data_at, record.name, record.part)
        ops, inner = _read_hardware(sub, header, regions, index)
        record.pos = data_at
        count = record.u32("buffer count")
        buffers = tuple(_operands(record, regions, count))
        _check_hardware(record, ops, buffers, inner, shaves)
    else:
        record.pos = data_at
        if type_id in OPAQUE:
            buffers = ()
            record.pos = record.end
        else:
            buffers = tuple(_operands(record, regions, None))
        low, high = OPERAND_COUNTS.get(type_id, (0, len(buffers)))
        if not low <= len(buffers) <= high:
            raise record.fail(f"the stage has {len(buffers)} operands", "operands", data_at)
    if record.pos != record.end:
        raise record.fail("bytes are left behind the last operand", "operands")
    cursor.pos = start + length
    first = buffers[0].desc.dtype if buffers else "fp16"
    stage = Stage(
        index=index,
        type_id=type_id,
        type_name=type_name(type_id),
        shaves=shaves,
        params=params,
        fields={} if type_id == HW_OP else decode(type_id, params, first),
        buffers=buffers,
        hw_ops=ops,
        injected=inner,
        offset=start,
        length=length,
    )
    found = problem(stage)
    if found:
        raise record.fail(found[1], found[0], params_at)
    return stage


def _check_trailer(record: Cursor, at: int, type_id: int) -> None:
    end = Cursor(record.data, at, record.end, record.name, record.part)
    again = end.u32("stage type again")
    if again != type_id:
        raise end.fail(f"the record begins as type {type_id} and ends as {again}", "type", at)
    border = end.u32("border")
    if border != BORDER:
        raise end.fail(f"the border word is 0x{border:x}", "border", at + 4)


def _operands(record: Cursor, regions: Regions, count: int | None) -> list[Buffer]:
    """`count` operands, or as many as the record holds; each takes at least 36 bytes."""
    buffers: list[Buffer] = []
    part = record.part
    while record.pos < record.end if count is None else len(buffers) < count:
        record.part = f"{part}, operand {len(buffers)}"
        buffers.append(read_buffer(record, regions))
    record.part = part
    return buffers


def _read_hardware(
    cursor: Cursor, header: Header, regions: Regions, index: int
) -> tuple[tuple[HwOp, ...], Stage | None]:
    part = cursor.part
    ops = []
    for position in range(cursor.ranged("operation count", 1, (cursor.end - cursor.pos) // 48)):
        cursor.part = f"{part}, operation {position}"
        ops.append(read_hw_op(cursor))
    cursor.part = part
    inner = None
    if cursor.flag("has injected stage"):
        inner = read_stage(cursor, header, regions, index, injected=True)
    if cursor.pos != cursor.end:
        raise cursor.fail("bytes are left behind the hardware operations", "params length")
    return tuple(ops), inner


def read_hw_op(cursor: Cursor) -> HwOp:
    """Reads one hardware operation record (section 5)."""
    op_type = cursor.ranged("operation type", 0, 4)
    if op_type == 3:
        raise cursor.fail("operation type 3 is not known", "operation type", cursor.pos - 4)
    pool_type = cursor.ranged("pool type", 0, 1) if op_type == 4 else 0
    mode = cursor.ranged("operation mode", 0, 4)
    with_pad = cursor.flag("with padding")
    pad_mode = cursor.ranged("padding mode", 0, 15) if with_pad else 0
    links = [
        cursor.ranged(f"{field} index", -1, 1 << 16)
        for field in ("input", "output", "coeffs", "biases", "scales")
    ]
    chan_offset = chan_count = kernel_w = kernel_h = stride = pool_w = pool_h = 0
    fc: tuple[int, int, int, int, int] | None = None
    if op_type == 2:
        fc = (
            cursor.i32("fc input offset"),
            cursor.i32("fc inputs"),
            cursor.i32("fc output offset"),
            cursor.i32("fc outputs"),
            cursor.i32("fc accumulate"),
        )
    else:
        chan_offset = cursor.ranged("output channel offset", 0, 1 << 20)
        chan_count = cursor.ranged("output channels", 1, 1 << 20)
        kernel_w = cursor.ranged("kernel width", 1, 255)
        kernel_h = cursor.ranged("kernel height", 1, 255)
        stride = cursor.ranged("stride", 1, 255)
    if op_type == 1:
        pool_w = cursor.ranged("pool kernel width", 1, 255)
        pool_h = cursor.ranged("pool kernel height", 1, 255)
    relu: tuple[int, int, int] | None = None
    if cursor.flag("with ReLU"):
        relu = (cursor.i32("ReLU t0"), cursor.i32("ReLU a0"), cursor.i32("ReLU a1"))
    clamp = cursor.f32("clamp maximum") if cursor.flag("with clamp") else None
    return HwOp(
        op_type=op_type,
        pool_type=pool_type,
        op_mode=mode,
        with_pad=with_pad,
        pad_mode=pad_mode,
        input=links[0],
        output=links[1],
        coeffs=links[2],
        biases=links[3],
        scales=links[4],
        out_chan_offset=chan_offset,
        out_num_chans=chan_count,
        kernel_w=kernel_w,
        kernel_h=kernel_h,
        stride=stride,
        pool_kernel_w=pool_w,
        pool_kernel_h=pool_h,
        fc=fc,
        relu=relu,
        clamp_max=clamp,
        reuse_data=cursor.u32("reuse data"),
        reuse_coeff=cursor.u32("reuse coeffs"),
    )


def _check_hardware(
    record: Cursor,
    ops: tuple[HwOp, ...],
    buffers: tuple[Buffer, ...],
    inner: Stage | None,
    shaves: int,
) -> None:
    for position, op in enumerate(ops):
        for field in ("input", "output", "coeffs", "biases", "scales"):
            link = getattr(op, field)
            needed = field in ("input", "output") or (field == "coeffs" and op.op_type != 4)
            if link >= len(buffers) or (needed and link < 0):
                raise record.fail(
                    f"operation {position} names operand {link} of {len(buffers)}", f"{field} index"
                )
    if shaves != (inner.shaves if inner else 0):
        raise record.fail(
            f"the stage is granted {shaves} shaves, its injected stage "
            f"{inner.shaves if inner else 0}",
            "number of shaves",
        )
