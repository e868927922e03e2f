"""Is the blob right? Its outputs on the emulator against the user's own FP32 function.

The tolerance: for each output, finite wherever the reference is; the 99.9th percentile of the
error at most the larger of 4 FP16 units in the last place and 0.1 % of the output's range; the
largest error at most 1 % of the range. Of thresholded outputs (masks, and what passes through a
comparison or a rounding) at most 0.5 % of the values may differ by more than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import CheckFailed
from .tensors import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

ULP_LIMIT = 4.0
TYPICAL_SHARE = 1e-3
LARGEST_SHARE = 1e-2
MISMATCH_LIMIT = 5e-3
PERCENTILE = 99.9
SMALLEST_MASK = 64
_LOOK = "run `blobsmith check` on the source to see where FP16 loses it"

STEP_OPERATORS = frozenset(
    ["Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Floor", "Ceil", "Round", "Sign",
     "Mod", "ArgMax", "ArgMin", "TopK", "NonZero", "Not", "Xor", "IsNaN", "IsInf", "OneHot"]
)  # fmt: skip


@dataclass(frozen=True)
class OutputComparison:
    """How far one output is from the reference, over all frames.

    Attributes:
        name: the output.
        passed: within the tolerance.
        reason: why not, in one sentence; or a caveat when it passed.
        low, high: range of the reference.
        largest: largest error, in value.
        largest_ulp: largest error, in FP16 units in the last place of the reference.
        typical: 99.9th percentile of the error, in value.
        typical_ulp: the same in FP16 units in the last place.
        thresholded: compared by the share of differing values.
        mismatched: share of values that differ by more than the typical limit.
        non_finite: values that are not finite where the reference is.
    """

    name: str
    passed: bool
    reason: str
    low: float
    high: float
    largest: float
    largest_ulp: float
    typical: float
    typical_ulp: float
    thresholded: bool
    mismatched: float
    non_finite: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Verification:
    """The verdict over all outputs.

    Attributes:
        outputs: one comparison for each output.
        frames: number of input sets that were run.
        warnings: what the emulator warned of, as sentences.
    """

    outputs: tuple[OutputComparison, ...]
    frames: int
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Every output is within the tolerance."""
        return all(output.passed for output in self.outputs)

    def worst(self) -> str:
        """How far the worst output is off, in a few words."""
        parts = []
        plain = [o for o in self.outputs if not o.thresholded]
        if plain:
            share = max(o.largest / (o.high - o.low) if o.high > o.low else 0.0 for o in plain)
            parts.append(f"off by {share:.2%} of the range at most" if share else "no error")
        stepped = [o for o in self.outputs if o.thresholded]
        if stepped:
            parts.append(f"{max(o.mismatched for o in stepped):.2%} of pixels differ")
        return ", ".join(parts)

    def require(self, where: str = "", remedy: str = _LOOK) -> None:
        """Raises CheckFailed if an output is outside the tolerance."""
        failed = [output for output in self.outputs if not output.passed]
        if failed:
            raise CheckFailed(
                f"the blob's output {failed[0].name!r} is not right: {failed[0].reason}",
                where=where,
                remedy=remedy,
            )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "passed": self.passed,
            "frames": self.frames,
            "outputs": [output.to_dict() for output in self.outputs],
            "warnings": list(self.warnings),
        }


def compare_output(
    name: str,
    reference: Sequence[Array],
    actual: Sequence[Array],
    *,
    thresholded: bool = False,
    factor: float = 1.0,
) -> OutputComparison:
    """Compares one output over all frames.

    Args:
        name: the output's name.
        reference: FP32 results of the user's function, one array a frame.
        actual: the blob's results of the same shapes.
        thresholded: the output passes through a comparison or rounding. An output whose reference
            takes at most two values counts as thresholded in any case.
        factor: the blob's output is the function's result times this; undone before comparing.
    """
    import numpy as np

    expected = np.concatenate([np.asarray(r, np.float64).ravel() for r in reference])
    got = np.concatenate([np.asarray(a, np.float64).ravel() for a in actual])
    if factor != 1.0:
        got /= factor
    if expected.shape != got.shape:
        return _failed(name, f"it has {got.size} values, the function gives {expected.size}")
    finite = np.isfinite(expected)
    if not finite.any():
        return _failed(name, "the function itself gives no finite value on any frame")
    if not finite.all():
        expected, got = expected[finite], got[finite]
    sound = np.isfinite(got)
    bad = got.size - int(np.count_nonzero(sound))
    if bad:
        got = np.where(sound, got, 0.0)
    low, high = float(expected.min()), float(expected.max())
    span = high - low
    error = np.abs(got - expected)
    ulp = fp16_ulp(expected)
    in_ulps = error / ulp
    # over both limits is over the larger one
    mismatched = float(np.mean((in_ulps > ULP_LIMIT) & (error > TYPICAL_SHARE * span)))
    mask = thresholded or (expected.size >= SMALLEST_MASK and _two_values(expected, low, high))
    largest = float(error.max())
    typical = _percentile(error, PERCENTILE)
    reason = ""
    if bad:
        reason = f"{bad} of {got.size} values are inf or NaN where the function is finite"
    elif span == 0:
        if largest > ULP_LIMIT * float(ulp.max()):
            reason = f"the function gives {low:.6g} everywhere, the blob is off by {largest:.4g}"
    elif mask:
        if mismatched > MISMATCH_LIMIT:
            reason = f"{mismatched:.2%} of the values differ, at most {MISMATCH_LIMIT:.1%} may"
    elif mismatched > 1 - PERCENTILE / 100:
        reason = (
            f"{mismatched:.2%} of the values are off by more than {ULP_LIMIT:.0f} FP16 units and "
            f"{TYPICAL_SHARE:.1%} of the range {low:.4g}..{high:.4g}; at most 0.1 % may"
        )
    elif largest > LARGEST_SHARE * span:
        reason = (
            f"the largest error {largest:.4g} is {largest / span:.2%} of the range "
            f"{low:.4g}..{high:.4g}; at most {LARGEST_SHARE:.0%} may"
        )
    passed = not reason
    if passed and span == 0:
        reason = (
            "the function gives the same value everywhere on these frames: little is proven; give "
            "the range of an fp16 input (NAME=SHAPE:fp16:LOW..HIGH), or frames of your own"
        )
    return OutputComparison(
        name=name, passed=passed, reason=reason, low=low, high=high, largest=largest,
        largest_ulp=float(in_ulps.max()), typical=typical,
        typical_ulp=_percentile(in_ulps, PERCENTILE), thresholded=bool(mask),
        mismatched=mismatched, non_finite=bad,
    )  # fmt: skip


def _percentile(values: Array, percent: float) -> float:
    """`np.percentile`, which loads masked arrays (0.05 s) to sort its one percentage."""
    import numpy as np

    place = (values.size - 1) * percent / 100
    low = int(place)
    high = min(low + 1, values.size - 1)
    below, above = np.partition(values, (low, high))[[low, high]]
    if not np.isfinite(above):
        return float(above if place > low else below)
    return float(below + (above - below) * (place - low))


def _two_values(values: Array, low: float, high: float) -> bool:
    """Whether every value is the smallest or the largest one."""
    # most arrays fail on their first values; sorting them all for that would take long
    head = values[:SMALLEST_MASK]
    if not ((head == low) | (head == high)).all():
        return False
    return bool(((values == low) | (values == high)).all())


def compare(
    outputs: Sequence[TensorSpec],
    reference: Iterable[Mapping[str, Array]],
    actual: Iterable[Mapping[str, Array]],
    *,
    thresholded: frozenset[str] = frozenset(),
    warnings: Sequence[str] = (),
) -> Verification:
    """Compares all outputs over all frames.

    Args:
        outputs: what is compared; `decoding.factor` is undone, `decoding.kind` "mask" counts as
            thresholded.
        reference: results of the user's function, one mapping a frame.
        actual: the blob's results for the same frames.
        thresholded: names of outputs that pass through a comparison or rounding.
        warnings: sentences to carry along.
    """
    wanted, got = list(reference), list(actual)
    comparisons = tuple(
        compare_output(
            spec.name,
            [frame[spec.name] for frame in wanted],
            [frame[spec.name] for frame in got],
            thresholded=spec.name in thresholded or spec.decoding.kind == "mask",
            factor=spec.decoding.factor,
        )
        for spec in outputs
    )
    return Verification(comparisons, len(wanted), tuple(warnings))


def fp16_ulp(values: Array) -> Array:
    """FP16 unit in the last place at each value: 2^(e-10), never below that of 2^-14."""
    import numpy as np

    magnitude = np.maximum(np.abs(values), 2.0**-14)
    _, exponent = np.frexp(magnitude)
    unit: Array = np.ldexp(1.0, exponent - 11)
    return unit


def thresholded_outputs(proto: onnx.ModelProto) -> frozenset[str]:
    """Names of the outputs that depend on a comparison, a rounding or an index."""
    stepped: set[str] = set()
    for node in proto.graph.node:
        if node.op_type in STEP_OPERATORS or any(name in stepped for name in node.input):
            stepped.update(node.output)
    return frozenset(o.name for o in proto.graph.output if o.name in stepped)


def _failed(name: str, reason: str) -> OutputComparison:
    nan = float("nan")
    return OutputComparison(name, False, reason, nan, nan, nan, nan, nan, nan, False, 1.0, 0)
