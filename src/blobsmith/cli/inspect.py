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
        from ..packaging.artifact import open_artifact

        artifact = open_artifact(file)
        out.data.update(
            path=str(file), kind=artifact.kind, holds=artifact.holds,
            shaves=list(artifact.shave_counts), notes=list(artifact.notes),
            manifest=artifact.manifest.to_dict() if artifact.manifest else None,
        )  # fmt: skip
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
    from ..cost import predict

    cost = predict(blob)
    shares = {
        "engine": cost.engine_ms,
        "memory": cost.memory_ms,
        "activations": cost.activation_ms,
        "dispatch": cost.dispatch_ms,
    }
    out.data["time"] = {"total_ms": cost.total_ms, **{f"{k}_ms": v for k, v in shares.items()},
                        "caveats": list(cost.caveats)}  # fmt: skip
    out.say(f"predicted (not measured) on the chip: {cost.total_ms:.2f} ms a frame and thread")
    total = cost.total_ms or 1.0
    rows = [(name, f"{value:.3f} ms", f"{value / total:.0%}") for name, value in shares.items()]
    out.table("", ("share", "time", ""), rows)
    for caveat in cost.caveats:
        out.say(f"  {caveat}")


def _onnx(name: str, data: bytes, out: Session) -> None:
    from ..workers import default_executor

    facts: dict[str, Any] = default_executor().submit(onnx_facts, data).result()
    out.data.update(facts)
    out.say(f"{name}  ONNX, opset {facts['opset']}, {facts['nodes']} nodes")
    rows = [(e["kind"], e["name"], e["shape"]) for e in facts["tensors"]]
    out.table("", ("", "name", "shape"), rows)
    out.table("", ("operator", "nodes"), sorted(facts["operators"].items()))


def onnx_facts(data: bytes) -> dict[str, Any]:
    """What an ONNX file holds; runs in a worker.

    Raises:
        ModelError: it is no ONNX model.
    """
    from collections import Counter

    import onnx

    from ..errors import ModelError

    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:
        raise ModelError("the file is not an ONNX model, or is cut short") from error
    constants = {tensor.name for tensor in proto.graph.initializer}
    tensors = [
        {
            "kind": kind,
            "name": value.name,
            "shape": "x".join(
                str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?"
                for dim in value.type.tensor_type.shape.dim
            ),
        }
        for kind, values in (("input", proto.graph.input), ("output", proto.graph.output))
        for value in values
        if value.name not in constants
    ]
    return {
        "opset": max((entry.version for entry in proto.opset_import), default=0),
        "nodes": len(proto.graph.node),
        "operators": dict(Counter(node.op_type for node in proto.graph.node)),
        "tensors": tensors,
    }
