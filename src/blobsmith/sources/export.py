"""From the user's function to ONNX: the first exporter whose graph computes the same.

The TorchScript exporter comes first: it is quick and reaches opset 12. PyTorch's newer exporter
knows more operators but starts at opset 18, so its graph is lowered. Whichever is used, its graph
runs in ONNX Runtime on several frames against the function itself before it is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import BlobsmithError, SourceError, UsageError
from ..graph import equivalence, lines
from ..tensors import TensorSpec
from . import faults
from .calling import Reference
from .function import UserFunction

if TYPE_CHECKING:
    from .exporters import Traced

Array = npt.NDArray[Any]
Exporter = Literal["auto", "torchscript", "dynamo"]
HIGHEST_OPSET = 15
_PROBES = ("noise", "zero", "full", "photo")
_NEEDS_OPSET = re.compile(r"added in version (\d+)")
_TRACED_UP_TO = 16
_WRONG = "the exported graph is not the function"
_LOST = "the exported graph lost"


@dataclass(frozen=True)
class ExportRecord:
    """How a graph was made.

    Attributes:
        exporter: "torchscript" or "dynamo".
        opset: of the graph.
        reason: why not by the first way; "" if it was the first.
        decisions: lines of the user's code that read a pixel's value while exporting.
    """

    exporter: str
    opset: int
    reason: str
    decisions: tuple[lines.SourceLine, ...]

    def notes(self) -> tuple[str, ...]:
        """What the user should know of it."""
        names = {"torchscript": "the TorchScript exporter", "dynamo": "the dynamo exporter"}
        first = f"exported by {names[self.exporter]}, opset {self.opset}"
        if self.reason:
            first += f", because {self.reason}"
        told = (
            f"{line}: this depends on the input's values and was decided while exporting; the "
            "blob does the same for every frame"
            for line in self.decisions
        )
        return (first, *told)


@dataclass(frozen=True)
class Output:
    """What is known of one output from running the function.

    Attributes:
        name: in the graph.
        shape: its sizes.
        kind: "bool", "int" or "float": the type the function returns.
        low, high: smallest and largest finite value on the frames that were tried.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    low: float
    high: float


@dataclass(frozen=True)
class Exported:
    """A graph that computes what the function does, and what was seen of its outputs."""

    proto: Any
    record: ExportRecord
    outputs: tuple[Output, ...]


def export(
    function: UserFunction,
    specs: Sequence[TensorSpec],
    outputs: Sequence[str] | None = None,
    *,
    opset: int = 12,
    exporter: str = "auto",
    origin: str = "",
) -> Exported:
    """Exports a function and proves that the graph computes the same.

    Args:
        function: the user's function.
        specs: one an input, in the order of `function.names`.
        outputs: names; None: keys of a returned dict, else "output" or "output_0", ...
        opset: 9 to 15.
        exporter: "auto" tries both; "torchscript" or "dynamo" only that one.
        origin: how errors name the function.

    Raises:
        SourceError: the function fails on these shapes, returns no tensors, or no exporter makes
            a graph of it that computes the same.
        UsageError: the names, the opset or the exporter do not fit.
    """
    if exporter not in ("auto", "torchscript", "dynamo"):
        raise UsageError(
            f"there is no exporter {exporter!r}", remedy="give auto, torchscript or dynamo"
        )
    if not 9 <= opset <= HIGHEST_OPSET:
        raise UsageError(f"opset {opset} cannot be exported", remedy="give 9 to 15; 12 is usual")
    feeds = equivalence.probe_feeds([_natural(spec) for spec in specs], kinds=_PROBES)
    run = Reference(function, [spec.name for spec in specs], origin)
    function.settle(run.tensors(feeds[0]))
    expected = [run(frame) for frame in feeds]
    run.check_shapes()
    run.check_repeatable(feeds[0], expected[0])
    names = _output_names(run, outputs, origin)
    reference = run.named(names, {id(f): e for f, e in zip(feeds, expected, strict=True)})
    failures: list[tuple[str, str]] = []
    passed_over: set[int] = set()  # failures that a higher opset was to mend
    decisions: tuple[tuple[lines.SourceLine, bool], ...] = ()
    examples = run.tensors(feeds[0])
    for label, attempt in _attempts(
        function, examples, [s.name for s in specs], names, opset, exporter, failures, passed_over
    ):
        try:
            traced = attempt()
        except (*faults.PASSED_ON, SourceError):
            raise
        except Exception as error:  # whatever torch raises, the next way is tried
            failures.append((label, faults.reason(error)))
            continue
        decisions = traced.decisions or decisions
        frames = feeds if not decisions else [*feeds, *_unlike(feeds)]
        lost = faults.unused(traced.proto, [spec.name for spec in specs])
        if lost and any(run.depends(lost, feeds[0], other) for other in feeds[1:]):
            failures.append((label, f"{_LOST} what becomes of {lost!r}"))
            continue
        problem = _problem(traced, specs, names, reference, frames)
        if problem:
            failures.append((label, problem))
            continue
        record = ExportRecord(
            label.split()[0],
            traced.proto.opset_import[0].version,
            _brief(failures[0][1]) if failures else "",
            tuple(line for line, own in decisions if own),
        )
        return Exported(traced.proto, record, _seen(names, run.kinds, expected))
    failures = [f for i, f in enumerate(failures) if i not in passed_over] or failures
    raise faults.refusal(failures, decisions, function, examples, origin)


def _unlike(feeds: list[dict[str, Array]]) -> list[dict[str, Array]]:
    """Frames of other brightness, on which a decision by pixel values may fall the other way."""
    photo = feeds[_PROBES.index("photo")]
    noise = feeds[_PROBES.index("noise")]
    return [
        {k: np.asarray(v * s, np.float32) for k, v in f.items()}
        for f in (photo, noise)
        for s in (0.02, 0.2, 0.5)
    ]


def _natural(spec: TensorSpec) -> TensorSpec:
    """The spec with the range in which the function sees the input, after mean and scale."""
    if spec.mean is None and spec.scale is None:
        return spec
    mean, scale = spec.mean or (0.0,), spec.scale or (1.0,)
    low, high = (0.0, 255.0) if spec.dtype == "u8" else (spec.value_range or (-1.0, 1.0))
    ends = [(value - m) / s for value in (low, high) for m in mean for s in scale]
    return TensorSpec(
        spec.name, spec.shape, "fp32", spec.layout, value_range=(min(ends), max(ends))
    )


def _attempts(
    function: UserFunction,
    examples: Sequence[Any],
    inputs: Sequence[str],
    outputs: Sequence[str],
    opset: int,
    exporter: str,
    failures: list[tuple[str, str]],
    passed_over: set[int],
) -> Iterator[tuple[str, Callable[[], Traced]]]:
    """The ways to export, most wanted first; a later one looks at why an earlier one failed."""
    from . import exporters

    if exporter in ("auto", "torchscript"):
        ways: tuple[exporters.Watch, ...] = ("values", "as differentiable", "nothing")
        for watch in ways:
            if watch == "as differentiable" and not any(_lost(text) for _, text in failures):
                continue
            version = opset
            while True:

                def trace(version: int = version, watch: exporters.Watch = watch) -> Traced:
                    return exporters.torchscript(
                        function, examples, inputs, outputs, version=version, watch=watch
                    )

                before = len(failures)
                yield "torchscript", trace
                failed = failures[-1][1] if len(failures) > before else ""
                needs = _NEEDS_OPSET.search(failed)
                # below 16, a scatter_add is exported as a plain scatter, without a word
                wanted = int(needs[1]) if needs else _TRACED_UP_TO if _WRONG in failed else 0
                if not version < wanted <= _TRACED_UP_TO:
                    break
                passed_over.add(len(failures) - 1)
                version = wanted
    if exporter in ("auto", "dynamo"):
        yield "dynamo", lambda: exporters.dynamo(function, examples, inputs, outputs)


def _lost(failure: str) -> bool:
    """Whether an export went through, to a graph of something else."""
    return _WRONG in failure or _LOST in failure


def _output_names(run: Reference, wanted: Sequence[str] | None, origin: str) -> list[str]:
    count = len(run.keys)
    if wanted is not None:
        if len(wanted) != count:
            raise UsageError(
                f"{len(wanted)} output names were given, the function returns {count} tensors",
                where=origin,
                remedy=f"give {count} names",
            )
        names = list(wanted)
    elif all(run.keys) and len(set(run.keys)) == count:
        names = list(run.keys)
    else:
        names = ["output"] if count == 1 else [f"output_{i}" for i in range(count)]
    taken = set(run.names) & set(names)
    if len(set(names)) != count or taken or not all(names):
        twice = sorted(taken) or sorted({n for n in names if names.count(n) > 1 or not n})
        raise UsageError(
            f"the output name {twice[0]!r} is used twice, or is an input's",
            where=origin,
            remedy="give every input and output a name of its own",
        )
    return names


def _problem(
    traced: Traced,
    specs: Sequence[TensorSpec],
    names: Sequence[str],
    reference: equivalence.Function,
    feeds: list[dict[str, Array]],
) -> str:
    """Why an exported graph cannot be used; "" if it computes what the function does."""
    graph = traced.proto.graph
    faults.check_used(traced.proto, [spec.name for spec in specs])
    if [o.name for o in graph.output] != list(names):
        return f"its outputs became {', '.join(o.name for o in graph.output)}"
    try:
        session = equivalence.Session(traced.proto)
        found = equivalence.compare(reference, session.run, feeds)
    except BlobsmithError as error:
        return error.what
    return "" if found.same else f"{_WRONG}: {found}"


def _brief(reason: str) -> str:
    """A reason without torch's advice on which opset to try."""
    return reason.split(" is not supported")[0].replace("Exporting the operator", "no")[:200]


def _seen(
    names: Sequence[str], kinds: Sequence[str], frames: Sequence[dict[str, Array]]
) -> tuple[Output, ...]:
    found: list[Output] = []
    for index, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        arrays = [frame[str(index)] for frame in frames]
        finite = np.concatenate([a[np.isfinite(a)].reshape(-1) for a in arrays])
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        found.append(Output(name, arrays[0].shape, kind, low, high))
    return tuple(found)
