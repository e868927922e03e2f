"""How well a graph does in FP16, as a number to compare graphs by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..intervals import Analysis
from ..network import Network
from ..seen import Recording


@dataclass(frozen=True)
class Trial:
    """FP16 error of a graph over all outputs, the better the smaller.

    Attributes:
        lost: values that became infinite or NaN.
        failing: outputs outside the tolerance of verification.
        off: share of the values outside it.
        error: largest error as a share of the output's range, the mean over outputs.
        unproven: tensors that may still leave the range for some input.
        nodes: size of the graph.
    """

    lost: int
    failing: int
    off: float
    error: float
    unproven: int
    nodes: int = 0

    @property
    def key(self) -> tuple[float, ...]:
        """What decides between two graphs."""
        return (self.lost > 0, self.lost, self.failing, round(self.off, 3), self.unproven,
                round(self.error, 3), self.nodes, self.error)  # fmt: skip

    @property
    def flawless(self) -> bool:
        """Whether nothing is lost, everything is within the tolerance, and proven."""
        return not (self.lost or self.failing or self.unproven)

    def better_than(self, other: Trial) -> bool:
        """Whether this is a repair of the other: lower FP16 error, or proven where it was not."""
        if (self.lost > 0, self.lost) != (other.lost > 0, other.lost):
            return self.lost < 0.5 * other.lost and self.error <= 1.05 * other.error + 1e-3
        if self.failing != other.failing:
            return self.failing < other.failing
        if self.off > 1.1 * other.off + 1e-4 or self.unproven > other.unproven:
            return False
        if self.unproven < other.unproven:
            return self.error <= 1.05 * other.error
        return self.error < 0.8 * other.error


def judge(network: Network, half: Analysis, recording: Recording) -> Trial:
    """The FP16 error of a graph, from its FP16 bounds and what was recorded of it."""
    errors = list(recording.outputs.values())
    unproven = sum(
        not half[o].finite or half[o].nan
        for node in network.steps()
        for o in node.outputs
        if o and network.is_float(o)
    )
    shares = [1.0 if e.lost else min(e.share, 1.0) for e in errors]
    return Trial(
        lost=recording.lost,
        failing=sum(not e.passes for e in errors),
        off=max((e.off_share for e in errors), default=0.0),
        error=float(np.mean(shares)) if shares else 0.0,
        unproven=unproven,
        nodes=len(network.nodes),
    )
