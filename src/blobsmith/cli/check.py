"""`blobsmith check`: FP16 ranges and operators, before any camera."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import parse
from .build import Source
from .session import DebugFlag, JsonFlag, Session, session

if TYPE_CHECKING:
    from ..numerics import CheckReport

_SHOWN = 12


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
        from ..checker import check_source
        from ..errors import CheckFailed
        from ..road import Preprocessing

        wanted = parse.inputs(inputs)
        options = Preprocessing(
            parse.color(color), parse.numbers(mean, "--mean"), parse.numbers(scale, "--scale")
        )
        found = check_source(
            source, inputs=wanted, outputs=outputs or None, preprocessing=options,
            frames=_frames(source, wanted, frames, limit), progress=out.progress,
        )  # fmt: skip
        report = found.report
        out.data.update(report.to_dict(), refusal=found.refusal)
        _show(report, out, all_)
        if found.refusal:
            out.say(f"compiler: {found.refusal}")
        if fix is not None:
            _fix(found.model, fix, out)
            return
        if report.verdict == "broken" or found.refusal:
            raise CheckFailed(
                found.refusal.splitlines()[0] if found.refusal else report.summary,
                where=source,
                remedy="repair it with `blobsmith check --fix FILE.onnx` or `build --fix-fp16`",
            )


def _frames(source: str, wanted: Any, frames: str | None, limit: int) -> Any:
    """The user's frames as input sets; the source is loaded once more for its input specs."""
    if frames is None:
        return None
    from ..builder import load_source
    from ..road import parse_source
    from ..verification import user_frames

    model = parse_source(load_source(source, wanted, None))
    return user_frames(frames, model.inputs, limit)


def _show(report: CheckReport, out: Session, everything: bool) -> None:
    out.say(report.summary)
    listed = report.tensors if everything else tuple(report.matter())[:_SHOWN]
    rows = [
        (
            tensor.name, tensor.op, tensor.verdict,
            f"{tensor.bounds[0]:.4g} .. {tensor.bounds[1]:.4g}",
            "" if tensor.seen is None else f"{tensor.seen[0]:.4g} .. {tensor.seen[1]:.4g}",
            tensor.line,
        )
        for tensor in listed
    ]  # fmt: skip
    if rows:
        out.table("", ("tensor", "operator", "verdict", "proven range", "seen", "line"), rows)
    for warning in report.warnings[:_SHOWN]:
        out.say(f"- {warning}")
    for note in report.notes:
        out.say(f"note: {note}")


def _fix(model: Any, path: Path, out: Session) -> None:
    from ..numerics.repair import repair_model
    from ..packaging.atomic import write_atomic

    fixed = repair_model(model)
    done = fixed.result
    out.say(done.reason)
    for action in done.actions:
        out.say(f"repaired: {action}")
    for name, factor in done.output_factors.items():
        out.warn(f"output {name!r} holds the result times {factor:g}: divide by it")
    out.data["repair"] = done.to_dict()
    write_atomic(path, fixed.model.onnx_bytes)
    out.data["fixed"] = str(path)
    out.say(f"{path}  written")
