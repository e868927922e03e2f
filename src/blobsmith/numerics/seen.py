"""What is seen when the graph runs: every tensor's range, in FP32 and as FP16 storage leaves it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, helper

from ..errors import ModelError
from .faithful import given_name, half_model
from .fp16 import OVERFLOW, SMALLEST_NORMAL
from .frames import Feeds, Frame
from .network import Network
from .outputs import OutputError, stepped

CHUNK_BYTES = 768 << 20
"""Tensors are fetched in portions of about this size; each portion runs the graph once."""

Values = dict[str, npt.NDArray[Any]]


class Tapped:
    """A graph in ONNX Runtime from which any tensor can be asked.

    Graph optimisation is off: every tensor exists, and each is computed as the graph says.

    Raises:
        ModelError: ONNX Runtime does not take the graph.
    """

    def __init__(self, model: ModelProto, names: Iterable[str]) -> None:
        import onnxruntime

        names = list(names)
        tapped = ModelProto()
        tapped.CopyFrom(model)
        del tapped.graph.output[:]
        for name in names:
            tapped.graph.output.append(helper.make_empty_tensor_value_info(name))
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(
                tapped.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelError(
                f"ONNX Runtime does not take the graph: {str(error).splitlines()[0]}",
                remedy="check the file with onnx.checker.check_model",
            ) from error
        self.types = {i.name: i.type for i in self.session.get_inputs()}

    def run(self, feeds: Feeds, names: Sequence[str]) -> Values:
        """The named tensors for these inputs.

        Raises:
            ModelError: the run failed.
        """
        if not names:  # ONNX Runtime takes an empty list for all outputs
            return {}
        cast = {n: _cast(v, self.types[n]) for n, v in feeds.items() if n in self.types}
        try:
            return dict(zip(names, self.session.run(list(names), cast), strict=True))
        except Exception as error:
            raise ModelError(
                f"the graph fails when it runs: {str(error).splitlines()[0]}"
            ) from error


def _cast(value: npt.NDArray[Any], kind: str) -> npt.NDArray[Any]:
    dtype = {"tensor(float)": np.float32, "tensor(float16)": np.float16,
             "tensor(double)": np.float64, "tensor(uint8)": np.uint8,
             "tensor(int32)": np.int32, "tensor(int64)": np.int64}.get(kind)  # fmt: skip
    return np.asarray(value) if dtype is None else np.asarray(value, dtype)


@dataclass
class Seen:
    """What was seen of one tensor; filled frame by frame.

    Attributes:
        low, high: the range of its finite FP32 values.
        elements: how many values were looked at.
        subnormal: how many were below 2^-14 but not 0.
        too_large: how many finite FP32 values FP16 stores as infinite.
        nonfinite: how many FP32 values were infinite or NaN: the function's own.
        half_nonfinite: how many FP16 values were infinite or NaN where the FP32 value was finite.
        worst: the largest error of the FP16 values.
        squares: sum of the squared errors.
        own: the largest error that the operator itself added (rounding, changed constants).
        energy: sum of the squared FP32 values.
        where: the frame on which it first overflowed.
    """

    low: float = np.inf
    high: float = -np.inf
    elements: int = 0
    subnormal: int = 0
    too_large: int = 0
    nonfinite: int = 0
    half_nonfinite: int = 0
    worst: float = 0.0
    squares: float = 0.0
    own: float = 0.0
    energy: float = 0.0
    where: str = ""

    @property
    def magnitude(self) -> float:
        """The largest absolute value seen."""
        return max(abs(self.low), abs(self.high)) if self.high >= self.low else 0.0

    @property
    def span(self) -> float:
        """The width of the range seen."""
        return max(self.high - self.low, 0.0)

    @property
    def subnormal_share(self) -> float:
        """Share of the values that FP16 holds only as subnormals."""
        return self.subnormal / self.elements if self.elements else 0.0

    @property
    def relative_error(self) -> float:
        """Root mean square of the FP16 error over that of the values."""
        return float(np.sqrt(self.squares / self.energy)) if self.energy > 0 else 0.0

    def add(
        self, full: npt.NDArray[Any], half: npt.NDArray[Any], ideal: npt.NDArray[Any] | None,
        label: str,
    ) -> None:  # fmt: skip
        """One more frame: FP32 values, FP16 values, and what the operator would ideally give."""
        values = np.asarray(full, np.float32).reshape(-1)
        stored = np.asarray(half, np.float32).reshape(-1)
        best = None if ideal is None else np.asarray(ideal, np.float32).reshape(-1)
        self.elements += values.size
        if not _all_finite(values) or not _all_finite(stored):
            finite = np.isfinite(values)
            self.nonfinite += int(values.size - finite.sum())
            lost = int(np.count_nonzero(finite & ~np.isfinite(stored)))
            self.half_nonfinite += lost
            self.where = self.where or (label if lost else "")
            self._range(values[finite])
            good = finite & np.isfinite(stored)
            values, stored = values[good], stored[good]
            best = None if best is None else best[good]
        else:
            self._range(values)
        if not values.size:
            return
        error = stored - values
        self.worst = max(self.worst, float(np.abs(error).max()))
        self.squares += _squares(error)
        self.energy += _squares(values)
        if best is not None:
            own = np.abs(stored - best)
            self.own = max(self.own, float(own[np.isfinite(own)].max(initial=0.0)))

    def _range(self, values: npt.NDArray[np.float32]) -> None:
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        if low < SMALLEST_NORMAL and high > -SMALLEST_NORMAL:
            size = np.abs(values)
            tiny = np.count_nonzero(size < SMALLEST_NORMAL)
            self.subnormal += int(tiny - np.count_nonzero(size == 0)) if tiny else 0
        if max(high, -low) >= OVERFLOW:
            self.too_large += int(np.count_nonzero(np.abs(values) >= OVERFLOW))


def _all_finite(values: npt.NDArray[np.float32]) -> bool:
    """Whether nothing is infinite or NaN; NaN propagates through min and max."""
    return not values.size or bool(np.isfinite(values.min()) and np.isfinite(values.max()))


def _undo(values: npt.NDArray[Any], scale: float) -> npt.NDArray[Any]:
    """Values without the factor that they were given."""
    return values if scale == 1.0 else np.asarray(values, np.float64) / scale


def _squares(values: npt.NDArray[np.float32]) -> float:
    with np.errstate(over="ignore"):
        total = float(np.dot(values, values))
    return total if np.isfinite(total) else float(np.square(values, dtype=np.float64).sum())


@dataclass
class Recording:
    """What was seen of all tensors, and the outputs' errors in detail.

    Attributes:
        tensors: by name; floating-point tensors only.
        outputs: errors of the outputs, by name.
        labels: the frames, in order.
    """

    tensors: dict[str, Seen] = field(default_factory=dict)
    outputs: dict[str, OutputError] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """How many FP16 values were infinite or NaN where the FP32 values were finite."""
        return sum(seen.half_nonfinite for seen in self.tensors.values())


class Observer:
    """The pair of runs, FP32 and FP16, of one graph.

    Args:
        network: the graph.
        ideals: also compute what each operator adds itself (see `Seen.own`).
        factors: outputs that are the result times a factor; errors are those of the result.
        names: the tensors to look at; None: all that hold floating-point numbers.

    Raises:
        ModelError: ONNX Runtime does not take the graph.
    """

    def __init__(
        self, network: Network, *, ideals: bool = True, factors: Mapping[str, float] | None = None,
        names: Collection[str] | None = None,
    ) -> None:  # fmt: skip
        self.network = network
        self.factors = dict(factors or {})
        self.stepped = stepped(network)
        half = half_model(network, ideals=ideals)
        kept = [o for node in network.steps() for o in node.outputs if o]
        kept += [name for name in network.inputs if name not in kept]
        self.names = [
            n for n in dict.fromkeys(kept)
            if network.is_float(n) and (names is None or n in names)
        ]  # fmt: skip
        produced = {o for node in half.graph.node for o in node.output}
        self.ideals = {
            n: next((n + s for s in ("|ideal", "|before rounding") if n + s in produced), None)
            for n in self.names
        } if ideals else {}  # fmt: skip
        inside = set(network.inputs)
        self.full = Tapped(network.proto, [n for n in self.names if n not in inside])
        extra = [n for n in self.ideals.values() if n is not None]
        self.half = Tapped(half, [*(n for n in self.names if n in produced), *extra])
        self.stored = {n for n in self.names if n in produced}

    def watch(
        self, frames: Iterable[Frame], *, progress: Callable[[str], None] | None = None,
        stop: Callable[[Recording], bool] | None = None,
    ) -> Recording:  # fmt: skip
        """Runs all frames.

        Args:
            frames: sets of inputs.
            progress: called with each frame's label when it is done.
            stop: asked after each portion of tensors; True leaves the rest out.

        Raises:
            ModelError: a run failed.
        """
        recording = Recording({name: Seen() for name in self.names})
        for frame in frames:
            for names in self.chunks():
                self._compare(frame, names, recording)
                if stop is not None and stop(recording):
                    return recording
            recording.labels.append(frame.label)
            if progress is not None:
                progress(frame.label)
        return recording

    def chunks(self) -> Iterator[list[str]]:
        """The tensors in portions of `CHUNK_BYTES`."""
        chunk: list[str] = []
        size = 0
        for name in self.names:
            count = max(self.network.elements(name), 1) * 4 * 3
            if chunk and size + count > CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
            chunk.append(name)
            size += count
        if chunk:
            yield chunk

    def _compare(self, frame: Frame, names: list[str], recording: Recording) -> None:
        network = self.network
        given = {given_name(network, n): v for n, v in frame.feeds.items()}
        inside = [n for n in names if n not in network.inputs]
        full = {**self.full.run(frame.feeds, inside), **frame.feeds}
        ideal = {n: i for n in names if (i := self.ideals.get(n)) is not None}
        wanted = [n for n in names if n in self.stored] + list(ideal.values())
        half = {**frame.feeds, **self.half.run(given, wanted)}
        for name in names:
            best = half[ideal[name]] if name in ideal else None
            recording.tensors[name].add(full[name], half[name], best, frame.label)
            if name in network.outputs:
                jumps = name in self.stepped
                error = recording.outputs.setdefault(name, OutputError(name, jumps))
                scale = self.factors.get(name, 1.0)
                error.add(_undo(full[name], scale), _undo(half[name], scale), frame.label)
