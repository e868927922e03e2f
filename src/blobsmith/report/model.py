"""All that a report shows, as plain frozen data. `to_dict` is the JSON that the page carries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from .drawing import Drawing, plain

REPORT_VERSION = 1
Outcome = Literal["passed", "failed", "unverified"]


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        id: unique in the page.
        title: e.g. "FP32".
        detail: fainter, after the title.
        alt: what it shows, for people who do not see it.
        width, height: as shown, in pixels; the picture may be stored smaller.
        uri: "data:image/png;base64,..."; not part of the JSON.
    """

    id: str
    title: str
    detail: str
    alt: str
    width: int
    height: int
    uri: str


@dataclass(frozen=True)
class Numbers:
    """An input or output that is no picture: its first values, and how many there are."""

    title: str
    count: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class InputView:
    """What went in.

    Attributes:
        name: of the input.
        type: e.g. "u8 1x3x300x300".
        note: colour order, mean, scale, as the function wants them; or "".
        picture, numbers: one of them.
    """

    name: str
    type: str
    note: str
    picture: Picture | None = None
    numbers: Numbers | None = None


@dataclass(frozen=True)
class OutputView:
    """What came out, in FP32 and from the emulated blob.

    Attributes:
        name, type: of the output.
        reference, actual, difference: pictures; None where it is no picture or not known.
        reference_numbers, actual_numbers: for what is no picture.
        largest: largest difference in this frame, in the function's own values; None: unknown.
        amplified: the difference is drawn times this; None: there is none.
        low, high: range of the reference in this frame (of the blob's output without one).
        note: how the values were made visible, or what is wrong with them.
    """

    name: str
    type: str
    reference: Picture | None = None
    actual: Picture | None = None
    difference: Picture | None = None
    reference_numbers: Numbers | None = None
    actual_numbers: Numbers | None = None
    largest: float | None = None
    amplified: float | None = None
    low: float = 0.0
    high: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class FrameView:
    """One set of inputs and what became of it; `reference` says what the FP32 side is."""

    label: str
    reference: str
    inputs: tuple[InputView, ...]
    outputs: tuple[OutputView, ...]


@dataclass(frozen=True)
class GraphView:
    """One graph along the road: a key, a title, and the drawing."""

    key: str
    title: str
    drawing: Drawing


@dataclass(frozen=True)
class RewriteView:
    """A rule that was applied, all its applications together.

    Attributes:
        rule, why, exactness, variant: as the rule says.
        count: how often.
        lines: the user's lines or nodes concerned, at most a few.
    """

    rule: str
    why: str
    exactness: str
    variant: str
    count: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class RangeView:
    """One tensor in FP16.

    Attributes:
        name, op, line: as in the check's report.
        position: place of its node along the graph, 0 the first.
        status: "over" (overflows on what was seen), "may" (may overflow), "seen" (safe on what
            was seen), "proven" (safe for every input).
        verdict: the same in words.
        seen: range seen; None: not run.
        bound: largest magnitude for any input; None: not bounded.
        subnormal: share of the seen values below 2^-14.
        cause: the tensor where the trouble begins, if another.
        advice: what to change.
    """

    name: str
    op: str
    line: str
    position: int
    status: Literal["over", "may", "seen", "proven"]
    verdict: str
    seen: tuple[float, float] | None
    bound: float | None
    subnormal: float
    cause: str
    advice: str

    @property
    def peak(self) -> float | None:
        """Largest magnitude seen."""
        return max(map(abs, self.seen)) if self.seen is not None else None


@dataclass(frozen=True)
class RangesView:
    """FP16 ranges of the compiled graph: the verdict, and each tensor, the most harmful first.

    Attributes:
        verdict: "safe", "at risk" or "broken".
        summary: in one sentence.
        frames: labels of what was run.
        tensors: see `RangeView`.
        constants: sentences about constants that FP16 changes.
        notes: what had to be assumed.
    """

    verdict: str
    summary: str
    frames: tuple[str, ...]
    tensors: tuple[RangeView, ...]
    constants: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageView:
    """One stage of the blob; an injected one is run beside the stage before it.

    Attributes:
        index, injected, name, unit, shaves: as `inspect` lists them.
        start_ms, ms: predicted, one after another: the prediction knows of no overlap.
        ddr_read, ddr_written, cmx: bytes of operands by place.
        detail: operation and parameters in words.
    """

    index: int
    injected: bool
    name: str
    unit: Literal["hardware", "software", "dma"]
    shaves: int
    start_ms: float
    ms: float
    ddr_read: int
    ddr_written: int
    cmx: int
    detail: str


@dataclass(frozen=True)
class ChipView:
    """The blob on the chip: sizes in bytes, predicted times in milliseconds.

    Attributes:
        shaves, cmx_slices: that it was compiled for.
        cmx, cmx_used: bytes of the slices, and the highest byte that a stage uses.
        constants, scratch, inputs, outputs: bytes in DDR.
        predicted_ms: of one frame; `engine_ms` and so on are its shares.
        caveats: what the prediction does not know.
        stages: in order.
    """

    shaves: int
    cmx_slices: int
    cmx: int
    cmx_used: int
    constants: int
    scratch: int
    inputs: int
    outputs: int
    predicted_ms: float
    engine_ms: float
    memory_ms: float
    activation_ms: float
    dispatch_ms: float
    caveats: tuple[str, ...]
    stages: tuple[StageView, ...]


@dataclass(frozen=True)
class Snippet:
    """Code to copy: a title, a language, the text."""

    title: str
    language: str
    code: str


@dataclass(frozen=True)
class StepView:
    """One step of the road."""

    name: str
    seconds: float
    summary: str


@dataclass(frozen=True)
class OutputCheck:
    """One output's verification over all frames, as `verify.OutputComparison`."""

    name: str
    passed: bool
    reason: str
    low: float
    high: float
    largest: float
    largest_ulp: float
    typical: float
    typical_ulp: float
    mismatched: float
    thresholded: bool

    @property
    def share(self) -> float:
        """The largest error as a share of the reference's range; 0 where that is one value."""
        return self.largest / (self.high - self.low) if self.high > self.low else 0.0


@dataclass(frozen=True)
class ReportData:
    """Everything on the page.

    Attributes:
        title: the model's short name.
        origin: the source as the user gave it.
        kind: "blob", "superblob" or "archive".
        file: name of the file written, or "".
        size, sha256: of that file.
        outcome: of the verification; `verdict` says it in one sentence.
        cached: taken from the cache: what only a fresh build knows is missing.
        inputs, outputs: the specs, JSON-ready.
        steps, options, versions, hashes: how it was built.
        warnings, notes: sentences of the build, for the user to act on, and to know.
        checks: each output's verification.
        frame: None if nothing could be run.
        graphs: as exported, simplified, compiled; what is known of them.
        rewrites, rejected: rules applied, and (rule, where, reason) not applied.
        ranges: None if FP16 could not be checked.
        repairs: what was done to keep values within FP16's range, one sentence each.
        chip: the blob on the chip; None where the archive holds no blob.
        snippets: how to load it.
    """

    title: str
    origin: str
    kind: str
    file: str
    size: int
    sha256: str
    outcome: Outcome
    verdict: str
    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]
    chip: ChipView | None
    cached: bool = False
    steps: tuple[StepView, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    checks: tuple[OutputCheck, ...] = ()
    frame: FrameView | None = None
    graphs: tuple[GraphView, ...] = ()
    rewrites: tuple[RewriteView, ...] = ()
    rejected: tuple[tuple[str, str, str], ...] = ()
    ranges: RangesView | None = None
    repairs: tuple[str, ...] = ()
    snippets: tuple[Snippet, ...] = ()
    version: int = REPORT_VERSION

    @property
    def seconds(self) -> float:
        """Time of all steps."""
        return sum(step.seconds for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: pictures without their bytes, drawings without coordinates.

        Numbers that are not finite become "inf", "-inf" and "nan".
        """
        out: dict[str, Any] = _plain(self)
        out["seconds"] = self.seconds
        return out


def _plain(value: Any) -> Any:
    if isinstance(value, Drawing):
        return plain(value)
    if is_dataclass(value) and not isinstance(value, type):
        names = (item.name for item in fields(value) if item.name != "uri")
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
