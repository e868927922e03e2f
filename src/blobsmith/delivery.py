"""What a build hands over: the artefact packed and written, from the worker or from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cache
from .errors import EnvironmentFault, UsageError
from .options import ALL_SHAVES, Options
from .packaging.atomic import write_all_atomic
from .packaging.manifest import Manifest, manifest_path
from .road import Result, Step

if TYPE_CHECKING:
    from .blob import Blob
    from .model import Model
    from .packaging.archive import ExecutableKind
    from .verify import Verification


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


def files_of(target: Path) -> tuple[Path, Path, Path]:
    """What a build writes: FILE, FILE.onnx and FILE.json."""
    return target, target.parent / f"{target.name}.onnx", manifest_path(target)


def check_files(files: Sequence[Path], source: Any) -> None:
    """Whether files can be written, as far as that shows before there is anything to write.

    Args:
        files: paths.
        source: what is built: none of them may be its own file.

    Raises:
        EnvironmentFault: a folder does not exist, or a file is one.
        UsageError: a file is the source's, or is given twice.
    """
    own = None
    if isinstance(source, (str, PathLike)):
        head = str(source).rpartition(":")[0] if ".py:" in str(source) else str(source)
        own = Path(head).resolve() if Path(head).is_file() else None
    for number, path in enumerate(files):
        if not path.parent.is_dir():
            raise EnvironmentFault(
                "the output's folder does not exist", where=str(path.parent), remedy="create it"
            )
        if path.is_dir():
            raise EnvironmentFault(
                "a folder stands where a file is to be written", where=str(path),
                remedy="name a file in it",
            )  # fmt: skip
        if path.resolve() == own:
            raise UsageError(
                "the output would be written over the source", where=str(path),
                remedy="give another name",
            )  # fmt: skip
        if path.resolve() in [other.resolve() for other in files[:number]]:
            raise UsageError(
                "two outputs have the same name", where=str(path), remedy="give each its own"
            )


def package(result: Result, options: Options, origin: str) -> bytes:
    """The bytes of the artefact that the options ask for."""
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


def write(
    target: Path | None, artifact: bytes, manifest: Manifest, onnx_bytes: bytes
) -> tuple[Path | None, Path | None, Manifest]:
    """Writes FILE, FILE.onnx and FILE.json, all or none; returns the paths and the manifest.

    Raises:
        EnvironmentFault: the disk is full, or the folder cannot be written.
    """
    if target is None:
        return None, None, manifest
    _, onnx_path, described = files_of(target)
    manifest = replace(manifest, onnx_path=onnx_path.name)
    write_all_atomic({target: artifact, onnx_path: onnx_bytes, described: manifest.to_bytes()})
    return target, onnx_path, manifest


def from_cache(entry: cache.Entry, target: Path | None, options: Options) -> BuildResult:
    """A finished build, written where it is wanted now."""
    path, onnx_path, manifest = write(target, entry.artifact, entry.manifest, entry.onnx_bytes)
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
