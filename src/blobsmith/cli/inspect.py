"""`blobsmith inspect`: what is inside a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .files import read_file
from .session import DebugFlag, JsonFlag, Session, session

if TYPE_CHECKING:
    from ..blob import Blob
    from ..packaging.artifact import Artifact


def inspect(
    file: Annotated[Path, typer.Argument(help=".blob, .superblob, NN Archive or .onnx.")],
    stages: Annotated[bool, typer.Option("--stages", help="List every stage.")] = False,
    time: Annotated[bool, typer.Option("--time", help="Predict the time on the chip.")] = False,
    shaves: Annotated[int | None, typer.Option(help="Which blob of a superblob.")] = None,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Shows header, inputs, outputs and memory; with --stages every stage in order."""
    with session(as_json, debug) as out:
        if file.suffix.lower() == ".onnx":
            _onnx(str(file), read_file(file), out)
            return
        from ..inspection import file_facts
        from ..packaging.artifact import open_artifact

        artifact = open_artifact(file)
        out.data.update(path=str(file), **file_facts(artifact))
        if artifact.holds == "onnx":
            _onnx(artifact.name, artifact.executable, out)
        else:
            blob = artifact.blob(shaves)
            _blob(artifact, blob, out, stages)
            if time:
                _time(blob, out)
        for note in artifact.notes:
            out.say(f"note: {note}")


def _blob(artifact: Artifact, blob: Blob, out: Session, stages: bool) -> None:
    from ..blob.show import TEXT_COLUMNS, describe, stage_rows, text_rows

    facts = describe(blob)
    out.data.update(facts)
    counts = artifact.shave_counts
    held = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(blob.shaves)
    out.say(
        f"{artifact.name}  {artifact.kind} for {held} shaves; the blob: {blob.size} bytes, "
        f"{len(blob.stages)} stages, {blob.shaves} shaves, "
        f"{blob.header.cmx_slices} CMX slices, version {'.'.join(map(str, blob.header.version))}"
    )
    rows = [
        (kind, spec.name, "x".join(map(str, spec.shape)), spec.dtype, spec.layout, spec.color or "")
        for kind, specs in (("input", artifact.inputs), ("output", artifact.outputs))
        for spec in specs
    ]
    out.table("", ("", "name", "shape", "type", "layout", "colour"), rows)
    memory = facts.get("memory", {})
    out.say("memory: " + ", ".join(f"{name} {size}" for name, size in memory.items()))
    if stages:
        out.data["stages"] = stage_rows(blob)
        out.table("", TEXT_COLUMNS, text_rows(blob))


def _time(blob: Blob, out: Session) -> None:
    from ..inspection import time_facts

    told = time_facts(blob)
    out.data["time"] = told
    whole, caveats = told["total_ms"], told["caveats"]
    out.say(f"predicted (not measured) on the chip: {whole:.2f} ms a frame and thread")
    rows = [
        (name, f"{told[f'{name}_ms']:.3f} ms", f"{told[f'{name}_ms'] / (whole or 1.0):.0%}")
        for name in ("engine", "memory", "activations", "dispatch")
    ]
    out.table("", ("share", "time", ""), rows)
    for caveat in caveats:
        out.say(f"  {caveat}")


def _onnx(name: str, data: bytes, out: Session) -> None:
    from ..inspection import onnx_facts
    from ..workers import default_executor

    facts: dict[str, Any] = default_executor().submit(onnx_facts, data).result()
    out.data.update(facts)
    out.say(f"{name}  ONNX, opset {facts['opset']}, {facts['nodes']} nodes")
    rows = [(e["kind"], e["name"], e["shape"]) for e in facts["tensors"]]
    out.table("", ("", "name", "shape"), rows)
    out.table("", ("operator", "nodes"), sorted(facts["operators"].items()))
