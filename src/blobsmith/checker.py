"""`blobsmith.check`: FP16 ranges and operators of a source, before any camera."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .builder import load_source, requests_of
from .road import OnnxFile, Preprocessing, parse_source
from .tensors import InputRequest

if TYPE_CHECKING:
    import numpy as np

    from .model import Model
    from .numerics import CheckReport

    Feeds = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class CheckRequest:
    """What a worker is asked to check."""

    source: Model | OnnxFile
    toolchain: str
    preprocessing: Preprocessing
    frames: tuple[Feeds, ...] = ()
    blob: bool = True


@dataclass(frozen=True)
class Checked:
    """A checked source.

    Attributes:
        report: ranges, errors and the verdict.
        model: the simplified graph with its preprocessing, which was checked.
        refusal: why the compiler does not take the graph; empty if it does.
    """

    report: CheckReport
    model: Model
    refusal: str


def check(
    source: Any,
    *,
    inputs: Mapping[str, InputRequest | Sequence[int]] | None = None,
    outputs: Sequence[str] | None = None,
    frames: Iterable[Feeds] | None = None,
    preprocessing: Preprocessing | None = None,
    executor: Executor | None = None,
    progress: Callable[[str], None] | None = None,
) -> CheckReport:
    """Says where a function leaves FP16's range, which line of it does, and what to change.

    Args:
        source: as for `blobsmith.build`.
        inputs: shape or InputRequest by input name.
        outputs: names for the outputs.
        frames: the user's own input sets, run besides the synthetic ones.
        preprocessing: colour order, mean and scale of the image inputs.
        executor: where untrusted files meet native code.
        progress: called with the name of each step.

    Raises:
        ModelError: the source cannot be used.
    """
    return check_source(
        source, inputs=inputs, outputs=outputs, frames=frames, preprocessing=preprocessing,
        executor=executor, progress=progress,
    ).report  # fmt: skip


def check_source(
    source: Any,
    *,
    inputs: Mapping[str, InputRequest | Sequence[int]] | None = None,
    outputs: Sequence[str] | None = None,
    frames: Iterable[Feeds] | None = None,
    preprocessing: Preprocessing | None = None,
    executor: Executor | None = None,
    progress: Callable[[str], None] | None = None,
) -> Checked:
    """`check`, with the graph that was checked and what the compiler says of it."""
    from .myriad.toolchain import toolchain_directory
    from .workers import default_executor

    tell = progress or (lambda _: None)
    loaded = load_source(source, requests_of(inputs), outputs, tell=tell)
    request = CheckRequest(
        source=loaded,
        toolchain=str(toolchain_directory()),
        preprocessing=preprocessing or Preprocessing(),
        frames=tuple(frames or ()),
    )
    tell("check")
    done: Checked = (executor or default_executor()).submit(run_check, request).result()
    return done


def run_check(request: CheckRequest) -> Checked:
    """The part of `check_source` that runs inside the worker; not for direct use."""
    from . import numerics
    from .graph import preprocess, simplify

    source = request.preprocessing.apply(parse_source(request.source))
    simplified = simplify.simplify(source.proto, specs=source.inputs)
    model = preprocess.insert(source.with_graph(simplified.proto))
    blob_run, ranges, refusal = None, None, ""
    if request.blob:
        blob_run, ranges, refusal = _compiled(model, request.toolchain)
    report = numerics.check(model, frames=request.frames, blob_run=blob_run, stage_ranges=ranges)
    return Checked(report, replace(model, module=None), refusal)


def _compiled(model: Model, toolchain: str) -> tuple[Any, Any, str]:
    """A run of the compiled blob and the bounds of its stages, or why there is no blob."""
    from .blob import Blob
    from .blob_ranges import stage_ranges
    from .emulator import Emulator
    from .errors import BlobsmithError
    from .graph.rewrites import rewrite
    from .myriad.compile import compile_job
    from .myriad.options import CompileOptions

    options = CompileOptions(
        inputs={spec.name: spec.dtype for spec in model.inputs},
        outputs={spec.name: spec.dtype for spec in model.outputs},
    )
    try:
        needed = model.with_graph(rewrite(model.proto, sets=("needed",)).proto)
        blob = Blob.from_bytes(compile_job(toolchain, needed.onnx_bytes, (options,))[0])
        return Emulator(blob).run, stage_ranges(blob, model.inputs), ""
    except BlobsmithError as error:
        return None, None, str(error)
