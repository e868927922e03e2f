"""Do a stage's parameters fit its operands? (docs/blob-format.md sections 4 and 5)

Memory is safe without these checks; they find damage that would otherwise compute nonsense, and
bound what an emulator allocates by the size of the operands. Each rule states what every sound
stage of the type keeps; what the specification leaves open is not judged.
"""

from __future__ import annotations

from collections.abc import Callable

from .params import UndecodedFields
from .records import Buffer, HwOp, Location, Stage
from .types import ELTWISE, HW_OP, STAGE_NAMES

Problem = tuple[str, str]
"""The field at fault, and what is wrong with it."""

_SAME_SIZE = frozenset(
    (3, 6, 9, 10, 11, 15, 18, 19, 20, 21, 23, 26, 34, 35, 44, 45, 46, 47, 56, 57, 62, 92, 101,
     102, 110, 111, 131, 132, 134, 135, 137, 138, 140)
)  # fmt: skip
_WINDOWS = frozenset((0, 1, 2, 8, 49, 60))
_REDUCE = frozenset((93, 105, 112, 113, 114))
_CHOICES: dict[int, dict[str, int]] = {
    67: {"align_corners": 1, "mode": 1 << 8, "coord_mode": 4},
    72: {"antialias": 1, "type": 1 << 8, "coord_mode": 4, "nearest_mode": 4},
    71: {"mode": 3},
    91: {"has_c": 1, "trans_a": 1, "trans_b": 1},
    111: {"from_detection_output": 1, "have_batch": 1},
    140: {"mode": 1},
    6: {"has_bias": 1}, 44: {"has_bias": 1}, 45: {"has_bias": 1}, 46: {"has_bias": 1},
    104: {"mode": 1, "sort": 2, "has_values": 1, "has_indices": 1},
    **{kind: {"keep_dims": 1} for kind in _REDUCE},
    62: {"normalize_variance": 1, "across_channels": 1, "across_width": 1},
}  # fmt: skip
"""Largest value of parameters that are flags or choices."""


def problem(stage: Stage) -> Problem | None:
    """The first contradiction between parameters and operands; None if there is none."""
    if stage.type_id == HW_OP:
        for position, op in enumerate(stage.hw_ops):
            found = _hardware(stage, op)
            if found:
                return found[0], f"operation {position}: {found[1]}"
        return None
    if isinstance(stage.fields, UndecodedFields):
        return None
    for name, most in _CHOICES.get(stage.type_id, {}).items():
        value = stage.fields.get(name, 0)
        if isinstance(value, int) and not 0 <= value <= most:
            return name, f"{name} is {value}, not 0 to {most}"
    if stage.type_id in _SAME_SIZE:
        found = _same_size(stage)
        if found:
            return found
    if stage.type_id in ELTWISE:
        return _eltwise(stage)
    if stage.type_id in _WINDOWS:
        return _window(stage)
    rule = _RULES.get(stage.type_id)
    return rule(stage) if rule else None


def _integer(stage: Stage, name: str) -> int:
    value = stage.fields[name]
    return value if isinstance(value, int) else 0


def _tuple(stage: Stage, name: str) -> tuple[int, ...]:
    value = stage.fields[name]
    return value if isinstance(value, tuple) else ()


def _sizes(buffer: Buffer) -> dict[int, int]:
    return dict(zip(buffer.desc.dim_ids, buffer.desc.dims, strict=True))


def _same_size(stage: Stage) -> Problem | None:
    source, target = stage.buffers[0].desc, stage.buffers[1].desc
    if source.elements != target.elements:
        return "operands", f"{source.elements} elements go in, {target.elements} come out"
    return None


def _eltwise(stage: Stage) -> Problem | None:
    post = _integer(stage, "post_operation")
    if post != -1 and post not in STAGE_NAMES:
        return "post_operation", f"the operation {post} is not known"
    out = _sizes(stage.buffers[1])
    for index in (0, 2, 3):
        buffer = stage.buffers[index]
        if buffer.location is Location.NONE:
            continue
        for dim, size in _sizes(buffer).items():
            if size not in (1, out.get(dim, 1)):
                return "operands", f"{buffer.desc.shape} does not spread over the output"
    return None


def _axis(stage: Stage) -> Problem | None:
    axis, rank = _integer(stage, "axis"), len(stage.buffers[0].desc.dims)
    if not 0 <= axis < rank:
        return "axis", f"axis {axis} of a tensor of {rank} dimensions"
    return None


def _permute(stage: Stage) -> Problem | None:
    source, target = stage.buffers[0].desc.dims, stage.buffers[1].desc.dims
    order = _tuple(stage, "permutation")
    rank = len(source)
    if sorted(order[:rank]) != list(range(rank)) or any(item != -1 for item in order[rank:]):
        return "permutation", f"{order} does not permute {rank} dimensions"
    if target != tuple(source[index] for index in order[:rank]):
        return "permutation", f"{order} does not make {target} of {source}"
    return None


def _pad(stage: Stage) -> Problem | None:
    source, target = stage.buffers[0].desc.dims, stage.buffers[1].desc.dims
    begins, ends = _tuple(stage, "begins"), _tuple(stage, "ends")
    for index, size in enumerate(source):
        padded = size + (begins[index] + ends[index] if index < len(begins) else 0)
        if len(source) != len(target) or padded != target[index]:
            return "begins", f"pads {begins} and {ends} do not make {target} of {source}"
    return None


def _tile(stage: Stage) -> Problem | None:
    tiles = _integer(stage, "tiles")
    if stage.buffers[0].desc.elements * tiles != stage.buffers[1].desc.elements:
        return "tiles", f"{tiles} tiles do not make the output of the input"
    return _axis(stage)


def _gather(stage: Stage) -> Problem | None:
    found = _axis(stage)
    if found:
        return found
    source, target, indices = (buffer.desc for buffer in stage.buffers)
    along = source.dims[_integer(stage, "axis")]
    if source.elements * indices.elements != target.elements * along:
        return "operands", f"{indices.elements} indices do not make the output"
    return None


def _topk(stage: Stage) -> Problem | None:
    wanted = 2 + _integer(stage, "has_values") + _integer(stage, "has_indices")
    if wanted != len(stage.buffers):
        return "has_values", f"{len(stage.buffers)} operands, not {wanted}"
    return _axis(stage)


def _gemm(stage: Stage) -> Problem | None:
    if len(stage.buffers) != 3 + _integer(stage, "has_c"):
        return "has_c", f"{len(stage.buffers)} operands"
    return None


def _window(stage: Stage) -> Problem | None:
    """Kernel, stride, padding and dilation of convolution and pooling against the sizes."""
    source, target = _sizes(stage.buffers[0]), _sizes(stage.buffers[1])
    for dim, letter, edge in ((0, "w", "left"), (1, "h", "top")):
        kernel, stride = _integer(stage, f"kernel_{letter}"), _integer(stage, f"stride_{letter}")
        pad = _integer(stage, f"pad_{edge}")
        dilation = _integer(stage, f"dilation_{letter}") if "dilation_w" in stage.fields else 1
        if min(kernel, stride, dilation) < 1:
            return f"kernel_{letter}", "kernel, stride or dilation is 0"
        found = _reach(
            source.get(dim, 1), target.get(dim, 1), (kernel - 1) * dilation + 1, stride, pad
        )
        if found:
            return f"kernel_{letter}", found
    if "dilation_w" in stage.fields:
        area = _integer(stage, "kernel_w") * _integer(stage, "kernel_h")
        needed = area * target.get(2, 1) * (1 if stage.type_id == 8 else source.get(2, 1))
        have = stage.buffers[2].desc.elements
        if have < needed:
            return "kernel_w", f"{have} weights where {needed} are needed"
    return None


def _reach(source: int, target: int, kernel: int, stride: int, pad: int) -> str:
    """Generous bounds on a window: it may not look further than some sizes of the input."""
    if kernel > 4 * (source + pad) + 64 or pad > source + kernel:
        return f"a window of {kernel} with padding {pad} on {source} pixels"
    if (target - 1) * stride > source + pad + kernel:
        return f"{target} windows of {kernel} at stride {stride} on {source} pixels"
    return ""


def _hardware(stage: Stage, op: HwOp) -> Problem | None:
    if op.fc is not None:
        return None
    source, target = _sizes(stage.buffers[op.input]), _sizes(stage.buffers[op.output])
    end = op.out_chan_offset + op.out_num_chans
    channels = 8 * -(-target.get(2, 1) // 8)
    if end > channels:
        return "output channels", f"writes channels up to {end} of {channels}"
    pools = (op.pool_kernel_w or 1, op.pool_kernel_h or 1)
    kernels = (op.kernel_w, op.kernel_h)
    for dim, kernel, pool in zip((0, 1), kernels, pools, strict=True):
        pixels = target.get(dim, 1) * pool
        found = _reach(source.get(dim, 1), pixels, kernel, op.stride, kernel // 2)
        if found:
            return "kernel", found
    if op.op_type != 4:
        dims = stage.buffers[op.coeffs].desc.dims
        if len(dims) != 4 or dims[:2] != (8, op.kernel_w * op.kernel_h):
            return "coeffs", f"weights of {dims} for a {op.kernel_w}x{op.kernel_h} kernel"
        if dims[2] < source.get(2, 1) or 8 * dims[3] < end:
            return "coeffs", f"weights of {dims} for {source.get(2, 1)} to {end} channels"
        for link in (op.biases, op.scales):
            if link >= 0 and stage.buffers[link].desc.elements < end:
                return "biases", f"fewer than {end} biases or scales"
    return None


_RULES: dict[int, Callable[[Stage], Problem | None]] = {
    3: _axis,
    28: _tile,
    34: _permute,
    71: _pad,
    91: _gemm,
    100: _gather,
    104: _topk,
}
