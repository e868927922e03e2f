"""Whether two graphs compute the same: ONNX Runtime as the FP32 reference, and the frames to try.

Every step that changes a graph (simplification, opset lowering, rewriting) is held to this: both
versions run on inputs that make the outputs vary, and are compared element by element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError, OperatorError
from .probes import KINDS, probe_feeds

if TYPE_CHECKING:
    import onnx

__all__ = ["KINDS", "Difference", "Session", "compare", "max_difference", "probe_feeds", "run"]

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Function = Callable[[Feeds], Mapping[str, Array]]

RTOL = 1e-4
"""Accepted FP32 rounding: an error of this part of the output's range over all the frames."""
STRAYS = 1e-4
"""Accepted share of elements beyond it: a comparison that falls the other way on a last bit."""


class Session:
    """An ONNX graph in ONNX Runtime on the CPU, loaded once and run often.

    Args:
        model: a ModelProto or its bytes.
        optimise: let ONNX Runtime fuse and fold; off where each operator is to be run as written.
        threads: threads of one operator.

    Attributes:
        inputs, outputs: names in graph order.

    Raises:
        OperatorError: ONNX Runtime lacks an operator of the graph.
        ModelError: it cannot load the graph for another reason.
    """

    def __init__(
        self, model: onnx.ModelProto | bytes, *, optimise: bool = True, threads: int = 1
    ) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
        )
        data = model if isinstance(model, bytes) else model.SerializeToString()
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise _load_error(error) from error
        self._types = {i.name: _numpy_type(i.type) for i in self._session.get_inputs()}
        self.inputs = tuple(self._types)
        self.outputs = tuple(o.name for o in self._session.get_outputs())

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Runs the graph once.

        Args:
            feeds: one array an input, cast to the input's type; further names are ignored.
            outputs: which outputs, all of them if None.

        Raises:
            ModelError: an input is missing, has another shape, or an operator fails.
        """
        missing = [name for name in self.inputs if name not in feeds]
        if missing:
            raise ModelError(f"no value was given for the input {missing[0]!r}")
        given = {
            name: np.ascontiguousarray(feeds[name]).astype(kind, copy=False)
            for name, kind in self._types.items()
        }
        wanted = list(self.outputs if outputs is None else outputs)
        try:
            values = self._session.run(wanted, given)
        except Exception as error:
            raise ModelError(
                f"ONNX Runtime cannot run the graph: {_first_line(error)}",
                remedy="check the shapes of the inputs",
            ) from error
        return dict(zip(wanted, values, strict=True))


def run(
    model: onnx.ModelProto | bytes, feeds: Feeds, *, optimise: bool = True, threads: int = 1
) -> dict[str, Array]:
    """Runs a graph once in ONNX Runtime: output name -> array. See `Session` for the errors."""
    return Session(model, optimise=optimise, threads=threads).run(feeds)


# ---------------------------------------------------------------------- comparing


@dataclass(frozen=True)
class Difference:
    """How far an output is from its reference.

    Attributes:
        output: its name; "" if there are no outputs.
        largest: largest absolute error where both are finite.
        span: range (max - min) of the reference's finite values, over all the frames.
        outside: elements beyond the tolerance, or finite in one of the two only.
        elements: elements compared.
        reason: why it cannot be compared at all (shape, missing); "" otherwise.
    """

    output: str
    largest: float
    span: float
    outside: int
    elements: int
    reason: str = ""

    @property
    def same(self) -> bool:
        """Whether the difference is FP32 rounding."""
        return not self.reason and self.outside <= int(STRAYS * self.elements)

    def __str__(self) -> str:
        if self.reason:
            return f"output {self.output!r}: {self.reason}"
        share = 100 * self.outside / max(self.elements, 1)
        return (
            f"output {self.output!r} differs by up to {self.largest:.4g} over a range of "
            f"{self.span:.4g} ({share:.3g} % of the elements beyond rounding)"
        )


def max_difference(
    expected: Mapping[str, Array] | Sequence[Mapping[str, Array]],
    actual: Mapping[str, Array] | Sequence[Mapping[str, Array]],
    *,
    rtol: float = RTOL,
    noise: Sequence[Mapping[str, Array]] | None = None,
) -> Difference:
    """The output that differs most, over one frame or several.

    Args:
        expected: output name -> reference array; one mapping, or one a frame.
        actual: the same of what is tested; compared by name.
        rtol: tolerance as a part of the output's range over all the frames.
        noise: per frame and output, how much the reference itself moves when its inputs move in
            their last bits; added to the tolerance tenfold, at least the frame's median.
    """
    wanted = [expected] if isinstance(expected, Mapping) else list(expected)
    got = [actual] if isinstance(actual, Mapping) else list(actual)
    worst = Difference("", 0.0, 0.0, 0, 0)
    for name in wanted[0] if wanted else ():
        found = _compare(
            name,
            [np.asarray(frame[name]) for frame in wanted],
            [frame.get(name) for frame in got],
            rtol,
            [np.asarray(frame[name]) for frame in noise] if noise else None,
        )
        if _badness(found) > _badness(worst) or not worst.output:
            worst = found
    return worst


def _badness(d: Difference) -> tuple[bool, bool, float, float]:
    share = d.outside / max(d.elements, 1)
    return (bool(d.reason), not d.same, share, d.largest / (d.span or 1.0))


def _compare(
    name: str,
    expected: list[Array],
    actual: Sequence[Array | None],
    rtol: float,
    noise: list[Array] | None,
) -> Difference:
    finite = [e if (f := np.isfinite(e)).all() else e[f] for e in expected]
    filled = [f for f in finite if f.size]
    low = min((float(f.min()) for f in filled), default=0.0)
    high = max((float(f.max()) for f in filled), default=0.0)
    span = high - low
    # a constant output has no range: measure it by its own size
    scale = span if span > 1e-6 * max(abs(low), abs(high)) else max(abs(low), abs(high))
    outside, elements, largest = 0, 0, 0.0
    for index, (want, have) in enumerate(zip(expected, actual, strict=True)):
        if have is None:
            return Difference(name, 0.0, span, 0, 0, "it is missing")
        if want.shape != have.shape:
            reason = f"its shape is {have.shape} in place of {want.shape}"
            return Difference(name, 0.0, span, 0, 0, reason)
        w, h = want.astype(np.float64), np.asarray(have).astype(np.float64)
        both = np.isfinite(w) & np.isfinite(h)
        with np.errstate(invalid="ignore"):
            error = np.where(both, np.abs(w - h), 0.0)
        limit: Any = rtol * scale + 1e-30
        if noise is not None:
            own = np.nan_to_num(noise[index], nan=np.inf, posinf=np.inf)
            limit = limit + 10 * np.maximum(own, np.median(own))
        bad = error > limit
        bad |= ~both & ~((w == h) | (np.isnan(w) & np.isnan(h))) & np.isfinite(limit)
        outside += int(bad.sum())
        elements += w.size
        largest = max(largest, float(error.max(initial=0.0)))
    return Difference(name, largest, span, outside, elements)


def compare(
    reference: Function, candidate: Function, feeds: Sequence[Feeds], *, rtol: float = RTOL
) -> Difference:
    """Runs two functions on the same frames and returns the output that differs most.

    Where they differ by more than rounding, the reference is run once more with its inputs moved
    in their last bits: what moves by itself there (a variance of a flat image, a quotient of two
    zeros) is not held against the candidate.

    Args:
        reference, candidate: feeds -> output name -> array, e.g. `Session.run`.
        feeds: the frames, from `probe_feeds`.
        rtol: see `max_difference`.
    """
    expected = [reference(frame) for frame in feeds]
    actual = [candidate(frame) for frame in feeds]
    found = max_difference(expected, actual, rtol=rtol)
    if found.same or found.reason:
        return found
    noise = [
        _own_noise(reference, frame, want) for frame, want in zip(feeds, expected, strict=True)
    ]
    return max_difference(expected, actual, rtol=rtol, noise=noise)


def _own_noise(reference: Function, frame: Feeds, want: Mapping[str, Array]) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    noise = {name: np.zeros(np.shape(value)) for name, value in want.items()}
    for _ in range(2):
        moved = {
            name: (np.asarray(v, np.float32) * (1 + 3e-7 * rng.uniform(-1, 1, np.shape(v)))).astype(
                np.float32
            )
            for name, v in frame.items()
        }
        for name, value in reference(moved).items():
            with np.errstate(invalid="ignore"):
                step = np.abs(value.astype(np.float64) - want[name].astype(np.float64))
            same = (value == want[name]) | (np.isnan(value) & np.isnan(want[name]))
            noise[name] = np.maximum(
                noise[name], np.where(same, 0.0, np.nan_to_num(step, nan=np.inf))
            )
    return noise


# ---------------------------------------------------------------------- helpers


def _numpy_type(name: str) -> str:
    inner = name.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(inner, inner)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0][:300]


def _load_error(error: Exception) -> ModelError:
    kind = type(error).__name__
    text = _first_line(error)
    if kind == "NotImplemented" or "not implemented" in text.lower() or "Could not find" in text:
        return OperatorError(
            f"ONNX Runtime lacks an operator of the graph: {text}",
            remedy="replace that operator; without a reference the result cannot be checked",
        )
    return ModelError(f"ONNX Runtime cannot load the graph: {text}")
