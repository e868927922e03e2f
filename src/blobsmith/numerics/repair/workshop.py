"""Candidates for a repair: made, checked to be the same function, run in FP16, compared."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import inf, isfinite
from typing import Any

import numpy as np
from onnx import ModelProto

from ...errors import ModelError
from ...tensors import TensorSpec
from ..frames import Frame
from ..intervals import Analysis, Reach, analyse
from ..network import Network, read
from ..outputs import OutputError, stepped
from ..seen import Observer, Recording, Tapped
from .apply import write
from .plan import Plan, Sizes
from .result import RepairResult
from .rewriting import put_barriers, raise_guards, split_roots
from .search import make
from .trial import Trial, judge

LOOSE = 256.0
"""Bounds further than this from what was seen, with its margin, are not planned for."""
MARGIN = 4.0
"""How many times what was seen a plan leaves room for, where bounds are not used."""
PATIENCE = 16.0
"""Seconds after which no further candidates are made, and one under way is left."""
FIRST = PATIENCE / 4
"""Seconds after which the first run takes no further synthetic inputs, which all runs share."""
SAME_SHARE = 1e-4
"""The repaired FP32 function may differ by this share of an output's range."""


@dataclass
class Candidate:
    """A repaired graph with its output factors, what was done, and how well it does."""

    proto: ModelProto
    factors: dict[str, float]
    actions: tuple[str, ...]
    trial: Trial


@dataclass
class Workshop:
    """Makes candidates for one graph and keeps the best.

    Attributes:
        proto: the graph.
        specs: its inputs.
        frames: what every candidate is run on; the user's at the end.
        own: how many of them are the user's.
        reference: the graph's own FP32 outputs, frame by frame.
        least: the fewest values that a graph has lost so far; candidates that lose more are left.
        deadline: when no more candidates are made, by `time.perf_counter`.
    """

    proto: ModelProto
    specs: Sequence[TensorSpec]
    frames: list[Frame]
    own: int = 0
    reference: list[dict[str, Any]] = field(default_factory=list)
    least: int = 0
    deadline: float = inf

    def run(self) -> RepairResult:
        """The best candidate, or the graph as it is."""
        network = read(self.proto)
        bounds = analyse(network, self.specs, half=False)
        recording = Observer(network, ideals=False).watch(self.timed())
        self.reference = self.outputs_of(network)
        before = judge(network, analyse(network, self.specs, half=True), recording)
        self.least, self.deadline = before.lost, time.perf_counter() + PATIENCE
        found: list[Candidate] = []
        candidates = () if before.flawless else self.candidates(network, bounds, recording)
        for candidate in candidates:
            found.append(candidate)
            self.least = min(self.least, candidate.trial.lost)
            if candidate.trial.flawless and candidate.trial.nodes <= before.nodes:
                break  # nothing is left to gain
        best = min(found, key=lambda c: c.trial.key, default=None)
        if best is None or not best.trial.better_than(before):
            reason = (
                "nothing to repair: every value fits" if _fine(before)
                else "no rescaling makes the FP16 error lower; see the advice of the check"
            )  # fmt: skip
            if not _fine(before) and self.over():
                reason += f" (stopped after {PATIENCE:.0f} s)"
            return RepairResult(self.proto, False, (), {}, before, before, reason)
        return RepairResult(
            best.proto, True, best.actions, best.factors, before, best.trial,
            _reason(before, best),
        )  # fmt: skip

    def over(self) -> bool:
        """Whether the time is up."""
        return time.perf_counter() > self.deadline

    def timed(self) -> Iterator[Frame]:
        """The frames, as many as can be run in reasonable time; further ones are left out."""
        began, given = time.perf_counter(), self.frames
        self.frames = []
        for number, frame in enumerate(given):
            synthetic = number < len(given) - self.own
            if synthetic and number >= 2 and time.perf_counter() - began > FIRST:
                continue
            self.frames.append(frame)
            yield frame

    def candidates(
        self, network: Network, bounds: Analysis, recording: Recording
    ) -> Iterator[Candidate]:
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
                if self.over():
                    return
                plan = make(base, sizes, lift=lift, far=far, over=self.over)
                key = tuple(sorted((k, v) for k, v in plan.adjust.items() if v))
                if key in tried:
                    continue
                tried.add(key)
                yield from self.finished(plan, done)

    def finished(self, plan: Plan, done: tuple[str, ...]) -> Iterator[Candidate]:
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
            trial = self.tried(variant, factors) if told and not self.over() else None
            if trial is not None:
                yield Candidate(variant, factors, told, trial)

    def tried(self, model: ModelProto, factors: Mapping[str, float]) -> Trial | None:
        """How well a graph does; None if it is another function, or no better than others."""
        try:
            network = read(model)
            if not self.same(network, factors):
                return None
            half = analyse(network, self.specs, half=True)
            observer = Observer(
                network, ideals=False, factors=factors, names=_uncertain(network, half)
            )
            recording = observer.watch(self.frames, stop=self.hopeless)
        except ModelError:  # ONNX Runtime does not take it
            return None
        if len(recording.labels) < len(self.frames):
            return None
        return judge(network, half, recording)

    def hopeless(self, recording: Recording) -> bool:
        """Whether a candidate need not be run to the end."""
        return self.over() or recording.lost > self.least

    def outputs_of(self, network: Network) -> list[dict[str, Any]]:
        """The FP32 outputs for all frames."""
        session = Tapped(network.proto, network.outputs)
        return [session.run(f.feeds, network.outputs) for f in self.frames]

    def same(self, network: Network, factors: Mapping[str, float]) -> bool:
        """Whether a graph computes the reference in FP32, up to the factors."""
        jumps = stepped(network)
        session = Tapped(network.proto, network.outputs)
        for frame, reference in zip(self.frames, self.reference, strict=True):
            mine = session.run(frame.feeds, network.outputs)
            for name, values in reference.items():
                error = OutputError(name, name in jumps)
                error.add(values, np.asarray(mine[name]) / factors.get(name, 1.0), "")
                if error.lost or (error.span and not error.steps and error.share > SAME_SHARE):
                    return False
                if error.steps and error.off_share > SAME_SHARE:
                    return False
        return True


def _uncertain(network: Network, half: Analysis) -> frozenset[str]:
    """Tensors that have to be watched: outputs, and what is not proven to stay in range."""
    open_ = (n for n in half.bounds if not half[n].finite or half[n].nan)
    return frozenset((*network.outputs, *open_))


def _fine(trial: Trial) -> bool:
    return not trial.lost and not trial.failing


def _reason(before: Trial, best: Candidate) -> str:
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
    """Sizes by the bounds that hold for every input; by what was seen where they are far off."""
    seen = _seen(network, recording)
    largest, smallest = {}, {}
    for name, guess in seen.largest.items():
        known = bounds[name].magnitude
        sharp = bounds.reach.get(name, Reach.LOOSE) >= Reach.ATTAINED or known <= LOOSE * guess
        largest[name] = known if isfinite(known) and sharp else guess
        low, high = bounds[name].low, bounds[name].high
        apart = min(abs(low), abs(high)) if low > 0 or high < 0 else 0.0
        smallest[name] = apart or seen.smallest.get(name, 0.0)
    return Sizes(largest, smallest)
