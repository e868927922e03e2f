"""From a session to files or a window: what `blobsmith run --on oak` and `--on depthai-host` do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

from ..errors import UsageError
from ..runtime.compose import input_tiles, output_tiles, side_by_side
from ..runtime.decode import DecodedOutput, decode_all
from ..runtime.loop import RunSummary, Step, View
from ..runtime.samples import Image
from ..runtime.sinks import FrameSink
from .logs import native_output_to_stderr
from .plan import PipelinePlan
from .session import Session


def run_session(
    session: Session,
    sink: FrameSink,
    *,
    limit: int | None = None,
    view: View = "both",
    title: str = "",
    on_progress: Callable[[Step], None] | None = None,
) -> RunSummary:
    """Takes results from a pipeline, decodes them and writes them.

    Ctrl-C ends the run like the end of the frames. So does a camera that is unplugged, except that
    its error is raised: in every case what was written until then is finished and kept. What is
    printed meanwhile goes to standard error, where DepthAI's own log belongs.

    Args:
        session: not yet entered; closed here.
        sink: not yet entered; closed here.
        limit: results at most; None: all, and from a camera until Ctrl-C.
        view: inputs and outputs side by side with labels, or the outputs alone.
        title: of the labelled picture.
        on_progress: called after each result.

    Returns:
        The summary; its `engine_seconds` run from the first result to the last, so that `fps` is
        the rate of the whole pipeline without its start.

    Raises:
        UsageError: the limit is below 1.
        EnvironmentFault: the camera is gone or silent, or the result cannot be written.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"a run of {limit} frames does nothing", remedy="give --limit 1 or more")
    plan = session.plan
    frames, interrupted, first, newest = 0, False, 0.0, 0.0
    ranges: dict[str, tuple[float, float]] = {}
    last: tuple[DecodedOutput, ...] = ()
    notes: dict[str, str] = {}
    begun = perf_counter()
    with native_output_to_stderr(), sink, session:
        try:
            for result in session:
                now = perf_counter()
                first, seconds = first or now, now - (newest or begun)
                newest = now
                last = decode_all(result.outputs, plan.outputs)
                step = Step(result.index, f"frame {result.number}", result.feeds, {}, last, seconds)
                frames += 1
                _widen(ranges, last)
                for output in filter(lambda output: output.note, last):
                    said = f"{output.name}: {output.note}"
                    notes.setdefault(said.partition(" from ")[0], said)
                wanted = sink.write(_picture(step, plan, view, title), step.label)
                if on_progress is not None:
                    on_progress(step)
                if not wanted or frames == limit:
                    break
        except KeyboardInterrupt:
            interrupted = True
    notes.update({note: note for note in session.notes})
    told = tuple(notes.values())
    spent = (newest - first) * frames / (frames - 1) if frames > 1 else newest - begun
    return RunSummary(
        frames, perf_counter() - begun, spent, interrupted, ranges, told, sink.paths, last
    )


def _picture(step: Step, plan: PipelinePlan, view: View, title: str) -> Image:
    image = step.outputs[0].image
    if view == "outputs" and len(step.outputs) == 1 and image is not None:
        return image
    inputs = []
    if view == "both":
        why = dict(zip((spec.name for spec in plan.inputs), plan.reasons, strict=True))
        inputs = input_tiles(step.feeds, plan.inputs, why)
    return side_by_side(inputs, output_tiles(step.outputs), title=title)


def _widen(ranges: dict[str, tuple[float, float]], outputs: Sequence[DecodedOutput]) -> None:
    for output in outputs:
        low, high = output.range
        old = ranges.get(output.name, (low, high))
        ranges[output.name] = (min(low, old[0]), max(high, old[1]))
