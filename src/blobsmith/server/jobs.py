"""What the server does with a client's file: inside a worker, from the file's first byte.

Results are plain values, so that the server itself loads neither NumPy nor ONNX, and so that a
worker that a hostile file has taken over can send it nothing but text, numbers and bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..options import SUFFIXES, Options
from ..spelling import strict_json
from ..workers import InlineExecutor, tell
from .wish import Wish

if TYPE_CHECKING:
    from ..builder import BuildResult

_MOST_WARNINGS = 40


@dataclass(frozen=True)
class Built:
    """A finished build.

    Attributes:
        name: of the artefact's file.
        files: content by "artifact", "manifest", "onnx" and perhaps "report".
        summary: what is told of it, as JSON.
    """

    name: str
    files: Mapping[str, bytes]
    summary: Mapping[str, Any]


def build(data: bytes, name: str, wish: Wish) -> Built:
    """Builds a client's model; nothing of it is written or kept.

    Raises:
        BlobsmithError: as `blobsmith.build`.
    """
    from .. import builder

    result = builder.build(
        (data, name), inputs=wish.inputs, outputs=wish.outputs or None, options=wish.options,
        use_cache=False, executor=InlineExecutor(),
    )  # fmt: skip
    return _packed(result, name, wish.options.format, wish.report)


def convert(
    data: bytes, name: str, shaves: int, config: bytes, compile_params: Sequence[str]
) -> Built:
    """Builds what blobconverter's client asks for.

    Args:
        data, name: the model.
        shaves: SHAVEs to compile for.
        config: the description that the client sends beside it.
        compile_params: compile tool parameters.

    Raises:
        BlobsmithError: as `blobsmith.build`.
    """
    from .. import builder
    from ..compat import parameters
    from ..compat.conversion import build_call
    from .cloud_config import optimizer_arguments

    pool = InlineExecutor()
    wanted = parameters.optimizer(optimizer_arguments(config))
    types = parameters.compile_tool(compile_params)
    call = build_call(data, name, wanted, types, pool)
    result = builder.build(**call, shaves=shaves, use_cache=False, executor=pool)
    return _packed(result, name, "blob", report=False)


def _packed(result: BuildResult, name: str, format_: str, report: bool) -> Built:
    artifact_name = name.removesuffix(".onnx") + SUFFIXES[format_]
    manifest = replace(result.manifest, onnx_path=artifact_name + ".onnx")
    files = {
        "artifact": result.artifact, "manifest": manifest.to_bytes(), "onnx": result.onnx_bytes,
    }  # fmt: skip
    if report:
        from ..report import collect, render

        tell("report")
        named = replace(result, path=Path(artifact_name))
        files["report"] = render(collect(named, executor=InlineExecutor())).encode()
    return Built(artifact_name, files, strict_json(_summary(result, artifact_name)))


def _summary(result: BuildResult, name: str) -> dict[str, Any]:
    compiled = next((step for step in result.steps if step.name == "compile"), None)
    warnings = list(result.warnings[:_MOST_WARNINGS])
    if unsaid := len(result.warnings) - len(warnings):
        warnings.append(f"and {unsaid} more warnings")
    manifest, verified = result.manifest, result.verification
    return {
        "name": name,
        "kind": manifest.kind,
        "size": manifest.size,
        "sha256": manifest.sha256,
        "shaves": list(manifest.shaves),
        "stages": compiled.detail["stages"] if compiled else None,
        "predicted_ms": compiled.detail["predicted_ms"] if compiled else None,
        "inputs": [spec.to_dict() for spec in manifest.inputs],
        "outputs": [spec.to_dict() for spec in manifest.outputs],
        "steps": [
            {"name": step.name, "seconds": round(step.seconds, 4), "summary": step.summary}
            for step in result.steps
        ],
        "rewrites": list(result.rewrites),
        "verification": verified.to_dict() if verified is not None else None,
        "warnings": warnings,
        "notes": list(result.notes),
    }


def check(data: bytes, name: str, wish: Wish) -> dict[str, Any]:
    """The FP16 report of a client's model, and what the compiler says of it.

    Raises:
        ModelError: the model cannot be used.
    """
    from ..checker import check_source
    from ..road import Preprocessing

    options: Options = wish.options
    found = check_source(
        (data, name), inputs=wish.inputs, outputs=wish.outputs or None,
        preprocessing=Preprocessing(options.color, options.mean, options.scale),
        executor=InlineExecutor(), progress=tell,
    )  # fmt: skip
    told: dict[str, Any] = strict_json({**found.report.to_dict(), "refusal": found.refusal})
    return told


def inspect(
    data: bytes, name: str, stages: bool = False, time: bool = False, shaves: int | None = None
) -> dict[str, Any]:
    """What is inside a .blob, .superblob, NN Archive or .onnx.

    Raises:
        ModelError: it is none of them, or damaged.
    """
    from ..inspection import file_facts, onnx_facts, time_facts
    from ..packaging.artifact import artifact_from_bytes

    if name.lower().endswith(".onnx"):
        return {"kind": "onnx", **onnx_facts(data)}
    artifact = artifact_from_bytes(data, name)
    facts = file_facts(artifact)
    if artifact.holds == "onnx":
        if stages or time:
            raise UsageError("an ONNX file has no stages and no time", remedy="build it first")
        return {**facts, **onnx_facts(artifact.executable)}
    from ..blob.show import describe, stage_rows

    blob = artifact.blob(shaves)
    facts.update(describe(blob))
    if stages:
        facts["stages"] = stage_rows(blob)
    if time:
        facts["time"] = time_facts(blob)
    told: dict[str, Any] = strict_json(facts)
    return told
