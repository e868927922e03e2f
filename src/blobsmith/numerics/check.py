"""FP16 trouble, known before the camera does: where, why, which line, and what to change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ..tensors import NUMPY_NAMES, TensorSpec
from . import constants, digits
from . import frames as inputs
from .frames import Feeds, Frame
from .intervals import analyse
from .network import Network, read
from .outputs import OutputError
from .report import (
    MAY,
    OVERFLOWS,
    PROVEN,
    SEEN,
    CheckReport,
    ErrorReport,
    StageRange,
    TensorReport,
    Verdict,
    failing,
)
from .seen import Observer
from .verdicts import Causes

if TYPE_CHECKING:
    import onnx

    from ..model import Model

BlobRun = Callable[[Feeds], Mapping[str, npt.NDArray[Any]]]

PATIENCE = 20.0
"""Seconds after which no further synthetic inputs are run; a report lists those that were."""
BROKEN_SHARE = 0.1
"""An output that is off by more than this share of its range is broken, not merely inexact."""
BROKEN_OFF = 0.1
"""The same for outputs that jump: this share of the values comes out differently."""


def check(
    model: Model,
    *,
    frames: Iterable[Feeds] | None = None,
    blob_run: BlobRun | None = None,
    stage_ranges: Sequence[StageRange] | None = None,
    progress: Callable[[str], None] | None = None,
) -> CheckReport:
    """Bounds, ranges seen, FP16 errors and constants of a model.

    Args:
        model: the graph, simplified or not; specs give the inputs' dtypes and ranges.
        frames: the user's inputs, one mapping of name to array each, run after the synthetic ones.
        blob_run: runs the compiled blob on one set of inputs (U8 arrays where the blob takes U8)
            and returns its outputs.
        stage_ranges: bounds of the compiled stages.
        progress: called with a label after each set of inputs.

    Raises:
        ModelError: the graph is not valid, or does not run in ONNX Runtime.
        FrameError: frames that do not fit the inputs.
    """
    specs = model.inputs
    chosen: Iterable[Frame] = _within(inputs.standard(specs), PATIENCE)
    if frames is not None:
        chosen = chain(chosen, inputs.given(frames, specs))
    return _check(model, chosen, ideals=True, blob_run=blob_run, stages=stage_ranges or (),
                  progress=progress)  # fmt: skip


def _within(frames: Iterable[Frame], seconds: float) -> Iterator[Frame]:
    """The first frames, at least two, as long as the time lasts."""
    began = time.perf_counter()
    for number, frame in enumerate(frames):
        if number >= 2 and time.perf_counter() - began > seconds:
            return
        yield frame


def quick_check(model: Model) -> CheckReport:
    """The part that every build runs: bounds, and a run on noise and on the maximum.

    Raises:
        ModelError: as `check`.
    """
    return _check(model, list(inputs.quick(model.inputs)), ideals=False)


def _check(
    model: Model, frames: Iterable[Frame], *, ideals: bool, blob_run: BlobRun | None = None,
    stages: Sequence[StageRange] = (), progress: Callable[[str], None] | None = None,
) -> CheckReport:  # fmt: skip
    network = read(model.proto)
    full = analyse(network, model.inputs, half=False)
    half = analyse(network, model.inputs, half=True)
    factors = {spec.name: spec.decoding.factor for spec in model.outputs}
    observer = Observer(network, ideals=ideals, factors=factors)
    blob = _BlobRuns(network, model.inputs, observer, blob_run)
    recording = observer.watch(blob.along(frames), progress=progress)
    lines = source_lines(model.proto)
    lost = digits.lost(network, recording)
    causes = Causes(network, full, half, recording)
    tensors = [
        causes.report(node, name, lines.get(name, ""), lost.get(name, 0.0))
        for node in network.steps()
        for name in node.outputs
        if name and network.is_float(name)
    ]
    changed = constants.survey(network, full)
    errors = [_error(e, "fp16") for e in recording.outputs.values()]
    errors += [_error(e, "blob") for e in blob.errors.values()]
    tensors += [_stage(s, bool(blob.errors)) for s in stages if not s.safe]
    verdict, proven = _verdict(tensors, errors, changed)
    return CheckReport(
        verdict=verdict,
        proven=proven,
        tensors=tuple(sorted(tensors, key=lambda t: t.harm)),
        constants=changed,
        errors=tuple(errors),
        frames=tuple(recording.labels),
        notes=full.notes,
    )


def source_lines(proto: onnx.ModelProto) -> dict[str, str]:
    """The user's source line of each tensor, as far as the graph carries it."""
    from ..graph import lines

    return {name: str(line) for name, line in lines.lookup(proto).items()}


def _verdict(
    tensors: Sequence[TensorReport],
    errors: Sequence[ErrorReport],
    changed: Sequence[constants.ConstantReport],
) -> tuple[Verdict, bool]:
    verdicts = {t.verdict for t in tensors}
    proven = verdicts <= {PROVEN}
    failed = failing(errors)
    broken = any(e.lost or _far_off(e) for e in failed)
    if OVERFLOWS in verdicts or broken:
        return "broken", proven
    if MAY in verdicts or failed or any(c.harmful for c in changed):
        return "at risk", proven
    return "safe", proven


def _far_off(error: ErrorReport) -> bool:
    return error.off_share > BROKEN_OFF if error.stepped else error.share > BROKEN_SHARE


def _stage(stage: StageRange, ran: bool) -> TensorReport:
    """A compiled stage that may leave the range."""
    return TensorReport(
        name=f"stage {stage.index} {stage.type_name}", op=stage.type_name, line=stage.label,
        verdict=SEEN if ran else MAY, bounds=stage.bounds, attained=False, seen=None,
        subnormal_share=0.0, error=0.0, digits_lost=0.0,
        cause="" if stage.origin else "an earlier stage",
        advice="the compiled form of the graph may leave FP16's range here",
    )  # fmt: skip


def _error(error: OutputError, run: Literal["fp16", "blob"]) -> ErrorReport:
    return ErrorReport(
        name=error.name,
        run=run,
        low=error.low,
        high=error.high,
        largest=error.largest,
        share=error.share,
        p999_ulps=error.p999_ulps,
        off_share=error.off_share,
        stepped=error.steps,
        lost=error.lost,
        passes=error.passes,
        where=error.where,
    )


class _BlobRuns:
    """Runs the blob beside the graph, on the same inputs."""

    def __init__(
        self, network: Network, specs: Sequence[TensorSpec], observer: Observer,
        run: BlobRun | None,
    ) -> None:  # fmt: skip
        self.network, self.observer, self.run = network, observer, run
        self.dtypes = {spec.name: NUMPY_NAMES[spec.dtype] for spec in specs}
        self.errors: dict[str, OutputError] = {}

    def along(self, frames: Iterable[Frame]) -> Iterable[Frame]:
        """The frames, each run through the blob on its way."""
        for frame in frames:
            if self.run is not None:
                self._compare(frame)
            yield frame

    def _compare(self, frame: Frame) -> None:
        assert self.run is not None
        feeds = {
            n: np.asarray(v).astype(self.dtypes.get(n, "float32")) for n, v in frame.feeds.items()
        }
        got = self.run(feeds)
        names = [n for n in self.network.outputs if n in got]
        wanted = self.observer.full.run(frame.feeds, names)
        for name in names:
            jumps = name in self.observer.stepped
            error = self.errors.setdefault(name, OutputError(name, jumps))
            scale = self.observer.factors.get(name, 1.0)
            reference = np.asarray(wanted[name], np.float64) / scale
            error.add(reference, np.asarray(got[name], np.float64) / scale, frame.label)
