"""Verifying a finished file against a source: the frames, both runs, and the comparison."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CheckFailed, PackageError
from .packaging.artifact import Artifact
from .reference import frames_for, module_outputs, onnx_outputs
from .tensors import InputRequest, TensorSpec
from .verify import Verification, compare, thresholded_outputs

if TYPE_CHECKING:
    import numpy as np

    from .model import Model

    Array = np.ndarray[Any, Any]


def verify_artifact(
    artifact: Artifact,
    against: Any,
    *,
    inputs: Mapping[str, InputRequest] | None = None,
    frames: str | Path | None = None,
    limit: int = 8,
    shaves: int | None = None,
) -> Verification:
    """Runs a blob on the emulator and its source in FP32 on the same frames.

    Args:
        artifact: what was built.
        against: an nn.Module, zoo name, "file.py:Class", "package.module:Class" or .onnx path.
        inputs: shapes for a source that declares none; None: those of the blob.
        frames: image, folder or video to verify on besides noise and a photograph.
        limit: how many of them at most.
        shaves: which blob of a superblob; None: the vendors' base of 8.

    Raises:
        PackageError: the file holds no blob.
        CheckFailed: source and blob have other inputs or outputs.
        ModelError: the source.
    """
    from .emulator import Emulator

    if artifact.holds == "onnx":
        raise PackageError(
            "the file holds no blob to verify",
            where=artifact.name,
            remedy="verify the blob that is built of its ONNX",
        )
    model = _source(artifact, against, inputs)
    _compare_names(artifact, model)
    sets = frames_for(model.inputs)
    if frames is not None:
        sets += user_frames(frames, model.inputs, limit)
    if model.module is not None:
        reference = module_outputs(model, sets)
    else:
        reference = onnx_outputs(functools.partial(_in_worker, model.onnx_bytes), model, sets)
    emulator = Emulator(artifact.blob(shaves))
    results = [emulator.run(frame) for frame in sets]
    warnings = sorted({str(w) for result in results for w in result.warnings})
    return compare(
        artifact.outputs, reference, results,
        thresholded=thresholded_outputs(model.proto), warnings=warnings[:20],
    )  # fmt: skip


def _in_worker(onnx_bytes: bytes, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    from .graph.equivalence import run
    from .workers import default_executor

    outputs: Mapping[str, Array] = default_executor().submit(run, onnx_bytes, feeds).result()
    return outputs


def _source(artifact: Artifact, against: Any, inputs: Mapping[str, InputRequest] | None) -> Model:
    """The source at the blob's shapes, with the colour order and preprocessing of the manifest."""
    from . import sources
    from .workers import default_executor

    requests = dict(inputs or {})
    if not requests:
        requests = {spec.name: InputRequest(shape=spec.shape) for spec in artifact.inputs}
    names = [spec.name for spec in artifact.outputs]
    if isinstance(against, (str, Path)) and str(against).lower().endswith(".onnx"):
        data = _read(Path(against))
        load: Callable[..., Model] = sources.load_onnx
        job = default_executor().submit(
            load, data, name=Path(against).name, inputs=requests, outputs=None
        )
        model: Model = job.result()
    else:
        model = sources.load(against, inputs=requests, outputs=names)
    known = {spec.name: spec for spec in artifact.inputs}
    for spec in model.inputs:
        if spec.name in known and spec.shape != known[spec.name].shape:
            sizes = ["x".join(map(str, shape)) for shape in (known[spec.name].shape, spec.shape)]
            raise CheckFailed(
                f"the blob's input {spec.name!r} is {sizes[0]}, and {sizes[1]} was asked for",
                where=artifact.name,
                remedy="leave --input out: the blob says its own sizes",
            )
    if artifact.manifest is None:
        return replace(
            model,
            inputs=tuple(
                replace(spec, dtype=known[spec.name].dtype) if spec.name in known else spec
                for spec in model.inputs
            ),
        )
    return replace(model, inputs=tuple(known.get(spec.name, spec) for spec in model.inputs))


def _read(path: Path) -> bytes:
    from .errors import SourceError

    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"the file cannot be read: {error.strerror}", where=str(path)) from error


def _compare_names(artifact: Artifact, model: Model) -> None:
    for kind, have, want in (
        ("input", artifact.inputs, model.inputs),
        ("output", artifact.outputs, model.outputs),
    ):
        mine, theirs = {s.name for s in have}, {s.name for s in want}
        if mine != theirs:
            raise CheckFailed(
                f"blob and source have other {kind}s: {', '.join(sorted(mine))} in the blob, "
                f"{', '.join(sorted(theirs))} in the source",
                where=artifact.name,
                remedy="verify against the source that the blob was built from",
            )


def user_frames(
    frames: str | Path, specs: tuple[TensorSpec, ...], limit: int
) -> list[dict[str, Array]]:
    """The user's frames as input sets."""
    from collections import deque

    from .runtime.feed import feeds, plan_inputs
    from .runtime.sources import open_source, take

    plan = plan_inputs(specs)
    history: deque[Any] = deque(maxlen=plan.history)
    sets = []
    with open_source(frames) as source:
        for frame in take(source, limit):
            history.appendleft(frame.image)
            sets.append(dict(feeds(plan, specs, tuple(history), {}, frame.index)))
    return sets
