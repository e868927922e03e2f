"""The result of a check: a verdict first, then the tensors that matter in order of harm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .constants import ConstantReport
from .plain import finite

Verdict = Literal["safe", "at risk", "broken"]
TensorVerdict = Literal[
    "overflows on what was seen", "may overflow", "safe on what was seen", "safe for every input"
]
OVERFLOWS: TensorVerdict = "overflows on what was seen"
MAY: TensorVerdict = "may overflow"
SEEN: TensorVerdict = "safe on what was seen"
PROVEN: TensorVerdict = "safe for every input"
_ORDER: dict[str, int] = {OVERFLOWS: 0, MAY: 1, SEEN: 2, PROVEN: 3}


@dataclass(frozen=True)
class TensorReport:
    """One tensor in FP16.

    Attributes:
        name: the tensor; for a stage of the blob, "stage 7 Power".
        op: the operator or stage that makes it.
        line: the user's source line, "file.py:41  ixx * iyy"; empty if unknown.
        verdict: see `TensorVerdict`.
        bounds: range of the function's values for every input, computed in FP32; may be infinite.
        attained: whether some input reaches these bounds.
        seen: range of the values seen; None if nothing was run.
        subnormal_share: share of the seen values below 2^-14, which FP16 holds with few digits.
        error: FP16 error of the tensor as a share of its root mean square.
        digits_lost: decimal digits that this operator loses beyond what came in.
        cause: the tensor in which the trouble begins, if that is another one.
        advice: what to change, one sentence; empty if nothing.
    """

    name: str
    op: str
    line: str
    verdict: TensorVerdict
    bounds: tuple[float, float]
    attained: bool
    seen: tuple[float, float] | None
    subnormal_share: float
    error: float
    digits_lost: float
    cause: str
    advice: str

    @property
    def harm(self) -> tuple[float, ...]:
        """Sort key: the most harmful first; of those that leave the range, the earliest."""
        order = _ORDER[self.verdict]
        if self.verdict in (OVERFLOWS, MAY):
            return (order, 1.0 if self.cause else 0.0)
        return (order, 1.0 if self.cause else 0.0, -min(self.error, 1e3), -self.subnormal_share)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form; infinite bounds become None."""
        return finite(self.__dict__)


@dataclass(frozen=True)
class ErrorReport:
    """The error of one output against FP32.

    Attributes:
        name: the output.
        run: "fp16" (every operator's result rounded) or "blob" (the compiled blob).
        low, high: the output's range.
        largest: the largest error.
        share: the largest error as a share of the range.
        p999_ulps: 99.9th percentile of the error in units of the last place of FP16.
        off_share: share of the values that are off by more than the tolerance.
        stepped: whether it passes through a comparison or rounding, so that few values may be off.
        lost: values that became infinite or NaN.
        passes: whether it is within the tolerance of verification.
        where: the frame with the largest error.
    """

    name: str
    run: Literal["fp16", "blob"]
    low: float
    high: float
    largest: float
    share: float
    p999_ulps: float
    off_share: float
    stepped: bool
    lost: int
    passes: bool
    where: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form; numbers that are not finite become None."""
        return finite(self.__dict__)


def failing(errors: Sequence[ErrorReport]) -> list[ErrorReport]:
    """The errors that count.

    Of an output of the blob that is right, the rounding of the graph as written does not: the
    compiled form is another one (a constant grid becomes gathers, factors become one), and it is
    what the camera runs. Values that are lost count in either.
    """
    right = {e.name for e in errors if e.run == "blob" and e.passes}
    return [
        e for e in errors
        if not e.passes and (e.lost or e.run == "blob" or e.name not in right)
    ]  # fmt: skip


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        verdict: "safe", "at risk" or "broken".
        proven: whether every tensor is safe for every input, not only on what was seen.
        tensors: all tensors of the graph, then stages of the blob, the most harmful first.
        constants: constants that FP16 or the compiler changes, the most harmful first.
        errors: errors of the outputs.
        frames: labels of the inputs that were run.
        notes: what had to be assumed.
    """

    verdict: Verdict
    proven: bool
    tensors: tuple[TensorReport, ...]
    constants: tuple[ConstantReport, ...]
    errors: tuple[ErrorReport, ...]
    frames: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def headline(self) -> str:
        """The verdict, and in a few words why."""
        places = list(self.matter())
        if self.verdict == "safe" or not places:
            return self.summary
        one = len(places) == 1
        leave = "may leave" if self.verdict == "at risk" else "leaves" if one else "leave"
        who = f"{'one tensor' if one else f'{len(places)} tensors'} {leave}"
        where = places[0].line or f"{places[0].op} {places[0].name!r}"
        return f"{self.verdict}: {who} FP16's range, {'' if one else 'the first '}at {where}"

    @property
    def summary(self) -> str:
        """The verdict in one sentence."""
        if self.verdict == "safe":
            if self.proven:
                return "safe: no value can leave FP16's range, whatever the input"
            return (
                f"safe on the {len(self.frames)} inputs that were run; not proven for every input"
            )
        worst = next(iter(self.matter()), None)
        first = f": {worst.advice}" if worst is not None and worst.advice else ""
        if worst is not None and worst.line:
            first = f" at {worst.line}{first}"
        if worst is None:
            failed = failing(self.errors)
            if failed:
                first = f": {_inexact(failed[0])}{self._where_digits_go()}"
            elif self.constants:
                first = f": {self.constants[0].advice}"
        return f"{self.verdict}{first}"

    @property
    def blob_is_right(self) -> bool:
        """Whether the compiled blob was run, and was right wherever it was run."""
        blob = [e for e in self.errors if e.run == "blob"]
        return bool(blob) and all(e.passes for e in blob)

    def _where_digits_go(self) -> str:
        """The operator that loses the most digits, if one stands out."""
        worst = max(self.tensors, key=lambda t: t.digits_lost, default=None)
        if worst is None or worst.digits_lost < 0.25:
            return ""
        where = f" at {worst.line}" if worst.line else ""
        return f"; most digits are lost in {worst.op} {worst.name!r}{where}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for everything that matters, the most harmful first."""
        return (*map(_sentence, self.matter()), *self.inexact)

    @property
    def inexact(self) -> tuple[str, ...]:
        """What is not overflow: outputs outside the tolerance, and constants that are lost."""
        found = [_inexact(e) for e in failing(self.errors) if not e.lost]
        found += [
            f"the constant {c.example:g} of {c.op} {c.tensor!r} becomes {c.becomes:g}: {c.advice}"
            for c in self.constants
            if c.harmful
        ]
        return tuple(found)

    def matter(self) -> Iterator[TensorReport]:
        """The tensors to look at: where trouble begins, not where it arrives."""
        for tensor in self.tensors:
            if tensor.verdict in (OVERFLOWS, MAY) and not tensor.cause:
                yield tensor

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "verdict": self.verdict,
            "proven": self.proven,
            "summary": self.summary,
            "tensors": [t.to_dict() for t in self.tensors],
            "constants": [c.to_dict() for c in self.constants],
            "errors": [e.to_dict() for e in self.errors],
            "frames": list(self.frames),
            "notes": list(self.notes),
        }


def _inexact(error: ErrorReport) -> str:
    run = "the blob" if error.run == "blob" else "FP16"
    if error.stepped:
        return f"{error.off_share:.1%} of output {error.name!r} come out differently in {run}"
    return (
        f"output {error.name!r} is up to {error.share:.2%} of its range off in {run}, "
        f"{error.off_share:.1%} of it noticeably"
    )


def _sentence(tensor: TensorReport) -> str:
    where = f"{tensor.line}: " if tensor.line else ""
    return f"{where}{tensor.op} {tensor.name!r} {tensor.verdict}; {tensor.advice}"


@dataclass(frozen=True)
class StageRange:
    """Bounds of what one stage of a compiled blob writes; made from the blob, read here.

    Attributes:
        index: position of the stage; injected stages have their host's.
        type_name: the stage's type.
        bounds: range of what it stores, FP16 rounding included; may be infinite.
        nan: whether it may store NaN.
        inner: for a hardware stage, the largest sum before its output scale; 0 elsewhere.
        origin: whether the range is left here, all inputs of the stage being within it.
        label: where the stage comes from, if known.
    """

    index: int
    type_name: str
    bounds: tuple[float, float]
    nan: bool
    inner: float
    origin: bool
    label: str = ""

    @property
    def safe(self) -> bool:
        """Whether nothing infinite or NaN can be stored."""
        return not self.nan and max(abs(self.bounds[0]), abs(self.bounds[1])) < float("inf")
