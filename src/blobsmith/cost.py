"""How long a blob will take on the chip: a prediction from its bytes, not a measurement.

    T = cycles / f + DDR bytes / BW + activation elements / SHAVEs * c + dispatches * t

The four parameters were fitted on the frames per second that the vendor publishes for 28 networks
at 8 SHAVEs and two threads; `python -m benchmarks.cost_calibration` repeats the fit and its
cross-validation (mean error 6 %, largest 23 %). T is the time of one of the two threads that
share the chip. Camera, USB and a fixed cost per frame are not modelled.

Pure arithmetic on a `Blob`: nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .blob.reader import Blob
from .blob.records import Buffer, HwOp, Location, Stage
from .blob.types import COPY, HW_OP, OPAQUE, type_name

CALIBRATED_SHAVES = 8
SHORTEST_ANCHOR_MS = 12.0
RARE_SHARE = 0.1
"""Share of the predicted time in rarely calibrated stages from which a caveat says so."""

_MODE_CYCLES = (0, 5, 11, 19, 31)
_ACTIVATIONS = frozenset((3, 20, 135))
_DDR = frozenset((Location.INPUT, Location.OUTPUT, Location.BLOB, Location.BSS))

WELL_CALIBRATED: frozenset[int] = frozenset((HW_OP, COPY, 111, 135, 20, 3, 6, 34))
"""Types whose cost the networks of the calibration fix: convolution and pooling on hardware,
Copy, Convert, Swish, Sigmoid, SoftMax, Relu, Permute. Others are there too seldom, or too small."""

_CHANNEL = 2


@dataclass(frozen=True)
class CostParameters:
    """The fitted parameters of the model.

    Attributes:
        engine_hz: clock of the convolution engine, cycles a second.
        ddr_bytes_per_second: DDR bandwidth of one thread.
        activation_seconds: one element of Swish, Sigmoid or SoftMax on one SHAVE.
        dispatch_seconds: one stage or injected stage.
    """

    engine_hz: float = 703e6
    ddr_bytes_per_second: float = 4.73e9
    activation_seconds: float = 8.7e-9
    dispatch_seconds: float = 30.8e-6


@dataclass(frozen=True)
class Features:
    """What the model is linear in, for one stage or a sum of stages.

    Attributes:
        engine_cycles: cycles of the convolution engine.
        ddr_bytes: bytes of operands in inputs, outputs, constants and scratch memory.
        activation_elements: elements of activation stages over the SHAVEs granted.
        dispatches: stages and injected stages.
    """

    engine_cycles: int = 0
    ddr_bytes: int = 0
    activation_elements: float = 0.0
    dispatches: int = 0

    def __add__(self, other: Features) -> Features:
        return Features(
            self.engine_cycles + other.engine_cycles,
            self.ddr_bytes + other.ddr_bytes,
            self.activation_elements + other.activation_elements,
            self.dispatches + other.dispatches,
        )


@dataclass(frozen=True)
class StageCost:
    """Predicted milliseconds of one stage, without an injected one, which has its own entry."""

    index: int
    injected: bool
    name: str
    engine_ms: float
    memory_ms: float
    activation_ms: float
    dispatch_ms: float

    @property
    def total_ms(self) -> float:
        """Sum of the four shares."""
        return self.engine_ms + self.memory_ms + self.activation_ms + self.dispatch_ms


@dataclass(frozen=True)
class CostPrediction:
    """Predicted time of one frame, in milliseconds.

    Attributes:
        total_ms: sum of the four shares that follow.
        engine_ms: convolution engine.
        memory_ms: DDR traffic.
        activation_ms: Swish, Sigmoid and SoftMax on SHAVEs.
        dispatch_ms: starting stages.
        stages: top-level stages.
        injected: stages injected into hardware stages.
        per_stage: each stage's share, in the order of `Blob.stages`, injected ones behind hosts.
        caveats: what the calibration does not know about this blob; empty for an ordinary CNN.
    """

    total_ms: float
    engine_ms: float
    memory_ms: float
    activation_ms: float
    dispatch_ms: float
    stages: int
    injected: int
    per_stage: tuple[StageCost, ...]
    caveats: tuple[str, ...]

    @property
    def fps(self) -> float:
        """Frames a second with two threads on the chip, as vendors state it."""
        return 2000.0 / self.total_ms if self.total_ms else float("inf")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, without `per_stage`."""
        out = asdict(self)
        del out["per_stage"]
        out["caveats"] = list(self.caveats)
        out["fps"] = self.fps
        return out


def predict(blob: Blob, parameters: CostParameters | None = None) -> CostPrediction:
    """Predicts the time of one frame at the SHAVEs that the blob was compiled for.

    Args:
        blob: the compiled blob; for a batch the stages run once per sample.
        parameters: None: the published fit.
    """
    p = parameters or CostParameters()
    runs = blob.header.batch_size
    rows = [_cost(stage, inner, p, runs) for stage, inner in _walk(blob)]
    return CostPrediction(
        total_ms=sum(row.total_ms for row in rows),
        engine_ms=sum(row.engine_ms for row in rows),
        memory_ms=sum(row.memory_ms for row in rows),
        activation_ms=sum(row.activation_ms for row in rows),
        dispatch_ms=sum(row.dispatch_ms for row in rows),
        stages=len(blob.stages),
        injected=sum(1 for row in rows if row.injected),
        per_stage=tuple(rows),
        caveats=_caveats(blob, rows, sum(row.total_ms for row in rows)),
    )


def features(blob: Blob) -> Features:
    """The whole blob's features for one sample."""
    return sum((stage_features(stage) for stage, _ in _walk(blob)), Features())


def stage_features(stage: Stage) -> Features:
    """Features of one stage, without its injected stage."""
    if stage.type_id == HW_OP:
        return _hardware(stage)
    elements = stage.buffers[1].desc.elements if stage.type_id in _ACTIVATIONS else 0
    return Features(
        ddr_bytes=sum(_ddr_bytes(buffer) for buffer in stage.buffers),
        activation_elements=elements / max(stage.shaves, 1),
        dispatches=1,
    )


def engine_cycles(stage: Stage, op: HwOp) -> int:
    """Cycles of one hardware record: 256 multiply-adds a cycle, whole blocks of channels.

    Output pixels (before a fused pooling) times the steps over input channels, which the mode
    spreads over 1 to 16 memory blocks, and a fixed cost per pixel that grows with the mode.
    Pooling records cost nothing that the calibration could see.
    """
    if op.op_type == 4:
        return 0
    if op.fc is not None:
        return -(-op.fc[1] // (1 << op.op_mode)) + _MODE_CYCLES[op.op_mode]
    channels = _sizes(stage.buffers[op.input]).get(_CHANNEL, 1)
    out = _sizes(stage.buffers[op.output])
    pixels: int = out.get(0, 1) * out.get(1, 1)
    if op.op_type == 1:
        pixels *= op.pool_kernel_w * op.pool_kernel_h
    steps: int = -(-channels // (1 << op.op_mode)) * op.kernel_w * op.kernel_h
    return pixels * (steps + _MODE_CYCLES[op.op_mode])


def _hardware(stage: Stage) -> Features:
    """Inputs count once per record; weights, of which each record reads its part, once."""
    cycles = traffic = 0
    for op in stage.hw_ops:
        cycles += engine_cycles(stage, op)
        traffic += _ddr_bytes(stage.buffers[op.input])
    for index in {op.coeffs for op in stage.hw_ops if op.coeffs >= 0}:
        traffic += _ddr_bytes(stage.buffers[index])
    for index in {op.output for op in stage.hw_ops}:
        traffic += _ddr_bytes(stage.buffers[index])
    return Features(cycles, traffic, 0.0, 1)


def _walk(blob: Blob) -> list[tuple[Stage, bool]]:
    out: list[tuple[Stage, bool]] = []
    for stage in blob.stages:
        out.append((stage, False))
        if stage.injected is not None:
            out.append((stage.injected, True))
    return out


def _ddr_bytes(buffer: Buffer) -> int:
    if buffer.location not in _DDR:
        return 0
    return buffer.desc.elements * buffer.desc.itemsize


def _sizes(buffer: Buffer) -> dict[int, int]:
    return dict(zip(buffer.desc.dim_ids, buffer.desc.dims, strict=True))


def _cost(stage: Stage, injected: bool, p: CostParameters, runs: int) -> StageCost:
    f = stage_features(stage)
    scale = 1e3 * runs
    return StageCost(
        index=stage.index,
        injected=injected,
        name=stage.type_name,
        engine_ms=scale * f.engine_cycles / p.engine_hz,
        memory_ms=scale * f.ddr_bytes / p.ddr_bytes_per_second,
        activation_ms=scale * f.activation_elements * p.activation_seconds,
        dispatch_ms=scale * f.dispatches * p.dispatch_seconds,
    )


def _caveats(blob: Blob, rows: Sequence[StageCost], total_ms: float) -> tuple[str, ...]:
    out = []
    walk = [stage for stage, _ in _walk(blob)]
    tiny = total_ms < SHORTEST_ANCHOR_MS
    known = {type_name(kind) for kind in WELL_CALIBRATED | OPAQUE}
    share = sum(row.total_ms for row in rows if row.name not in known) / max(total_ms, 1e-9)
    rare = sorted({row.name for row in rows} - known) if tiny or share > RARE_SHARE else []
    opaque = sorted({s.type_name for s in walk if s.type_id in OPAQUE})
    if tiny:
        out.append(
            f"extrapolation: {total_ms:.2f} ms is below the {SHORTEST_ANCHOR_MS:.0f} ms of the "
            "fastest network of the calibration; a fixed cost per frame is unknown"
        )
    if rare:
        out.append(
            f"{share:.0%} of the time is in stages hardly seen in calibration: {', '.join(rare)}"
        )
    if opaque:
        out.append(
            f"operands not decoded, so their memory traffic is left out: {', '.join(opaque)}"
        )
    if blob.shaves != CALIBRATED_SHAVES:
        out.append(
            f"compiled for {blob.shaves} shaves; the calibration knows {CALIBRATED_SHAVES} only"
        )
    if not any(stage.type_id == HW_OP for stage in walk):
        out.append("no stage uses the convolution engine; all anchors of the calibration do")
    return tuple(out)
