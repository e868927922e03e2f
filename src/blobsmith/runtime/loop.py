"""The run: frames in, arrays, engine, pictures out, until the frames end or the user stops it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

from ..errors import UsageError
from ..tensors import TensorSpec
from .arrays import Array, is_picture
from .compose import input_tiles, output_tiles, side_by_side
from .decode import DecodedOutput, decode_all
from .engines import Engine
from .feed import InputPlan, feeds, plan_inputs
from .samples import Image
from .sinks import FrameSink
from .sources import Frame, FrameSource, open_source, take

View = Literal["both", "outputs"]


@dataclass(frozen=True, eq=False)
class Step:
    """One frame's way through the model.

    Attributes:
        index: 0, 1, 2, ...
        label: of the frame.
        feeds: the arrays that went in.
        shown: for inputs fed with a frame's thumbnail: that frame.
        outputs: what came out, decoded.
        seconds: what the engine took.
        warnings: what the engine said, as text.
    """

    index: int
    label: str
    feeds: Mapping[str, Array]
    shown: Mapping[str, Image]
    outputs: tuple[DecodedOutput, ...]
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSummary:
    """What a run did.

    Attributes:
        frames: how many went through.
        seconds: wall time of the whole run.
        engine_seconds: what the engine took of it.
        interrupted: the user stopped it.
        ranges: output name to its smallest and largest finite value over the run.
        notes: what the user should be told, each once.
        paths: files written.
        last: the last step's outputs, for vectors and numbers; empty without frames.
    """

    frames: int
    seconds: float
    engine_seconds: float
    interrupted: bool
    ranges: Mapping[str, tuple[float, float]]
    notes: tuple[str, ...]
    paths: tuple[Path, ...]
    last: tuple[DecodedOutput, ...]

    @property
    def fps(self) -> float:
        """Frames a second of the engine alone."""
        return self.frames / self.engine_seconds if self.engine_seconds else 0.0


def run_frames(
    engine: Engine,
    source: FrameSource,
    sink: FrameSink,
    *,
    plan: InputPlan | None = None,
    limit: int | None = None,
    view: View = "both",
    title: str = "",
    on_progress: Callable[[Step], None] | None = None,
) -> RunSummary:
    """Runs a model on every frame of a source.

    Ctrl-C ends the run like the end of the frames: what was written is finished and kept. The
    same holds for an error on the way, which is raised after that.

    Args:
        engine: what computes.
        source: opened and closed here.
        sink: opened and closed here.
        plan: what each input gets; None: `plan_inputs` decides.
        limit: frames at most; None: all.
        view: what is written: inputs and outputs side by side with labels, or the outputs alone.
        title: of the labelled picture.
        on_progress: called after each frame; what it raises ends the run.

    Raises:
        UsageError: the limit is below 1.
        FrameError: the source has no frames, or one that cannot be read.
        EnvironmentFault: the result cannot be written; the webcam was unplugged.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"a run of {limit} frames does nothing", remedy="give --limit 1 or more")
    plan = plan or plan_inputs(engine.inputs)
    notes: dict[str, str] = {}
    ranges: dict[str, tuple[float, float]] = {}
    frames, engine_seconds, interrupted = 0, 0.0, False
    last: tuple[DecodedOutput, ...] = ()
    begun = perf_counter()
    with source, sink:
        try:
            for step in steps(engine, take(source, limit), plan, notes):
                frames += 1
                engine_seconds += step.seconds
                last = step.outputs
                _widen(ranges, step.outputs)
                wanted = sink.write(picture(step, engine, plan, view, title), step.label)
                if on_progress is not None:
                    on_progress(step)
                if not wanted:
                    break
        except KeyboardInterrupt:
            interrupted = True
    notes.update({note: note for note in source.notes})
    return RunSummary(
        frames,
        perf_counter() - begun,
        engine_seconds,
        interrupted,
        ranges,
        tuple(notes.values()),
        sink.paths,
        last,
    )


def steps(
    engine: Engine,
    frames: Iterator[Frame],
    plan: InputPlan,
    notes: dict[str, str] | None = None,
) -> Iterator[Step]:
    """One step for each frame, nothing written.

    Args:
        engine: what computes.
        frames: what goes in.
        plan: what each input gets; inputs with a source of their own are read in step, and the
            shortest source ends the run.
        notes: receives what the user should be told, each kind once.
    """
    notes = {} if notes is None else notes
    history: deque[Image] = deque(maxlen=plan.history)
    with ExitStack() as stack:
        others = {
            feed.name: iter(stack.enter_context(open_source(feed.path)))
            for feed in plan.feeds
            if feed.kind == "source"
        }
        for frame in frames:
            extra = {name: next(stream, None) for name, stream in others.items()}
            if any(other is None for other in extra.values()):
                short = next(name for name, other in extra.items() if other is None)
                notes[short] = f"the frames of the input {short!r} ended first"
                return
            images = {name: other.image for name, other in extra.items() if other is not None}
            history.appendleft(frame.image)
            _note_sizes(frame, engine.inputs, notes)
            yield _step(engine, frame, plan, tuple(history), images, notes)


def _step(
    engine: Engine,
    frame: Frame,
    plan: InputPlan,
    history: Sequence[Image],
    others: Mapping[str, Image],
    notes: dict[str, str],
) -> Step:
    arrays = feeds(plan, engine.inputs, history, others, frame.index)
    begun = perf_counter()
    results = engine.run(arrays)
    seconds = perf_counter() - begun
    raised = getattr(results, "warnings", ())
    outputs = decode_all(results, engine.outputs)
    for item in raised:
        # The same stage tells other values in every frame: its first words are enough.
        notes.setdefault(f"{str(item).partition(':')[0]} {getattr(item, 'kind', '')}", str(item))
    for output in outputs:
        if "not finite" in output.note:
            notes.setdefault(output.name, f"{output.name}: some values are not finite")
        elif output.note:
            notes.setdefault(output.name, f"{output.name}: {output.note}")
    shown = {
        feed.name: history[min(feed.back, len(history) - 1)]
        for feed in plan.feeds
        if feed.kind == "thumbnail"
    }
    return Step(frame.index, frame.label, arrays, shown, outputs, seconds, tuple(map(str, raised)))


def picture(step: Step, engine: Engine, plan: InputPlan, view: View, title: str = "") -> Image:
    """One step as a picture: inputs and outputs, labelled; or the outputs alone."""
    images = [output.image for output in step.outputs]
    if view == "outputs" and len(images) == 1 and images[0] is not None:
        return images[0]
    inputs = []
    if view == "both":
        why = {feed.name: feed.why for feed in plan.feeds}
        inputs = input_tiles(step.feeds, engine.inputs, why, step.shown)
    return side_by_side(inputs, output_tiles(step.outputs), title=title)


def _note_sizes(frame: Frame, specs: Sequence[TensorSpec], notes: dict[str, str]) -> None:
    height, width = frame.image.shape[:2]
    for spec in filter(is_picture, specs):
        sizes = dict(zip(spec.layout, spec.shape, strict=True))
        if (sizes["H"], sizes["W"]) != (height, width):
            shape = (
                ", which changes their shape" if sizes["H"] * width != sizes["W"] * height else ""
            )
            wanted = f"{sizes['W']}x{sizes['H']}"
            note = f"frames of {width}x{height} are resized to {wanted}{shape}"
            notes[note] = note


def _widen(ranges: dict[str, tuple[float, float]], outputs: Sequence[DecodedOutput]) -> None:
    for output in outputs:
        low, high = output.range
        old = ranges.get(output.name, (low, high))
        ranges[output.name] = (min(low, old[0]), max(high, old[1]))
