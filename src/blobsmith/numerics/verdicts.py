"""Each tensor's verdict, its cause and what to do about it."""

from __future__ import annotations

from math import inf

import numpy as np

from . import advice
from .fp16 import OVERFLOW
from .intervals import Analysis, Reach
from .network import Network, Node
from .report import MAY, OVERFLOWS, PROVEN, SEEN, TensorReport, TensorVerdict
from .seen import Recording, Seen

HEADROOM = 4.0
"""An unproven tensor counts as safe if FP16 holds this many times what was seen of it."""


class Causes:
    """Decides each tensor's verdict, following the graph from inputs to outputs."""

    def __init__(
        self, network: Network, full: Analysis, half: Analysis, recording: Recording
    ) -> None:
        self.network, self.full, self.half = network, full, half
        self.recording = recording
        self.blame: dict[str, tuple[str, TensorVerdict]] = {}
        self.meant: set[str] = set()

    def report(self, node: Node, name: str, line: str, lost: float) -> TensorReport:
        """One output of one operator; operators are to be asked in the order of the graph.

        Args:
            node: the operator.
            name: the output.
            line: the user's source line, or "".
            lost: decimal digits that the operator loses.
        """
        seen = self.recording.tensors.get(name)
        verdict, cause = self.verdict(node, name, seen)
        bounds = self.full[name]
        known = seen if seen is not None and seen.high >= seen.low else None
        return TensorReport(
            name=name,
            op=node.op,
            line=line,
            verdict=verdict,
            bounds=(bounds.low, bounds.high),
            attained=self.full.reach.get(name, Reach.LOOSE) >= Reach.ATTAINED,
            seen=None if known is None else (known.low, known.high),
            subnormal_share=0.0 if seen is None else seen.subnormal_share,
            error=0.0 if seen is None else seen.relative_error,
            digits_lost=round(lost, 3),
            cause=cause,
            advice=self.advice(node, name, seen, verdict, cause),
        )

    def verdict(self, node: Node, name: str, seen: Seen | None) -> tuple[TensorVerdict, str]:
        """The verdict, and the tensor in which the trouble begins if that is an earlier one."""
        if seen is not None and (seen.half_nonfinite or seen.too_large):
            cause = next((self.blame[n][0] or n for n in node.inputs if self._lost(n)), "")
            self.blame[name] = (cause or name, OVERFLOWS)
            return OVERFLOWS, cause
        if seen is not None and seen.nonfinite and not self.infinite_by_constant(node):
            cause = next((self.blame[n][0] for n in node.inputs if self._own(n)), "")
            self.blame[name] = (cause or name, MAY)
            return MAY, cause
        bounds = self.half[name]
        if bounds.finite and not bounds.nan:
            return PROVEN, ""
        before = [self.blame[n] for n in node.inputs if n in self.blame]
        own = self.full[name]
        if before and own.magnitude < OVERFLOW:
            cause, verdict = min(before, key=lambda b: (b[1] != OVERFLOWS, b[1] != MAY))
            verdict = SEEN if verdict == OVERFLOWS else verdict
            self.blame[name] = (cause, verdict)
            return verdict, cause
        verdict = self.alone(name, seen)
        self.blame[name] = (name, verdict)
        return verdict, ""

    def _own(self, name: str) -> bool:
        """Whether the function itself gave infinite or NaN values there, in FP32."""
        seen = self.recording.tensors.get(name)
        return bool(seen is not None and seen.nonfinite and name in self.blame)

    def infinite_by_constant(self, node: Node) -> bool:
        """Whether infinity is put in on purpose: padding or masking with it."""
        given = [self.network.constants[n] for n in node.inputs if n in self.network.constants]
        seen = {n: self.recording.tensors.get(n) for n in node.inputs}
        infinite = [n for n, s in seen.items() if s is not None and s.nonfinite]
        meant = any(c.dtype.kind == "f" and np.isinf(c).any() for c in given)
        meant = meant or (bool(infinite) and self.meant.issuperset(infinite))
        if meant:
            self.meant.update(node.outputs)
        return meant

    def _lost(self, name: str) -> bool:
        return self.blame.get(name, ("", PROVEN))[1] == OVERFLOWS

    def alone(self, name: str, seen: Seen | None) -> TensorVerdict:
        """The verdict where the range is left here, if at all, and nothing was seen to overflow."""
        own = self.full[name]
        sharp = self.full.reach.get(name, Reach.LOOSE) >= Reach.ATTAINED
        if sharp and OVERFLOW <= own.magnitude < inf:
            return MAY
        if seen is None or not seen.elements:
            return MAY
        return MAY if seen.magnitude * HEADROOM >= OVERFLOW else SEEN

    def advice(
        self, node: Node, name: str, seen: Seen | None, verdict: TensorVerdict, cause: str
    ) -> str:
        """What to change, one sentence; empty if nothing."""
        if verdict == MAY and seen is not None and seen.nonfinite and not cause:
            told = advice.overflow(self.network, node, name, self.full, self.half, seen)
            return f"infinite or NaN in FP32 too; {told}"
        if cause:
            return f"its inputs leave the range first: see {cause!r}"
        if verdict in (OVERFLOWS, MAY, SEEN):
            return advice.overflow(self.network, node, name, self.full, self.half, seen)
        if seen is not None and seen.subnormal_share > 0.05 and seen.relative_error > 0.01:
            return advice.underflow(seen)
        return ""
