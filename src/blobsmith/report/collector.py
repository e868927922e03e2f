"""From a finished build to the report's data: what the build kept, the rest computed here.

Drawing and checking parse the graph and run it, so both happen in a worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ..model import Model
from .chip import chip_view
from .drawing import Drawing
from .model import (
    FrameView,
    GraphView,
    OutputCheck,
    ReportData,
    RewriteView,
    StepView,
)
from .pictures import frame_view
from .ranges import ranges_view
from .snippet import snippets

if TYPE_CHECKING:
    import numpy as np

    from ..builder import BuildResult
    from ..numerics import CheckReport

    Feeds = Mapping[str, np.ndarray[Any, Any]]

TITLES = {"source": "As exported", "simplified": "Simplified", "compiled": "As compiled"}
_PACKAGES = ("torch", "kornia", "onnx", "onnxsim", "onnxruntime", "numpy")
_LINES = 4


def collect(
    result: BuildResult, *, check: CheckReport | None = None, executor: Executor | None = None
) -> ReportData:
    """All that the page shows of a build.

    A build from the cache knows less: its report has the compiled graph alone, and its FP32 side
    is that graph in ONNX Runtime.

    Args:
        result: what `build` returned.
        check: the FP16 check of the compiled graph; None: the quick one is made here.
        executor: where the graph is parsed and run; None: this process's own worker.

    Raises:
        EnvironmentFault: the worker died.
    """
    manifest = result.manifest
    model = result.model
    drawings, report = _in_worker(_examine, executor, _graphs(result), model, check)
    ranges = ranges_view(report, drawings.get("compiled")) if report is not None else None
    name = result.path.name if result.path is not None else ""
    checks = _checks(result)
    outcome, verdict = _verdict(result, checks)
    return ReportData(
        title=_title(manifest.origin),
        origin=manifest.origin,
        kind=manifest.kind,
        file=name,
        size=manifest.size,
        sha256=manifest.sha256,
        outcome=outcome,
        verdict=verdict,
        inputs=tuple(spec.to_dict() for spec in manifest.inputs),
        outputs=tuple(spec.to_dict() for spec in manifest.outputs),
        chip=chip_view(result.blob) if result.blob_bytes else None,
        cached=result.cached,
        steps=tuple(StepView(s.name, s.seconds, s.summary) for s in result.steps),
        options=dict(manifest.options),
        versions={**manifest.versions, **({} if result.cached else _versions())},
        hashes={
            manifest.kind: manifest.sha256,
            **({"ONNX": manifest.onnx_sha256} if manifest.onnx_sha256 else {}),
        },
        warnings=result.warnings,
        notes=result.notes,
        checks=checks,
        frame=_frame(result, executor),
        graphs=tuple(GraphView(key, TITLES[key], d) for key, d in drawings.items()),
        rewrites=_rewrites(result),
        rejected=tuple(
            (item["rule"], _line(item), item["reason"])
            for item in _step(result, "rewrite").get("rejected", ())
        ),
        ranges=ranges,
        repairs=_repairs(result),
        snippets=snippets(
            name or f"{_title(manifest.origin)}.blob", manifest.kind, manifest.inputs,
            manifest.outputs, _shaves(result),
        ),
    )  # fmt: skip


def summary(data: ReportData) -> dict[str, Any]:
    """The numbers that the index of several reports shows, JSON-ready."""
    counts = {view.key: view.drawing.total for view in data.graphs}
    shares = [check.share for check in data.checks if not check.thresholded]
    steps = [check.mismatched for check in data.checks if check.thresholded]
    return {
        "title": data.title,
        "origin": data.origin,
        "outcome": data.outcome,
        "nodes_before": counts.get("source"),
        "nodes_after": counts.get("compiled"),
        "stages": sum(not s.injected for s in data.chip.stages) if data.chip else None,
        "size": data.size,
        "predicted_ms": round(data.chip.predicted_ms, 4) if data.chip else None,
        "largest_share": max(shares) if shares else None,
        "mismatched": max(steps) if steps else None,
        "seconds": round(data.seconds, 3),
        "fp16": data.ranges.verdict if data.ranges else None,
    }


def _graphs(result: BuildResult) -> dict[str, bytes]:
    known = result.result.graphs if result.result is not None else {}
    return {**known, "compiled": result.onnx_bytes}


def _in_worker(job: Any, executor: Executor | None, *arguments: Any) -> Any:
    from ..workers import default_executor

    return (executor or default_executor()).submit(job, *arguments).result()


def _examine(
    graphs: Mapping[str, bytes], model: Model, check: CheckReport | None
) -> tuple[dict[str, Drawing], CheckReport | None]:
    """In the worker: the drawings, and the check if there is none yet."""
    from ..errors import BlobsmithError
    from ..numerics import quick_check
    from .graphs import draw_all

    if check is None:
        try:
            check = quick_check(model)
        except BlobsmithError:
            check = None
    return draw_all(graphs), check


def _frame(result: BuildResult, executor: Executor | None) -> FrameView | None:
    """The verification's photograph; without verification, one that is run here."""
    from ..emulator import Emulator
    from ..reference import frames_for

    if not result.blob_bytes:
        return None
    inputs, outputs = result.manifest.inputs, result.manifest.outputs
    sample = result.result.sample if result.result is not None else None
    if sample is not None:
        feeds, reference = sample
        said, label = "the function itself", "a set of inputs that the blob was verified on"
    else:
        feeds, label = frames_for(inputs)[1], "a photograph"
        reference = _in_worker(_run_onnx, executor, result.model, feeds)
        said = "the compiled graph in ONNX Runtime; the function itself was not run"
    actual = Emulator(result.blob).run(feeds)
    return frame_view(
        inputs, outputs, feeds, reference, actual, label=label, reference_label=said
    )  # fmt: skip


def _run_onnx(model: Model, feeds: Feeds) -> dict[str, Any]:
    """In the worker: the compiled graph in FP32, the recorded factors taken out."""
    from ..graph.equivalence import run

    found = run(model.onnx_bytes, feeds)
    return {spec.name: found[spec.name] / spec.decoding.factor for spec in model.outputs}


def _checks(result: BuildResult) -> tuple[OutputCheck, ...]:
    outputs = _step(result, "verify").get("verification", {}).get("outputs", ())
    return tuple(_output_check(output) for output in outputs)


def _output_check(output: Mapping[str, Any]) -> OutputCheck:
    """One output's comparison; a number that JSON could not hold comes back from its name."""
    values: dict[str, Any] = {
        name: float(output[name]) if output[name] in ("inf", "-inf", "nan") else output[name]
        for name in OutputCheck.__dataclass_fields__
    }
    return OutputCheck(**values)


def _verdict(result: BuildResult, checks: Sequence[OutputCheck]) -> tuple[Any, str]:
    verification = _step(result, "verify").get("verification")
    if verification is None:
        return "unverified", "Not verified: built without a comparison with the function."
    frames = verification["frames"]
    failed = [check for check in checks if not check.passed]
    if failed:
        return "failed", f"Output {failed[0].name} is not right: {failed[0].reason}"
    parts = []
    if shares := [check.share for check in checks if not check.thresholded]:
        worst = max(shares)
        parts.append(
            f"the largest error is {worst:.2g} of the output's range"
            if worst
            else "no value differs"
        )
    if steps := [check.mismatched for check in checks if check.thresholded]:
        parts.append(f"of what passes a threshold {max(steps):.2%} differs")
    said = "On the emulator the blob agrees with the function on"
    return "passed", f"{said} {frames} sets of inputs; {', and '.join(parts)}."


def _step(result: BuildResult, name: str) -> Mapping[str, Any]:
    """A step's details; empty if there was no such step."""
    return next((step.detail for step in result.steps if step.name == name), {})


def _rewrites(result: BuildResult) -> tuple[RewriteView, ...]:
    groups: dict[tuple[str, str], RewriteView] = {}
    for item in _step(result, "rewrite").get("applied", ()):
        key = (item["rule"], item["variant"])
        old = groups.get(key) or RewriteView(
            item["rule"], item["why"], item["exactness"], item["variant"], 0, ()
        )
        found = tuple(dict.fromkeys((*old.lines, _line(item))))
        groups[key] = replace(old, count=old.count + 1, lines=found[:_LINES])
    return tuple(groups.values())


def _repairs(result: BuildResult) -> tuple[str, ...]:
    return tuple(_step(result, "fix FP16").get("repair", {}).get("actions", ()))


def _line(item: Mapping[str, Any]) -> str:
    """The user's line in one line, or the node."""
    return str(item["where"]).strip().splitlines()[0] if item["where"] else ""


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _shaves(result: BuildResult) -> int:
    return int(result.manifest.options.get("shaves") or result.manifest.shaves[0])


def _title(origin: str) -> str:
    tail = origin.rsplit(":", 1)[-1].rsplit("/", 1)[-1]
    return tail.removesuffix(".onnx") or "model"
