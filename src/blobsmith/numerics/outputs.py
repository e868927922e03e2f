"""How far an output is from the FP32 reference.

The tolerance is that of verification: finite wherever the reference is; at most 0.1 % of the
values off by more than 4 units in the last place of FP16 and 0.1 % of the output's range; none off
by more than 1 % of the range. Of an output that passes through a comparison or a rounding, or has
two levels only, at most 0.5 % of the values may be off.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .fp16 import SMALLEST_NORMAL, ulp
from .network import Network

ULPS = 4.0
TYPICAL_SHARE = 1e-3
LARGEST_SHARE = 1e-2
OFF_SHARE = 1e-3
STEPPED_OFF_SHARE = 5e-3
_LEVELS = 2

_STEPS = frozenset(
    ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Floor", "Ceil", "Round", "Sign",
     "Mod", "ArgMax", "ArgMin", "TopK", "NonZero", "Not", "Xor", "IsNaN", "IsInf", "OneHot")
)  # fmt: skip


def stepped(network: Network) -> frozenset[str]:
    """Tensors that depend on a comparison, a rounding or an index: small errors make them jump."""
    found: set[str] = set()
    for node in network.steps():
        if node.op in _STEPS or any(name in found for name in node.inputs):
            found.update(node.outputs)
    return frozenset(found)


@dataclass
class OutputError:
    """The error of one output over all frames; filled frame by frame.

    Attributes:
        name: the output.
        jumps: whether it passes through a comparison or rounding.
        low, high: the reference's range over all frames.
        largest: the largest error.
        p999_ulps: the largest 99.9th percentile of a frame's error, in units of the last place.
        elements: how many values were compared.
        off: how many were off by more than 4 units in the last place and 0.1 % of the range.
        lost: values that are infinite or NaN though the reference is finite.
        levels: the reference's distinct values, as long as they are few.
        where: the frame with the largest error.
    """

    name: str
    jumps: bool = False
    low: float = np.inf
    high: float = -np.inf
    largest: float = 0.0
    p999_ulps: float = 0.0
    elements: int = 0
    off: int = 0
    lost: int = 0
    levels: set[float] = field(default_factory=set)
    where: str = ""

    def add(self, reference: npt.NDArray[Any], got: npt.NDArray[Any], label: str) -> None:
        """One more frame."""
        full = np.asarray(reference, np.float64).reshape(-1)
        have = np.asarray(got, np.float64).reshape(-1)
        finite = np.isfinite(full)
        self.elements += int(finite.sum())
        self.lost += int(np.count_nonzero(finite & ~np.isfinite(have)))
        good = finite & np.isfinite(have)
        if finite.any():
            self.low = min(self.low, float(full[finite].min()))
            self.high = max(self.high, float(full[finite].max()))
        if not good.any():
            return
        full, have = full[good], have[good]
        if len(self.levels) <= _LEVELS:
            self.levels.update(_distinct(full))
        error = np.abs(have - full)
        _, exponent = np.frexp(np.maximum(np.abs(full), SMALLEST_NORMAL))
        unit = np.ldexp(1.0, exponent - 11)
        worst = float(error.max())
        if worst > self.largest:
            self.largest, self.where = worst, label
        limit = np.maximum(ULPS * unit, TYPICAL_SHARE * self.span)
        self.off += int(np.count_nonzero(error > limit))
        in_ulps = error / unit
        rank = max(int(np.ceil(error.size * 0.999)) - 1, 0)
        self.p999_ulps = max(self.p999_ulps, float(np.partition(in_ulps, rank)[rank]))

    @property
    def span(self) -> float:
        """The width of the reference's range."""
        return max(self.high - self.low, 0.0)

    @property
    def steps(self) -> bool:
        """Whether the output jumps, so that few values may be far off."""
        return self.jumps or len(self.levels) <= _LEVELS

    @property
    def off_share(self) -> float:
        """Share of the values that are off."""
        return self.off / self.elements if self.elements else 0.0

    @property
    def share(self) -> float:
        """The largest error as a share of the range (of the magnitude, if the range is 0)."""
        scale = self.span or max(abs(self.low), abs(self.high))
        if not np.isfinite(scale) or scale == 0:
            return 0.0 if self.largest == 0 else 1.0
        return self.largest / scale

    @property
    def passes(self) -> bool:
        """Whether the error is within the tolerance of verification."""
        if self.lost:
            return False
        if self.steps and self.span > 0:
            return self.off_share <= STEPPED_OFF_SHARE
        unit = ulp(max(abs(self.low), abs(self.high))) if self.high >= self.low else 0.0
        largest = max(LARGEST_SHARE * self.span, ULPS * unit)
        return self.off_share <= OFF_SHARE and self.largest <= largest


def _distinct(values: npt.NDArray[Any]) -> list[float]:
    """The distinct values, as long as they are few; else one more than that."""
    found: list[float] = []
    rest = values
    while rest.size and len(found) <= _LEVELS:
        found.append(float(rest[0]))
        rest = rest[rest != rest[0]]
    return found
