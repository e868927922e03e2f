"""`blobsmith check`: FP16 ranges and operators, before any camera."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import parse
from .build import Source
from .session import DebugFlag, JsonFlag, Session, session

if TYPE_CHECKING:
    from ..numerics import CheckReport, TensorReport

_SHOWN = 12
_STYLES = {"safe": "green", "at risk": "yellow", "broken": "red"}


def check(
    source: Source,
    inputs: parse.Inputs = None,
    outputs: parse.Outputs = None,
    frames: Annotated[
        str | None, typer.Option(help="Image, folder or video to look at as well.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Frames of --frames at most.")] = 32,
    color: Annotated[str | None, typer.Option(help="bgr, rgb or gray.")] = None,
    mean: Annotated[str | None, typer.Option(help="Subtracted in the graph.")] = None,
    scale: Annotated[str | None, typer.Option(help="Divided by in the graph.")] = None,
    fix: Annotated[
        Path | None, typer.Option(help="Write a repaired ONNX here.", metavar="FILE.onnx")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="List every tensor.")] = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Says where values leave FP16's range, which line makes them, and what to change.

    Exit code 4 when the model is broken in FP16 or refused by the compiler.
    """
    with session(as_json, debug) as out:
        from ..checker import NO_REPAIR, check_source, outlook
        from ..errors import CheckFailed
        from ..road import Preprocessing

        wanted = parse.inputs(inputs)
        options = Preprocessing(
            parse.color(color), parse.numbers(mean, "--mean"), parse.numbers(scale, "--scale")
        )
        given = _frames(source, wanted, frames, limit)
        with _bar(out, len(given)) as progress:
            found = check_source(
                source, inputs=wanted, outputs=outputs or None, preprocessing=options,
                frames=given, progress=progress,
            )  # fmt: skip
        report = found.report
        out.data.update(report.to_dict(), refusal=found.refusal)
        _show(report, out, all_)
        if found.refused:
            out.say(f"compiler: {found.refused.what}")
        broken = "broken in FP16" if report.verdict == "broken" else ""
        if fix is not None:
            broken = _fix(found.model, given, fix, out, broken)
        if found.refused:
            raise CheckFailed(
                found.refused.what, where=found.refused.where or source,
                remedy=found.refused.remedy or "write that step with other operators",
            )  # fmt: skip
        if broken:
            out.step("build")
            told = NO_REPAIR if fix is not None else outlook(found)
            raise CheckFailed(broken, where=source, remedy=told)


def _frames(source: str, wanted: Any, frames: str | None, limit: int) -> list[Any]:
    """The user's frames as input sets; the source is loaded once more for its input specs."""
    if frames is None:
        return []
    from ..loading import load_source
    from ..road import parse_source
    from ..verification import user_frames

    model = parse_source(load_source(source, wanted, None))
    return user_frames(frames, model.inputs, limit)


@contextlib.contextmanager
def _bar(out: Session, frames: int) -> Iterator[Callable[[str], None]]:
    """What is told of the progress: the steps, and a bar for the user's own frames."""
    if not frames:
        yield out.step
        return
    console = out.console()
    if not console.is_terminal:
        yield out.progress
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("load", total=frames)

        def tell(text: str) -> None:
            own = text.startswith("frame ")
            bar.update(task, description=f"{text:18}", advance=1 if own else 0)

        yield tell


def _show(report: CheckReport, out: Session, everything: bool) -> None:
    out.say(report.headline, style=_STYLES[report.verdict])
    places = list(report.matter())
    for tensor in places[:_SHOWN]:
        out.say("")
        out.say(tensor.line or "(no line of the source is known)", style="bold")
        out.say(f"  {tensor.op} {tensor.name!r} {tensor.verdict}")
        out.say(f"  {_ranges(tensor)}")
        out.say(f"  {tensor.advice}")
    if len(places) > _SHOWN:
        out.say(f"\n... and {len(places) - _SHOWN} more: --all lists every tensor")
    if report.inexact:
        out.say("")
    for sentence in report.inexact[:_SHOWN]:
        out.say(f"- {sentence}")
    if report.verdict == "broken" and report.blob_is_right:
        out.say("- the blob of it is rewritten around this and was right wherever it was run")
    if everything:
        rows = [(t.name, t.op, t.verdict, _ranges(t), t.line) for t in report.tensors]
        out.table("", ("tensor", "operator", "verdict", "range", "line"), rows)
    for note in report.notes:
        out.say(f"note: {note}")


def _ranges(tensor: TensorReport) -> str:
    """The range that was seen, and what is proven for every input."""
    low, high = tensor.bounds
    proven = f"for every input within {_number(low)} .. {_number(high)}"
    if not (math.isfinite(low) or math.isfinite(high)):
        proven = "no bound is known"
    if tensor.seen is None:
        return proven
    return f"seen {_number(tensor.seen[0])} .. {_number(tensor.seen[1])}; {proven}"


def _number(value: float) -> str:
    return f"{value:.4g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


def _fix(model: Any, frames: list[Any], path: Path, out: Session, broken: str) -> str:
    """Repairs and writes the graph, if that helps; returns what is still broken."""
    from ..numerics.repair import repair_model
    from ..packaging.atomic import write_atomic
    from ..sources.onnx_factors import with_factors

    fixed = repair_model(model, frames=frames or None)
    done = fixed.result
    out.say(done.reason)
    for action in done.actions:
        out.say(f"repaired: {action}")
    for name, factor in done.output_factors.items():
        out.warn(f"output {name!r} holds the result times {factor:g}: divide by it")
    out.data["repair"] = done.to_dict()
    if broken and not done.accepted:
        return f"broken in FP16, and not repaired: {done.reason}"
    write_atomic(path, with_factors(fixed.model))
    out.data["fixed"] = str(path)
    out.say(f"{path}  written")
    left = done.after.lost or done.after.failing
    return f"repaired in part only: {done.reason}" if broken and left else ""
