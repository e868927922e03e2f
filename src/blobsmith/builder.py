"""The only orchestrator of the road: a module, file or name in, a checked blob out."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _version, cache
from .errors import BlobsmithError, EnvironmentFault, SourceError, UsageError
from .packaging.atomic import write_all_atomic
from .packaging.manifest import Manifest, manifest_path
from .road import OnnxFile, Preprocessing, Request, Result, Step
from .tensors import Color, DType, InputRequest

if TYPE_CHECKING:
    import numpy as np

    from .blob import Blob
    from .model import Model
    from .packaging.archive import ExecutableKind
    from .verify import Verification

FORMATS = ("blob", "superblob", "archive")
CONTENTS = ("blob", "superblob", "onnx")
ALL_SHAVES = tuple(range(1, 17))
DEFAULT_SHAVES = 6
InputsLike = Mapping[str, "InputRequest | Sequence[int]"]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """Every option of a build that can change its result; the defaults are the command's.

    Attributes:
        shaves: SHAVEs to compile for; 1 to 16.
        cmx_slices: CMX slices of 128 KiB; None: as many as shaves.
        format: "blob", "superblob" (all 16 shave counts) or "archive" (an NN Archive).
        contents: what an archive holds: "blob", "superblob", or "onnx" for vendors' other tools.
        classes: names of a classifier's classes, for the archive.
        optimize: rewrite the graph for the chip; False is the plain recipe.
        verify: run the blob on the emulator against the user's function.
        check: look for FP16 trouble.
        fix_fp16: rescale where FP16 would overflow.
        hardware: use the convolution engine.
        opset: ONNX opset of the export, at most 15.
        exporter: "auto", "torchscript" or "dynamo".
        color: channel order that the function expects of its image inputs: "bgr", "rgb", "gray".
        output_dtypes: element types of outputs, name and "fp16" or "fp32"; "*" is every output.
        mean, scale: put into the graph: (frame - mean) / scale, one value or one a channel.
    """

    shaves: int = DEFAULT_SHAVES
    cmx_slices: int | None = None
    format: str = "blob"
    contents: str = "blob"
    classes: tuple[str, ...] = ()
    optimize: bool = True
    verify: bool = True
    check: bool = True
    fix_fp16: bool = False
    hardware: bool = True
    opset: int = 12
    exporter: str = "auto"
    output_dtypes: tuple[tuple[str, DType], ...] = ()
    color: Color | None = None
    mean: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(
                f"there is no format {self.format!r}", remedy=f"give one of {', '.join(FORMATS)}"
            )
        if self.contents not in CONTENTS:
            raise UsageError(
                f"an archive cannot hold {self.contents!r}",
                remedy=f"give one of {', '.join(CONTENTS)}",
            )
        if self.classes and self.format != "archive":
            raise UsageError("class names go into an archive", remedy="build with format archive")
        if not 1 <= self.shaves <= 16:
            raise UsageError(f"{self.shaves} shaves cannot be compiled for", remedy="give 1 to 16")


@dataclass(frozen=True)
class BuildResult:
    """What a build made.

    Attributes:
        path: the file written; None if none was asked for.
        onnx_path: the ONNX it was compiled from, beside it.
        artifact: the file's bytes.
        onnx_bytes: that ONNX.
        manifest: what stands in FILE.json.
        blob_bytes: the blob (of a superblob or archive: the one for `options.shaves`).
        steps: each step with its time and one line of result.
        verification: None where none was asked for, or from the cache.
        rewrites: names of the rules applied.
        warnings: sentences for the user.
        cached: taken from the cache.
        result: the worker's whole answer; None from the cache.
    """

    path: Path | None
    onnx_path: Path | None
    artifact: bytes
    onnx_bytes: bytes
    manifest: Manifest
    blob_bytes: bytes
    steps: tuple[Step, ...]
    verification: Verification | None
    rewrites: tuple[str, ...]
    warnings: tuple[str, ...]
    cached: bool = False
    result: Result | None = None

    @property
    def model(self) -> Model:
        """The graph that was compiled, with the specs of the blob's boundary."""
        from .model import Model

        specs = (self.manifest.inputs, self.manifest.outputs)
        return Model(self.onnx_bytes, *specs, self.manifest.origin)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user may want to know of the source; empty from the cache."""
        return self.result.notes if self.result is not None else ()

    @property
    def blob(self) -> Blob:
        """The blob, read."""
        from .blob import Blob

        return Blob.from_bytes(self.blob_bytes)

    @property
    def stages(self) -> int:
        """Number of stages of the blob."""
        return len(self.blob.stages)


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
    options = _options(options, changes)
    tell = progress or (lambda _: None)
    requests = requests_of(inputs)
    target = Path(output) if output is not None else None
    _check_target(target)
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
    keep = use_cache and frames is None and not _has_weights_elsewhere(loaded)
    entry_key = _key(loaded, requests, outputs, options)
    if keep and (entry := cache.load(entry_key)) is not None:
        return _from_cache(entry, target, options)
    request = Request(
        source=loaded, toolchain=str(find()),
        shaves=_shave_counts(options), cmx_slices=options.cmx_slices, hardware=options.hardware,
        optimize=options.optimize, check=options.check, fix_fp16=options.fix_fp16,
        verify=options.verify, frames=tuple(frames) if frames is not None else None,
        preprocessing=Preprocessing(options.color, options.mean, options.scale),
        output_dtypes=options.output_dtypes,
    )  # fmt: skip
    began = time.perf_counter()
    request, begun = _begin(request, executor)
    request = _with_reference(request, tell)
    if request.reference is not None:
        told = f"{len(request.reference)} frames through the function in FP32"
        own.append(Step("reference", time.perf_counter() - began, told))
    result = _run(request, executor, tell, begun)
    result = replace(result, steps=(*own, *result.steps))
    artifact = _package(result, options, _origin(loaded))
    blob_bytes = result.blobs[options.shaves]
    manifest = Manifest.describing(
        artifact, kind=options.format,  # type: ignore[arg-type]
        shaves=ALL_SHAVES if _all_variants(options) else (options.shaves,),
        origin=_origin(loaded), inputs=result.model.inputs, outputs=result.model.outputs,
        onnx_path=None, onnx_sha256=result.model.sha256, options=asdict(options),
        versions={"blobsmith": _version.__version__, "toolchain": _toolchain_identity()},
        steps=tuple(step.to_dict() for step in result.steps),
    )  # fmt: skip
    if keep:
        cache.store(entry_key, cache.Entry(artifact, manifest, result.model.onnx_bytes))
    path, onnx_path, manifest = _write(target, artifact, manifest, result.model.onnx_bytes)
    return BuildResult(
        path=path, onnx_path=onnx_path, artifact=artifact, manifest=manifest,
        onnx_bytes=result.model.onnx_bytes,
        blob_bytes=blob_bytes, steps=result.steps, verification=result.verification,
        rewrites=result.rewrites, warnings=result.warnings, result=result,
    )  # fmt: skip


def _options(options: Options | None, changes: Mapping[str, Any]) -> Options:
    known = set(Options.__dataclass_fields__)
    unknown = sorted(set(changes) - known)
    if unknown:
        raise UsageError(
            f"build has no option {unknown[0]!r}", remedy=f"it has {', '.join(sorted(known))}"
        )
    made = replace(options or Options(), **changes)
    return replace(made, mean=_values(made.mean), scale=_values(made.scale))


def _values(value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    return (float(value),) if isinstance(value, (int, float)) else tuple(map(float, value))


def _request(name: str, value: InputRequest | Sequence[int]) -> InputRequest:
    if isinstance(value, InputRequest):
        return value
    try:
        shape = tuple(int(size) for size in value)
    except (TypeError, ValueError):
        raise UsageError(
            f"the shape of {name!r} is not a sequence of numbers", remedy="e.g. (1, 3, 300, 300)"
        ) from None
    return InputRequest(shape=shape)


def _check_target(target: Path | None) -> None:
    if target is not None and not target.parent.is_dir():
        raise EnvironmentFault(
            "the output's folder does not exist", where=str(target.parent), remedy="create it"
        )


def requests_of(inputs: InputsLike | None) -> dict[str, InputRequest] | None:
    """Bare shapes as requests.

    Raises:
        UsageError: a shape is not a sequence of numbers.
    """
    return {name: _request(name, value) for name, value in (inputs or {}).items()} or None


def load_source(
    source: Any,
    requests: Mapping[str, InputRequest] | None,
    outputs: Sequence[str] | None,
    *,
    opset: int = 12,
    exporter: str = "auto",
    tell: Progress = lambda _: None,
) -> Model | OnnxFile:
    """What the user named: an .onnx file is only read here, a function is exported.

    Raises:
        SourceError: there is nothing of that name, or it cannot be exported.
    """
    if isinstance(source, (str, os.PathLike)) and str(source).lower().endswith(".onnx"):
        path = Path(source)
        source = (_read(path), path.name, str(path.resolve().parent))
    if isinstance(source, tuple):
        data, name, *folder = source
        wanted = tuple(outputs) if outputs else None
        return OnnxFile(data, name, requests, wanted, folder[0] if folder else None)
    tell("export")
    from . import sources

    return sources.load(source, inputs=requests, outputs=outputs, opset=opset, exporter=exporter)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.onnx")])
        raise SourceError(
            "there is no such file",
            where=str(path),
            remedy=f"did you mean {path.parent / near[0]}?" if near else "check the path",
        ) from None
    except OSError as error:
        raise SourceError(
            f"the file cannot be read: {error.strerror}", where=str(path), remedy="check the path"
        ) from error


def _has_weights_elsewhere(loaded: Model | OnnxFile) -> bool:
    """Whether an .onnx names files of its own: their content is not part of a cache key.

    Found without parsing: protobuf writes the key "location" of an external tensor so.
    """
    return isinstance(loaded, OnnxFile) and b"\x0a\x08location" in loaded.data


def _exported(loaded: Model | OnnxFile, seconds: float) -> list[Step]:
    """The export as a step; reading an .onnx file is one of the worker's."""
    if isinstance(loaded, OnnxFile):
        return []
    return [Step("export", seconds, f"{loaded.origin}, {len(loaded.proto.graph.node)} nodes")]


def _origin(loaded: Model | OnnxFile) -> str:
    return loaded.name if isinstance(loaded, OnnxFile) else loaded.origin


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
        content, {**asdict(options), "specs": specs, "origin": _origin(loaded)},
        _toolchain_identity(),
    )  # fmt: skip


def _all_variants(options: Options) -> bool:
    return options.format == "superblob" or (
        options.format == "archive" and options.contents == "superblob"
    )


def _shave_counts(options: Options) -> tuple[int, ...]:
    """Which variants are compiled; the wanted one last, since that is the one verified."""
    if not _all_variants(options):
        return (options.shaves,)
    return (*(count for count in ALL_SHAVES if count != options.shaves), options.shaves)


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
        error.where = error.where or _origin(request.source)
        raise
    return result


def _package(result: Result, options: Options, origin: str) -> bytes:
    if options.format == "blob":
        return result.blobs[options.shaves]
    if options.format == "superblob":
        from .packaging.superblob import make_superblob

        return make_superblob(result.blobs)
    from .packaging.archive import make_archive

    inner, kind = _contents(result, options)
    described = Manifest.describing(
        inner, kind=kind if kind == "superblob" else "blob",
        shaves=ALL_SHAVES if kind == "superblob" else (options.shaves,),
        origin=origin, inputs=result.model.inputs, outputs=result.model.outputs,
        onnx_sha256=result.model.sha256, options=asdict(options),
    ) if kind != "onnx" else None  # fmt: skip
    return make_archive(
        inner, kind=kind, name=_plain_name(origin), inputs=result.model.inputs,
        outputs=result.model.outputs, manifest=described, classes=options.classes or None,
    )  # fmt: skip


def _contents(result: Result, options: Options) -> tuple[bytes, ExecutableKind]:
    """What an archive holds."""
    if options.contents == "onnx":
        return result.model.onnx_bytes, "onnx"
    if options.contents == "superblob":
        from .packaging.superblob import make_superblob

        return make_superblob(result.blobs), "superblob"
    return result.blobs[options.shaves], "blob"


def _plain_name(origin: str) -> str:
    tail = origin.rsplit(":", 1)[-1].rsplit("/", 1)[-1]
    return tail.removesuffix(".onnx") or "model"


def _write(
    target: Path | None, artifact: bytes, manifest: Manifest, onnx_bytes: bytes
) -> tuple[Path | None, Path | None, Manifest]:
    if target is None:
        return None, None, manifest
    onnx_path = target.with_name(target.name + ".onnx")
    manifest = replace(manifest, onnx_path=onnx_path.name)
    write_all_atomic(
        {target: artifact, onnx_path: onnx_bytes, manifest_path(target): manifest.to_bytes()}
    )
    return target, onnx_path, manifest


def _from_cache(entry: cache.Entry, target: Path | None, options: Options) -> BuildResult:
    path, onnx_path, manifest = _write(target, entry.artifact, entry.manifest, entry.onnx_bytes)
    blob_bytes = entry.artifact
    if options.format == "superblob":
        from .packaging.superblob import Superblob

        blob_bytes = Superblob.from_bytes(entry.artifact).blob(options.shaves)
    elif options.format == "archive":
        blob_bytes = _inside(entry.artifact, options.shaves)
    steps = tuple(_step(dict(step)) for step in manifest.steps)
    applied = next((s.detail.get("applied", ()) for s in steps if s.name == "rewrite"), ())
    return BuildResult(
        path=path, onnx_path=onnx_path, artifact=entry.artifact, manifest=manifest,
        onnx_bytes=entry.onnx_bytes,
        blob_bytes=blob_bytes, steps=steps, verification=None,
        rewrites=tuple(item["rule"] for item in applied), warnings=(), cached=True,
    )  # fmt: skip


def _inside(archive: bytes, shaves: int) -> bytes:
    from .packaging.archive import Archive, pick_blob

    opened = Archive.from_bytes(archive)
    if opened.kind == "onnx":
        return b""
    return pick_blob(opened.kind, opened.executable, shaves, "")


def _step(data: dict[str, Any]) -> Step:
    return Step(data.pop("name"), data.pop("seconds"), data.pop("summary"), data)
