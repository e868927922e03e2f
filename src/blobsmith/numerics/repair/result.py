"""What a repair returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx import ModelProto

from .trial import Trial

if TYPE_CHECKING:
    from ...model import Model


@dataclass(frozen=True)
class RepairResult:
    """What a repair did.

    Attributes:
        proto: the repaired graph, or the given one if nothing was accepted.
        accepted: whether the graph was changed.
        actions: what was done, one sentence each.
        output_factors: for outputs that cannot fit: the graph's output is the result times this.
        before, after: FP16 errors on the same inputs.
        reason: one sentence on the outcome.
    """

    proto: ModelProto
    accepted: bool
    actions: tuple[str, ...]
    output_factors: Mapping[str, float]
    before: Trial
    after: Trial
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form, without the graph."""
        return {
            "accepted": self.accepted,
            "actions": list(self.actions),
            "output_factors": dict(self.output_factors),
            "before": dict(self.before.__dict__),
            "after": dict(self.after.__dict__),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class RepairedModel:
    """A repaired `Model`; its outputs' decodings carry the factors."""

    model: Model
    result: RepairResult

    @property
    def summary(self) -> str:
        """The outcome in one sentence."""
        return self.result.reason

    @property
    def actions(self) -> tuple[str, ...]:
        """What was done, one sentence each."""
        return self.result.actions
