"""`blobsmith verify`: a blob on the emulator against the user's own function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import parse
from .session import DebugFlag, JsonFlag, Session, session


def verify(
    file: Annotated[Path, typer.Argument(help=".blob, .superblob or NN Archive.")],
    against: Annotated[
        str, typer.Option(help="Zoo name, file.py:Class, package.module:Class or .onnx.")
    ],
    frames: Annotated[
        str | None, typer.Option(help="Image, folder or video to verify on as well.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Frames of --frames at most.")] = 8,
    inputs: parse.Inputs = None,
    shaves: Annotated[int | None, typer.Option(help="Which blob of a superblob.")] = None,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Runs both on the same frames and compares every output; exit code 4 if it is not right."""
    with session(as_json, debug) as out:
        from ..packaging.artifact import open_artifact
        from ..verification import verify_artifact

        artifact = open_artifact(file)
        for note in artifact.notes:
            out.warn(note)
        out.step(f"verify {file} against {against}")
        found = verify_artifact(
            artifact,
            against,
            inputs=parse.inputs(inputs),
            frames=frames,
            limit=limit,
            shaves=shaves,
        )
        told = found.to_dict()
        out.data.update(told, warnings=[*artifact.notes, *told["warnings"]])
        show_verification(told, out)
        found.require(
            where=f"{file} against {against}",
            remedy="see that it was built from this source; if so, `blobsmith check` on it says "
            "where FP16 loses its digits",
        )


def show_verification(found: dict[str, object], out: Session) -> None:
    """A table of the comparisons."""
    rows = [
        (
            o["name"], "right" if o["passed"] else "WRONG", f"{o['low']:.6g} .. {o['high']:.6g}",
            f"{o['largest']:.4g} ({o['largest_ulp']:.1f} ulp)",
            f"{o['typical']:.4g} ({o['typical_ulp']:.1f} ulp)",
            f"{o['mismatched']:.3%}" if o["thresholded"] else "",
        )
        for o in found["outputs"]  # type: ignore[attr-defined]
    ]  # fmt: skip
    out.table(
        f"{found['frames']} frames",
        ("output", "", "range", "largest error", "99.9th percentile", "pixels that differ"),
        rows,
    )
    for output in found["outputs"]:  # type: ignore[attr-defined]
        if output["reason"]:
            out.say(f"  {output['name']}: {output['reason']}")
    for warning in found["warnings"]:  # type: ignore[attr-defined]
        out.say(f"  emulator: {warning}")
