"""Numbers for the page's charts, as shares of the chart's width and height in per cent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .model import ChipView, RangesView
from .ranges import LARGEST, SMALLEST_NORMAL

_LOWEST, _HIGHEST = -8, 12
_LEAST_BAR = 0.15


@dataclass(frozen=True)
class RangeMark:
    """One tensor of the range chart.

    Attributes:
        index: in `RangesView.tensors`.
        status: as there.
        x: its place along the graph.
        seen: height of the largest magnitude seen; None: not run, or 0.
        bound: height of the bound for any input; 100 where there is none or it is above.
        beyond: whether the bound lies above the chart.
    """

    index: int
    status: str
    x: float
    seen: float | None
    bound: float
    beyond: bool


@dataclass(frozen=True)
class RangeChart:
    """The range chart: marks, (height, label) of the axis, heights of FP16's limits."""

    marks: tuple[RangeMark, ...]
    ticks: tuple[tuple[float, str], ...]
    limit: float
    normal: float | None


def range_chart(view: RangesView) -> RangeChart:
    """Magnitudes on a logarithmic axis over the tensors' places along the graph."""
    peaks = [t.peak for t in view.tensors if t.peak and math.isfinite(t.peak)]
    bounds = [t.bound for t in view.tensors if t.bound]
    low = max(_LOWEST, min(-1, math.floor(math.log10(min(peaks, default=1.0))) - 1))
    top = max([LARGEST * 10, *peaks, *bounds])
    high = min(_HIGHEST, math.ceil(math.log10(top)))

    def at(value: float) -> float:
        share = (math.log10(value) - low) / (high - low)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    last = max((t.position for t in view.tensors), default=0) or 1
    marks = tuple(
        RangeMark(
            index, t.status, round(2 + 96 * t.position / last, 2),
            at(t.peak) if t.peak and math.isfinite(t.peak) else (100.0 if t.peak else None),
            100.0 if t.bound is None else at(max(t.bound, 1e-30)),
            t.bound is None or t.bound > 10.0**high,
        )
        for index, t in enumerate(view.tensors)
    )  # fmt: skip
    step = 2 if high - low <= 12 else 3
    first = low + (-low % step)
    ticks = tuple((at(10.0**power), _power(power)) for power in range(first, high + 1, step))
    normal = at(SMALLEST_NORMAL) if 10.0**low < SMALLEST_NORMAL else None
    return RangeChart(marks, ticks, at(LARGEST), normal)


def _power(power: int) -> str:
    return f"{10**power:,}".replace(",", " ") if 0 <= power <= 3 else f"1e{power}"


@dataclass(frozen=True)
class StageBar:
    """A stage in the timeline: index in `ChipView.stages`, lane, and its place in per cent."""

    index: int
    unit: str
    left: float
    width: float


def stage_bars(chip: ChipView) -> tuple[StageBar, ...]:
    """The stages over the predicted time."""
    total = chip.predicted_ms or 1.0
    return tuple(
        StageBar(
            index, stage.unit, round(100 * stage.start_ms / total, 3),
            round(max(100 * stage.ms / total, _LEAST_BAR), 3),
        )
        for index, stage in enumerate(chip.stages)
    )  # fmt: skip


def time_shares(chip: ChipView) -> list[tuple[str, str, float, float]]:
    """(key, name, milliseconds, per cent) of what the predicted time is spent on."""
    total = chip.predicted_ms or 1.0
    parts = [
        ("engine", "convolution engine", chip.engine_ms),
        ("memory", "moving data", chip.memory_ms),
        ("activation", "activations", chip.activation_ms),
        ("dispatch", "starting stages", chip.dispatch_ms),
    ]
    return [(key, name, ms, round(100 * ms / total, 2)) for key, name, ms in parts]


def memory_shares(chip: ChipView) -> list[tuple[str, str, int, float]]:
    """(key, name, bytes, per cent) of the DDR memory that the blob takes."""
    parts = [
        ("constants", "constants", chip.constants),
        ("scratch", "scratch", chip.scratch),
        ("inputs", "inputs", chip.inputs),
        ("outputs", "outputs", chip.outputs),
    ]
    total = sum(size for _, _, size in parts) or 1
    return [(key, name, size, round(100 * size / total, 2)) for key, name, size in parts]
