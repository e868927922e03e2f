"""`blobsmith.check`: FP16 ranges and operators of a source, before any camera."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from . import checker_jobs as jobs
from .errors import BlobsmithError, EnvironmentFault, ToolchainError
from .loading import load_source, requests_of
from .road import OutputTooLarge, Preprocessing
from .tensors import InputRequest

if TYPE_CHECKING:
    import numpy as np

    from .model import Model
    from .numerics import CheckReport
    from .road import OnnxFile

    Feeds = Mapping[str, np.ndarray[Any, Any]]


REPAIR = "repair it with `blobsmith check --fix FILE.onnx` or `build --fix-fp16`"
NO_REPAIR = "change what the check names: no scaling by powers of two makes it fit"


@dataclass(frozen=True)
class Checked:
    """A checked source.

    Attributes:
        report: ranges, errors and the verdict.
        model: the simplified graph with its preprocessing, which was checked.
        refused: why the compiler does not take the graph; None if it does.
        blob: what was run on the emulator; empty if there is none.
        loaded: the source as it was loaded, for `outlook`.
        preprocessing: what was asked for besides.
    """

    report: CheckReport
    model: Model
    refused: BlobsmithError | None
    blob: bytes = b""
    loaded: Model | OnnxFile | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    @property
    def refusal(self) -> str:
        """The compiler's refusal in words; empty if there is none."""
        return str(self.refused or "")


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
        progress: called with the name of each step, and of each input set that was run.

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
    """`check`, with the graph that was checked and what the compiler says of it.

    A graph that can be exported and run gets a verdict: where simplification, the rewrites, the
    compiler or the emulator fail, or take longer than a worker may, the check goes on without
    them and the report's notes say so.
    """
    from .myriad.toolchain import toolchain_directory
    from .workers import default_executor

    tell = progress or (lambda _: None)
    pool = executor or default_executor()
    loaded = load_source(source, requests_of(inputs), outputs, tell=tell)
    options = preprocessing or Preprocessing()
    tell("simplify")
    try:
        prepared: jobs.Prepared = pool.submit(
            jobs.prepare, loaded, options, simplified=True
        ).result()
    except EnvironmentFault as error:
        prepared = pool.submit(jobs.prepare, loaded, options, simplified=False).result()
        prepared = replace(prepared, notes=(f"checked as exported, not simplified: {error.what}",))
    tell("compile")
    try:
        compiled: jobs.Compiled = pool.submit(
            jobs.compile_plainly, prepared.model, str(toolchain_directory())
        ).result()
    except EnvironmentFault as error:
        compiled = jobs.Compiled(notes=(f"checked without the compiler: {error.what}",))
    report = _analysed(pool, prepared.model, compiled.blob, tuple(frames or ()), tell)
    notes = (*prepared.notes, *compiled.notes, *report.notes)
    return Checked(
        replace(report, notes=tuple(dict.fromkeys(notes))), prepared.model, compiled.refused,
        compiled.blob, loaded, options,
    )  # fmt: skip


def outlook(checked: Checked, *, executor: Executor | None = None) -> str:
    """What the user of a function that is broken in FP16 can do: what `build` would, tried.

    Args:
        checked: the source with its verdict.
        executor: where untrusted files meet native code.
    """
    from .builder import trial
    from .options import Options

    look = checked.preprocessing
    plain = Options(color=look.color, mean=look.mean, scale=look.scale)
    if checked.loaded is None:
        return REPAIR
    try:
        result = trial(checked.loaded, plain, executor)
    except (EnvironmentFault, ToolchainError):
        return REPAIR
    except OutputTooLarge as error:
        try:
            trial(checked.loaded, replace(plain, fix_fp16=True), executor)
        except BlobsmithError:
            return NO_REPAIR
        return error.remedy
    except BlobsmithError:
        return NO_REPAIR
    rescaled = any(step.name == "fix FP16" for step in result.steps)
    does = "rescales" if rescaled else "rewrites"
    return f"`blobsmith build` {does} it by itself, and its blob is right on the frames tried"


def _analysed(
    pool: Executor, model: Model, blob: bytes, frames: tuple[Feeds, ...],
    tell: Callable[[str], None],
) -> CheckReport:  # fmt: skip
    """The report, with less behind it where the whole analysis does not come back."""
    from .workers import LimitedExecutor

    try:
        if isinstance(pool, LimitedExecutor):
            done = pool.submit_telling(tell, jobs.analyse, model, blob, frames)
        else:
            done = pool.submit(jobs.analyse, model, blob, frames)
        report: CheckReport = done.result()
        return report
    except EnvironmentFault as error:
        report = pool.submit(jobs.analyse_quickly, model).result()
        return replace(report, notes=(*report.notes, f"looked at quickly: {error.what}"))
