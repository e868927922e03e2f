"""Making a graph fit into FP16 without changing its function.

Powers of two are pushed through linear and homogeneous operators to where values fit, and undone
later or folded into weights. Several plans are tried; the best one is kept, and only if the FP16
error afterwards is lower and the FP32 function is the same, both measured in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto

from ...tensors import TensorSpec
from .. import frames as inputs
from ..frames import Feeds, Frame
from ..intervals import Analysis, analyse
from ..network import Network, read
from ..outputs import OutputError, stepped
from ..seen import Observer, Recording, Tapped
from .apply import write
from .plan import Plan, Sizes
from .rewriting import put_barriers, raise_guards, split_roots
from .search import make

if TYPE_CHECKING:
    from ...model import Model

MARGIN = 4.0
"""How many times what was seen a plan leaves room for, where bounds are not used."""
SAME_SHARE = 1e-4
"""The repaired FP32 function may differ by this share of an output's range."""


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

    def better_than(self, other: Trial) -> bool:
        """Whether this is a repair of the other: lower FP16 error, or proven where it was not."""
        if self.key[:3] != other.key[:3]:
            return self.key < other.key
        if self.unproven < other.unproven:
            return self.error <= max(2 * other.error, 1e-3)
        return self.error < 0.8 * other.error and self.unproven <= other.unproven


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


def repair_model(model: Model, *, frames: Iterable[Feeds] | None = None) -> RepairedModel:
    """Repairs a model's graph; see `repair`."""
    result = repair(model.proto, model.inputs, frames=frames)
    if not result.accepted:
        return RepairedModel(model, result)
    outputs = tuple(
        replace(
            spec,
            decoding=replace(
                spec.decoding,
                factor=spec.decoding.factor * result.output_factors.get(spec.name, 1.0),
            ),
        )
        for spec in model.outputs
    )
    repaired = replace(model.with_graph(result.proto), outputs=outputs)
    return RepairedModel(repaired, result)


def repair(
    proto: ModelProto, specs: Sequence[TensorSpec], *, frames: Iterable[Feeds] | None = None
) -> RepairResult:
    """Rescales a graph so that FP16 holds every value on the way.

    Args:
        proto: the graph, simplified.
        specs: its inputs with dtypes and ranges.
        frames: the user's inputs, run besides the synthetic ones.

    Raises:
        ModelError: the graph is not valid, or does not run.
        FrameError: frames that do not fit.
    """
    shown = list(inputs.standard(specs))
    if frames is not None:
        shown += list(inputs.given(frames, specs))
    work = _Workshop(proto, specs, shown)
    return work.run()


@dataclass
class _Candidate:
    proto: ModelProto
    factors: dict[str, float]
    actions: tuple[str, ...]
    trial: Trial


@dataclass
class _Workshop:
    """Makes candidates and keeps the best."""

    proto: ModelProto
    specs: Sequence[TensorSpec]
    frames: list[Frame]
    reference: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> RepairResult:
        network = read(self.proto)
        self.reference = self.outputs_of(network)
        bounds = analyse(network, self.specs, half=False)
        recording = Observer(network, ideals=False).watch(self.frames)
        before = self.trial(network, {}, recording)
        found = list(self.candidates(network, bounds, recording))
        best = min(found, key=lambda c: c.trial.key, default=None)
        if best is None or not best.trial.better_than(before):
            reason = (
                "nothing to repair: every value fits" if _fine(before)
                else "no rescaling makes the FP16 error lower; see the advice of the check"
            )  # fmt: skip
            return RepairResult(self.proto, False, (), {}, before, before, reason)
        return RepairResult(
            best.proto, True, best.actions, best.factors, before, best.trial,
            _reason(before, best),
        )  # fmt: skip

    def candidates(
        self, network: Network, bounds: Analysis, recording: Recording
    ) -> Iterable[_Candidate]:
        """Repaired graphs that compute the same in FP32."""
        seen = {n: s.magnitude for n, s in recording.tensors.items()}
        split = split_roots(network, bounds, {n: MARGIN * v for n, v in seen.items()})
        base, done = (read(split[0]), split[1]) if split else (network, ())
        if split:
            bounds = analyse(base, self.specs, half=False)
            recording = Observer(base, ideals=False).watch(self.frames)
        tried: set[tuple[tuple[str, int], ...]] = set()
        for sizes in (_proven(base, bounds, recording), _seen(base, recording)):
            for lift, far in product((False, True), (False, True)):
                plan = make(base, sizes, lift=lift, far=far)
                key = tuple(sorted((k, v) for k, v in plan.adjust.items() if v))
                if key in tried:
                    continue
                tried.add(key)
                yield from self.finished(plan, done)

    def finished(self, plan: Plan, done: tuple[str, ...]) -> Iterable[_Candidate]:
        """The plan written out, with and without raised guards."""
        model, actions = write(plan)
        factors = {n: 2.0**e for n, e in plan.outputs.items() if e}
        network = read(model)
        barred = put_barriers(network, analyse(network, self.specs, half=False))
        if barred:
            model, network = barred[0], read(barred[0])
            actions += barred[1]
        raised = raise_guards(network)
        for variant, extra in ((model, ()), *([raised] if raised else [])):
            told = (*done, *actions, *extra)
            if not told:
                continue
            changed = read(variant)
            if not self.same(changed, factors):
                continue
            recording = Observer(changed, ideals=False).watch(self.frames)
            yield _Candidate(variant, factors, told, self.trial(changed, factors, recording))

    def outputs_of(self, network: Network) -> list[dict[str, Any]]:
        """The FP32 outputs for all frames."""
        session = Tapped(network.proto, {n: network.dtypes.get(n, 0) for n in network.outputs})
        return [session.run(f.feeds, network.outputs) for f in self.frames]

    def same(self, network: Network, factors: Mapping[str, float]) -> bool:
        """Whether a graph computes the reference in FP32, up to the factors."""
        jumps = stepped(network)
        for mine, reference in zip(self.outputs_of(network), self.reference, strict=True):
            for name, values in reference.items():
                error = OutputError(name, name in jumps)
                error.add(values, np.asarray(mine[name]) / factors.get(name, 1.0), "")
                if error.lost or (error.span and not error.steps and error.share > SAME_SHARE):
                    return False
                if error.steps and error.off_share > SAME_SHARE:
                    return False
        return True

    def trial(self, network: Network, factors: Mapping[str, float], recording: Recording) -> Trial:
        """The FP16 error of a graph, from what was recorded of it."""
        errors = list(recording.outputs.values())
        half = analyse(network, self.specs, half=True)
        unproven = sum(
            not half[o].finite or half[o].nan
            for node in network.steps() for o in node.outputs if o and network.is_float(o)
        )  # fmt: skip
        return Trial(
            lost=sum(s.half_nonfinite for s in recording.tensors.values()),
            failing=sum(not e.passes for e in errors),
            off=max((e.off_share for e in errors), default=0.0),
            error=float(np.mean([1.0 if e.lost else min(e.share, 1.0) for e in errors]))
            if errors
            else 0.0,
            unproven=unproven,
            nodes=len(network.nodes),
        )


def _fine(trial: Trial) -> bool:
    return not trial.lost and not trial.failing


def _reason(before: Trial, best: _Candidate) -> str:
    told = f"FP16 error {before.error:.2%} -> {best.trial.error:.2%} of the outputs' range"
    if before.lost:
        told = f"{before.lost} values overflowed before, {best.trial.lost} now; {told}"
    if best.factors:
        name, scale = next(iter(best.factors.items()))
        told += f"; output {name!r} cannot fit and is given times {scale:g}"
    return told


def _seen(network: Network, recording: Recording) -> Sizes:
    """Sizes by what was seen, with a margin."""
    tensors = recording.tensors
    largest = {n: MARGIN * s.magnitude for n, s in tensors.items()}
    smallest = {
        n: min(abs(s.low), abs(s.high)) / MARGIN
        for n, s in tensors.items()
        if s.low > 0 or s.high < 0
    }
    return Sizes(largest, smallest)


def _proven(network: Network, bounds: Analysis, recording: Recording) -> Sizes:
    """Sizes by the bounds that hold for every input, what was seen where there are none."""
    seen = _seen(network, recording)
    largest, smallest = {}, {}
    for name, guess in seen.largest.items():
        known = bounds[name].magnitude
        largest[name] = known if isfinite(known) else guess
        low, high = bounds[name].low, bounds[name].high
        apart = min(abs(low), abs(high)) if low > 0 or high < 0 else 0.0
        smallest[name] = apart or seen.smallest.get(name, 0.0)
    return Sizes(largest, smallest)
