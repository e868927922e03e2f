"""The only orchestrator of the road: a module, file or name in, a checked blob out."""

from __future__ import annotations

import hashlib
import importlib
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _version, cache
from .delivery import BuildResult, check_files, files_of, from_cache, package, write
from .errors import BlobsmithError, EnvironmentFault
from .loading import (
    InputsLike,
    Progress,
    has_weights_elsewhere,
    load_source,
    origin_of,
    requests_of,
)
from .options import ALL_SHAVES, Options, all_variants, changed, shave_counts
from .packaging.manifest import Manifest
from .road import OnnxFile, Preprocessing, Request, Result, Step
from .tensors import InputRequest

if TYPE_CHECKING:
    import numpy as np

    from .model import Model

__all__ = ["BuildResult", "InputsLike", "Options", "build"]


def build(
    source: Any,
    *,
    inputs: InputsLike | None = None,
    outputs: Sequence[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    options: Options | None = None,
    frames: Sequence[Mapping[str, np.ndarray[Any, Any]]] | None = None,
    use_cache: bool = True,
    executor: Executor | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> BuildResult:
    """Builds a blob, superblob or archive.

    Args:
        source: an nn.Module, a zoo name, "file.py:Class", "package.module:Class", an .onnx path,
            or the bytes of an .onnx file and its name.
        inputs: shape (or InputRequest) by input name; may be left out where the source says.
        outputs: names for the outputs; "output", or "output_0", ... if left out.
        output: file to write, with FILE.json and FILE.onnx beside it; None: nothing is written.
        options: all options at once; single ones may be given as keywords, e.g. ``shaves=4``.
        frames: input sets to verify on (arrays at the blob's boundary); None makes some.
        use_cache: take a finished build of the same content, and keep this one.
        executor: where untrusted files meet native code; None: this process's own worker.
        progress: called with the name of each step that is about to take time.

    Raises:
        UsageError: an option that does not exist or fit.
        ModelError: the source, an operator, the opset (see the error tree).
        ToolchainError: the compiler is missing or damaged.
        CheckFailed: the blob is not right; nothing is written.
        EnvironmentFault: disk, memory, time.
    """
    options = changed(options, changes)
    tell = progress or (lambda _: None)
    requests = requests_of(inputs)
    target = Path(output) if output is not None else None
    if target is not None:
        check_files(files_of(target), source)
    from .myriad import toolchain

    find = toolchain.find if executor is None else toolchain.toolchain_directory
    is_file = isinstance(source, tuple) or str(source).lower().endswith(".onnx")
    if not (is_file and use_cache):
        find()  # what is missing is told before PyTorch is loaded and a module exported
    began = time.perf_counter()
    loaded = load_source(
        source, requests, outputs, opset=options.opset, exporter=options.exporter, tell=tell
    )
    own = _exported(loaded, time.perf_counter() - began)
    keep = use_cache and frames is None and not has_weights_elsewhere(loaded)
    entry_key = _key(loaded, requests, outputs, options)
    if keep and (entry := cache.load(entry_key)) is not None:
        return from_cache(entry, target, options)
    request = _request(loaded, str(find()), options, frames)
    began = time.perf_counter()
    request, begun = _begin(request, executor)
    request = _with_reference(request, tell)
    if request.reference is not None:
        told = f"{len(request.reference)} frames through the function in FP32"
        own.append(Step("reference", time.perf_counter() - began, told))
    result = _run(request, executor, tell, begun)
    result = replace(result, steps=(*own, *result.steps))
    artifact = package(result, options, origin_of(loaded))
    blob_bytes = result.blobs[options.shaves]
    manifest = Manifest.describing(
        artifact, kind=options.format,  # type: ignore[arg-type]
        shaves=ALL_SHAVES if all_variants(options) else (options.shaves,),
        origin=origin_of(loaded), inputs=result.model.inputs, outputs=result.model.outputs,
        onnx_path=None, onnx_sha256=result.model.sha256, options=asdict(options),
        versions={"blobsmith": _version.__version__, "toolchain": _toolchain_identity()},
        steps=tuple(step.to_dict() for step in result.steps),
    )  # fmt: skip
    if keep:
        cache.store(entry_key, cache.Entry(artifact, manifest, result.model.onnx_bytes))
    path, onnx_path, manifest = write(target, artifact, manifest, result.model.onnx_bytes)
    return BuildResult(
        path=path, onnx_path=onnx_path, artifact=artifact, manifest=manifest,
        onnx_bytes=result.model.onnx_bytes,
        blob_bytes=blob_bytes, steps=result.steps, verification=result.verification,
        rewrites=result.rewrites, warnings=result.warnings, result=result,
    )  # fmt: skip


def trial(loaded: Model | OnnxFile, options: Options, executor: Executor | None = None) -> Result:
    """What `build` would make of a source that is loaded already; nothing is written or kept.

    Raises:
        BlobsmithError: as `build`.
    """
    from .myriad.toolchain import toolchain_directory

    request = _request(loaded, str(toolchain_directory()), options)
    return _run(_with_reference(request, lambda _: None), executor, lambda _: None)


def _request(
    loaded: Model | OnnxFile,
    toolchain: str,
    options: Options,
    frames: Sequence[Mapping[str, np.ndarray[Any, Any]]] | None = None,
) -> Request:
    return Request(
        source=loaded, toolchain=toolchain,
        shaves=shave_counts(options), cmx_slices=options.cmx_slices, hardware=options.hardware,
        optimize=options.optimize, check=options.check, fix_fp16=options.fix_fp16,
        verify=options.verify, frames=tuple(frames) if frames is not None else None,
        preprocessing=Preprocessing(options.color, options.mean, options.scale),
        output_dtypes=options.output_dtypes,
    )  # fmt: skip


def _exported(loaded: Model | OnnxFile, seconds: float) -> list[Step]:
    """The export as a step; reading an .onnx file is one of the worker's."""
    if isinstance(loaded, OnnxFile):
        return []
    return [Step("export", seconds, f"{loaded.origin}, {len(loaded.proto.graph.node)} nodes")]


def _toolchain_identity() -> str:
    from .myriad import release

    return release.IDENTITY


def _key(
    loaded: Model | OnnxFile,
    requests: Mapping[str, InputRequest] | None,
    outputs: Sequence[str] | None,
    options: Options,
) -> str:
    if isinstance(loaded, OnnxFile):
        content = hashlib.sha256(loaded.data).hexdigest()
        specs: Any = [{k: asdict(v) for k, v in (requests or {}).items()}, list(outputs or ())]
    else:
        content = loaded.sha256
        specs = [spec.to_dict() for spec in (*loaded.inputs, *loaded.outputs)]
    return cache.key(
        content, {**asdict(options), "specs": specs, "origin": origin_of(loaded)},
        _toolchain_identity(),
    )  # fmt: skip


def _begin(request: Request, executor: Executor | None) -> tuple[Request, Future[None] | None]:
    """The request of a module, which this process's worker begins while the module runs here.

    Another executor may have several workers, and would begin in one and go on in another.
    """
    model = request.source
    if executor is not None or not request.verify or isinstance(model, OnnxFile):
        return request, None
    from . import road
    from .workers import default_executor

    request = replace(request, token=secrets.token_hex(8))
    return request, default_executor().submit(road.begin, request)


def _with_reference(request: Request, tell: Progress) -> Request:
    """Adds the FP32 outputs of the user's own module, which stays in this process."""
    model = request.source
    if isinstance(model, OnnxFile) or not request.verify or model.module is None:
        return request
    from .reference import frames_for, module_outputs

    tell("reference")
    seen = request.preprocessing.apply(model)
    frames = request.frames or tuple(frames_for(seen.inputs))
    return replace(request, frames=frames, reference=tuple(module_outputs(seen, frames)))


def _run(
    request: Request,
    executor: Executor | None,
    tell: Progress,
    begun: Future[None] | None = None,
) -> Result:
    from . import road
    from .workers import LimitedExecutor, default_executor

    pool = executor or default_executor()
    try:
        if begun is not None and isinstance(fault := begun.exception(), EnvironmentFault):
            raise fault  # out of time or memory: it would be so again
        if isinstance(pool, LimitedExecutor):
            job = pool.submit_telling(tell, road.run, request)
        else:
            job = pool.submit(road.run, request)
        if request.verify:
            importlib.import_module("numpy")  # the answer holds arrays; loads meanwhile
        result: Result = job.result()
    except BlobsmithError as error:
        error.where = error.where or origin_of(request.source)
        raise
    return result
