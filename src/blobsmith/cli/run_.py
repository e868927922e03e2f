"""`blobsmith run`: frames in, frames out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import parse
from .files import read_file
from .session import DebugFlag, JsonFlag, Session, session

if TYPE_CHECKING:
    from ..runtime.engines import Engine
    from ..runtime.loop import RunSummary, Step

_WHERE = ("emulator", "onnx", "depthai-host", "oak")


def run(
    file: Annotated[Path, typer.Argument(help=".blob, .superblob, NN Archive or .onnx.")],
    source: Annotated[
        str, typer.Option(help="sample, webcam, webcam:1, or an image, folder or video.")
    ] = "sample",
    on: Annotated[str, typer.Option(help="emulator, onnx, depthai-host or oak.")] = "emulator",
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="Folder, image, video, or 'window'.", metavar="PATH"),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Frames at most.")] = None,
    feed: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUES, an image or a source for an input; repeat for several."),
    ] = None,
    shaves: Annotated[int | None, typer.Option(help="Which blob of a superblob.")] = None,
    device: Annotated[str | None, typer.Option(help="Which camera (oak).")] = None,
    fps: Annotated[float, typer.Option(help="Frames a second (oak, depthai-host).")] = 30.0,
    threads: Annotated[int, typer.Option(help="Inference threads (oak).")] = 2,
    outputs_only: Annotated[
        bool, typer.Option("--outputs-only", help="Write the outputs without the inputs.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="FILE is file.py:Class: rebuild at every save, show a page."),
    ] = False,
    inputs: parse.Inputs = None,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Runs a file on frames; on the emulator unless told otherwise."""
    with session(as_json, debug) as out:
        if watch:
            from .watch import run_live

            summary = run_live(
                str(file), source, on_ready=lambda url: out.say(f"watch it at {url}"),
                inputs=parse.inputs(inputs), feeds=read_feeds(feed), limit=limit,
            )  # fmt: skip
            out.data.update(dict(summary.__dict__))
            return
        from ..errors import UsageError

        if on not in _WHERE:
            raise UsageError(f"nothing runs on {on!r}", remedy=f"give one of {', '.join(_WHERE)}")
        if inputs:
            raise UsageError(
                "--input says nothing to a file that is built: its inputs are fixed",
                remedy="build it anew with --input, or run a function with --watch",
            )
        if device is not None and on != "oak":
            raise UsageError(f"--device names a camera, and this runs on {on}", remedy="--on oak")
        if not fps > 0:
            raise UsageError(f"{fps:g} frames a second cannot be run", remedy="give --fps 30")
        if on in ("oak", "depthai-host"):
            from ._depthai import run_depthai

            run_depthai(
                file, out, host=on == "depthai-host", source=source, output=output, limit=limit,
                feed=feed, device=device, fps=fps, threads=threads, shaves=shaves,
                outputs_only=outputs_only,
            )  # fmt: skip
            return
        engine = _engine(file, on, shaves, out)
        show(_run(engine, file, out, source, output, limit, feed, outputs_only), out)


def _engine(file: Path, on: str, shaves: int | None, out: Session) -> Engine:
    """What runs the file; an .onnx runs in ONNX Runtime wherever it was asked to run."""
    from ..runtime import engines, remote

    if file.suffix.lower() == ".onnx":
        if on == "emulator":
            out.progress("an .onnx runs in ONNX Runtime, in FP32; build it to run the blob")
        return remote.remote_file_engine(read_file(file), file.name, str(file.resolve().parent))
    from ..packaging.artifact import open_artifact

    artifact = open_artifact(file)
    for note in artifact.notes:
        out.warn(note)
    if artifact.holds == "onnx":
        return remote.remote_engine(artifact.executable, artifact.inputs, artifact.outputs)
    if on == "emulator":
        blob = artifact.blob(shaves)
        return engines.emulator_engine(blob, artifact.inputs, artifact.outputs)
    return remote.remote_engine(artifact.onnx_bytes(), artifact.inputs, artifact.outputs)


def _run(
    engine: Engine,
    file: Path,
    out: Session,
    source: str,
    output: str | None,
    limit: int | None,
    feed: list[str] | None,
    outputs_only: bool,
) -> RunSummary:
    from ..runtime.feed import plan_inputs
    from ..runtime.loop import run_frames
    from ..runtime.sinks import open_sink
    from ..runtime.sources import open_source

    frames = open_source(source, size=_size(engine), count=limit)
    plan = plan_inputs(engine.inputs, read_feeds(feed))
    for line in plan.describe():
        out.progress(line)
    count = limit if frames.count is None else min(frames.count, limit or frames.count)
    sink = open_sink(output, fps=frames.fps, count=count)
    with Progress(out, count) as advance:
        return run_frames(
            engine, frames, sink, plan=plan, limit=limit, on_progress=advance,
            view="outputs" if outputs_only else "both",
            title=f"{file.name} ({engine.name})",
        )  # fmt: skip


def _size(engine: Engine) -> tuple[int, int] | None:
    """Width and height of the first picture input."""
    for spec in engine.inputs:
        sizes = dict(zip(spec.layout, spec.shape, strict=False))
        if spec.color is not None and "H" in sizes and "W" in sizes:
            return sizes["W"], sizes["H"]
    return None


def read_feeds(given: list[str] | None) -> dict[str, str]:
    """`--feed NAME=VALUES` as a mapping.

    Raises:
        UsageError: no `=` in it.
    """
    from ..errors import UsageError

    feeds = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--feed {text!r} cannot be read", remedy="write --feed NAME=VALUES")
        feeds[name] = value
    return feeds


class Progress:
    """A progress bar on a terminal, nothing elsewhere."""

    def __init__(self, out: Session, total: int | None) -> None:
        self._out, self._total = out, total

    def __enter__(self) -> Progress:
        from rich.progress import Progress

        console = self._out.console()
        self._bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._bar.start()
        self._task = self._bar.add_task("frames", total=self._total)
        return self

    def __call__(self, step: Step) -> None:
        self._bar.update(self._task, advance=1)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def show(summary: RunSummary, out: Session) -> None:
    """Prints what a run did."""
    out.data.update(
        frames=summary.frames, seconds=summary.seconds, fps=summary.fps,
        interrupted=summary.interrupted, notes=list(summary.notes),
        ranges={name: list(pair) for name, pair in summary.ranges.items()},
        paths=[str(path) for path in summary.paths],
    )  # fmt: skip
    out.say(
        f"{summary.frames} frame{'s' if summary.frames != 1 else ''}, "
        f"{summary.fps:.1f} a second in the engine" + (", stopped" if summary.interrupted else "")
    )
    for name, (low, high) in summary.ranges.items():
        out.say(f"  {name}: {low:.6g} .. {high:.6g}")
    for output in summary.last:
        if output.kind in ("vector", "tensor") and output.values.size <= 16:
            out.say(f"  {output.name} = {output.values.ravel().tolist()}")
    for note in summary.notes:
        out.warn(note)
    for path in summary.paths[:3]:
        out.say(f"  {path}")
    if len(summary.paths) > 3:
        out.say(f"  ... {len(summary.paths)} files")
