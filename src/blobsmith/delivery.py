"""What a build hands over: the artefact packed and written, from the worker or from the cache."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cache
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
    onnx_path = target.with_name(target.name + ".onnx")
    manifest = replace(manifest, onnx_path=onnx_path.name)
    write_all_atomic(
        {target: artifact, onnx_path: onnx_bytes, manifest_path(target): manifest.to_bytes()}
    )
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
