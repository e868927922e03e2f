"""The parts of a check that run inside a worker: prepare, compile, analyse.

Each is a job of its own, so that one that hangs or dies costs only itself: a graph that onnxsim
never returns is checked as it was exported, and one that the compiler refuses without its blob.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .errors import BlobsmithError, OperatorError, ToolchainError
from .road import OnnxFile, Preprocessing, explained, parse_source

if TYPE_CHECKING:
    import numpy as np

    from .graph.rewrites.rule import RuleSet
    from .model import Model
    from .numerics import CheckReport, StageRange

    Feeds = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Prepared:
    """A source ready for analysis: its graph with preprocessing, and what did not go as usual."""

    model: Model
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compiled:
    """What the compiler says of a graph.

    Attributes:
        blob: the blob; empty if there is none.
        refused: why the graph is not taken; None if it is, or nobody could be asked.
        notes: what did not go as usual.
    """

    blob: bytes = b""
    refused: BlobsmithError | None = None
    notes: tuple[str, ...] = ()


def prepare(
    source: Model | OnnxFile, preprocessing: Preprocessing, *, simplified: bool
) -> Prepared:
    """The graph that is checked: the one that `build` starts from.

    Args:
        source: an exported model, or a file to parse.
        preprocessing: overrides on the image inputs.
        simplified: simplify it; where that fails, it is taken as exported.

    Raises:
        ModelError: the file cannot be read, or preprocessing does not fit.
    """
    from .graph import lines, preprocess, simplify

    model = preprocessing.apply(parse_source(source))
    notes: tuple[str, ...] = ()
    proto = None
    if simplified:
        try:
            proto = simplify.simplify(model.proto, specs=model.inputs).proto
        except BlobsmithError as error:
            notes = (f"checked as exported, not simplified: {error.what}",)
    if proto is None:
        proto = lines.attach(model.proto)
    made = preprocess.insert(model.with_graph(proto))
    return Prepared(replace(made, module=None), notes)


def compile_plainly(model: Model, toolchain: str) -> Compiled:
    """The blob of a graph with the rules that the compiler needs, or why there is none."""
    from .myriad.compile import compile_job
    from .myriad.options import CompileOptions

    options = CompileOptions(
        inputs={spec.name: spec.dtype for spec in model.inputs},
        outputs={spec.name: spec.dtype for spec in model.outputs},
    )
    refused: BlobsmithError | None = None
    notes: list[str] = []
    attempts: tuple[tuple[RuleSet, ...], ...] = (("needed",), ())
    for sets in attempts:
        graph = model
        try:
            graph = _rewritten(model, sets)
            blob = compile_job(toolchain, graph.onnx_bytes, (options,))[0]
            return Compiled(blob, None, tuple(notes))
        except ToolchainError as error:
            return Compiled(notes=(f"checked without the compiler: {error.what}",))
        except OperatorError as error:
            refused = refused or explained(error, graph)
        except BlobsmithError as error:
            refused = refused or error
        except Exception as error:  # a rule that fails must not cost the verdict
            notes.append(f"a rewrite failed ({type(error).__name__}: {error})")
            refused = refused or BlobsmithError(notes[-1])
    return Compiled(b"", refused, tuple(notes))


def _rewritten(model: Model, sets: tuple[RuleSet, ...]) -> Model:
    from .graph.rewrites import rewrite
    from .graph.rewrites.inputs import KnownInputs

    if not sets:
        return model
    known = KnownInputs.of(model.inputs)
    done = rewrite(model.proto, sets=sets, ranges=known.ranges, whole=known.whole)
    return model.with_graph(done.proto)


def analyse(model: Model, blob_bytes: bytes, frames: tuple[Feeds, ...]) -> CheckReport:
    """The report: bounds, the ranges seen, and the blob on the emulator.

    Raises:
        ModelError: the graph is not valid, or does not run.
        FrameError: frames that do not fit.
    """
    from . import numerics
    from .workers import tell

    run, ranges, notes = _opened(model, blob_bytes)
    report = numerics.check(
        model, frames=frames, blob_run=run, stage_ranges=ranges, progress=tell
    )  # fmt: skip
    return replace(report, notes=(*report.notes, *notes))


def analyse_quickly(model: Model) -> CheckReport:
    """The report where `analyse` was stopped: bounds, and two inputs.

    Raises:
        ModelError: as `analyse`.
    """
    from . import numerics

    return numerics.quick_check(model)


def _opened(
    model: Model, blob_bytes: bytes
) -> tuple[Any, tuple[StageRange, ...] | None, tuple[str, ...]]:
    """A run of the blob, the bounds of its stages, and what could not be had of either."""
    if not blob_bytes:
        return None, None, ()
    from .blob import Blob
    from .blob_ranges import stage_ranges
    from .emulator import Emulator

    try:
        blob = Blob.from_bytes(blob_bytes)
        return Emulator(blob).run, stage_ranges(blob, model.inputs), ()
    except BlobsmithError as error:
        return None, None, (f"the blob was not looked at: {error.what}",)
