"""Any file that blobsmith builds, opened: which blob it holds, and what is known of its tensors.

A blob, superblob and archive become the same value here, so that `inspect`, `run`, `verify` and
the DepthAI pipelines need not care which of them a user has. What a manifest says is compared
with the blob's own header before it is believed; what nobody says is named in `notes`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Union

from ..blob import Blob
from ..blob.header import read_header
from ..errors import EnvironmentFault, PackageError, SourceError
from ..tensors import Decoding, TensorSpec
from .archive import Archive, ExecutableKind, pick_blob
from .archive_config import frame_type
from .manifest import Manifest
from .superblob import SHAVE_COUNTS, Superblob, is_superblob
from .tarball import is_tar

FILE_LIMIT = 1 << 31

PathLike = Union[str, "os.PathLike[str]"]
FileKind = Literal["blob", "superblob", "archive"]


@dataclass(frozen=True)
class Artifact:
    """An opened blob, superblob or archive.

    Attributes:
        name: the file's path, for messages.
        kind: what the file is.
        holds: what is to be run: itself, or what the archive holds.
        executable: the bytes of that.
        inputs: specs; with the manifest's colour order if there is one.
        outputs: specs; with the manifest's decoding and factor if there is one.
        frame_types: input name -> the `dai.ImgFrame.Type` that it takes; None for no image.
        shave_counts: for which there is a blob.
        manifest: what the build recorded, or None.
        notes: what is not known, or differs without harm; one sentence each.
    """

    name: str
    kind: FileKind
    holds: ExecutableKind
    executable: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    frame_types: Mapping[str, str | None]
    shave_counts: tuple[int, ...]
    manifest: Manifest | None = None
    notes: tuple[str, ...] = ()

    def blob_bytes(self, shaves: int | None = None) -> bytes:
        """The blob for so many shaves; None: the only one, or 8 of a superblob.

        Raises:
            PackageError: there is none for that count.
        """
        return pick_blob(self.holds, self.executable, shaves, self.name)

    def blob(self, shaves: int | None = None) -> Blob:
        """`blob_bytes`, read."""
        return Blob.from_bytes(self.blob_bytes(shaves), self.name)

    def onnx_bytes(self) -> bytes:
        """The ONNX that the file was compiled from: the archive's, or the one beside the file.

        Raises:
            SourceError: it is not known, not there, or no longer the one that was compiled.
        """
        if self.holds == "onnx":
            return self.executable
        place = self.manifest.onnx_file(self.name) if self.manifest is not None else None
        if self.manifest is not None and place is not None and place.is_file():
            data = place.read_bytes()
            if hashlib.sha256(data).hexdigest() == self.manifest.onnx_sha256:
                return data
        raise SourceError(
            "the ONNX that this file was compiled from is not beside it, or has changed",
            where=str(place or self.name),
            remedy="keep FILE.json and FILE.onnx beside FILE, or run the .onnx itself",
        )


def open_artifact(path: PathLike) -> Artifact:
    """Opens a .blob, .superblob or NN Archive; what it is, its content says, not its suffix.

    Raises:
        PackageError: a damaged package, a missing patch, names that do not match, a manifest that
            belongs to another file.
        BlobError: not a blob, or a damaged one.
        EnvironmentFault: the file cannot be read.
    """
    name = os.fspath(path)
    try:
        if Path(path).stat().st_size > FILE_LIMIT:
            raise PackageError("the file is larger than any model for this chip", where=name)
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise PackageError(
            "there is no such file", where=name, remedy="build it: blobsmith build SOURCE"
        ) from error
    except OSError as error:
        raise EnvironmentFault(
            f"the file cannot be read: {error.strerror or error}",
            where=name,
            remedy="give a .blob, .superblob, NN Archive or .onnx",
        ) from error
    return artifact_from_bytes(data, name, manifest=Manifest.for_file(path))


def artifact_from_bytes(
    data: bytes, name: str = "", *, manifest: Manifest | None = None
) -> Artifact:
    """Opens an artefact in memory.

    Args:
        data: the file's content.
        name: for messages.
        manifest: of these bytes, or None. An archive brings its own, too.

    Raises:
        PackageError, BlobError: as in `open_artifact`.
    """
    if manifest is not None and not manifest.describes(data):
        raise PackageError("the manifest belongs to another file", where=name)
    if is_superblob(data):
        superblob = Superblob.from_bytes(data, name)
        blob = Blob.from_bytes(superblob.base, name)
        return _describe(name, "superblob", "superblob", data, blob, manifest, {}, ())
    suffix = Path(name).suffix.lower()
    if suffix == ".superblob":
        Superblob.from_bytes(data, name)  # says what is wrong with its sizes
    if suffix in (".onnx", ".xml") and not is_tar(data):
        raise PackageError(
            f"a {suffix} file is not compiled yet",
            where=name,
            remedy="build a blob of it: blobsmith build MODEL.onnx",
        )
    if not is_tar(data):
        blob = Blob.from_bytes(data, name)
        return _describe(name, "blob", "blob", data, blob, manifest, {}, ())
    archive = Archive.from_bytes(data, name)
    known = manifest or archive.manifest
    if archive.kind == "onnx":
        if known is None:
            raise PackageError(
                "the archive holds an ONNX file of which nothing is known",
                where=name,
                remedy="take the ONNX file out and build it: blobsmith build MODEL.onnx",
            )
        return Artifact(
            name, "archive", "onnx", archive.executable, known.inputs, known.outputs,
            archive.dai_types(), (), known, archive.notes,
        )  # fmt: skip
    data = archive.executable
    base = Superblob.from_bytes(data, name).base if archive.kind == "superblob" else data
    blob = Blob.from_bytes(base, name)
    types = archive.dai_types()
    return _describe(name, "archive", archive.kind, data, blob, known, types, archive.notes)


def _describe(
    name: str,
    kind: FileKind,
    holds: ExecutableKind,
    executable: bytes,
    blob: Blob,
    manifest: Manifest | None,
    types: Mapping[str, str | None],
    notes: Sequence[str],
) -> Artifact:
    inputs, outputs = blob.input_specs, blob.output_specs
    told = list(notes)
    if manifest is None:
        inputs = tuple(_guess_input(spec) for spec in inputs)
        outputs = tuple(_guess(spec) for spec in outputs)
        told.append(
            "there is no manifest: frames are given as planar BGR, and how to show the outputs is "
            "guessed from their shapes"
        )
    else:
        inputs = _agreed(manifest.inputs, inputs, "input", name)
        outputs = _agreed(manifest.outputs, outputs, "output", name)
    frames = {spec.name: types.get(spec.name) or frame_type(spec) for spec in inputs}
    shaves = SHAVE_COUNTS if holds == "superblob" else (read_header(executable, name).shaves,)
    return Artifact(
        name, kind, holds, executable, inputs, outputs, frames, shaves, manifest, tuple(told)
    )


def _agreed(
    said: Sequence[TensorSpec], real: Sequence[TensorSpec], kind: str, name: str
) -> tuple[TensorSpec, ...]:
    """The manifest's specs, after the blob's header has confirmed them."""
    have = {spec.name: (spec.dtype, spec.elements) for spec in real}
    told = {spec.name: (spec.dtype, spec.elements) for spec in said}
    if have != told:
        odd = sorted(set(have.items()) ^ set(told.items()))[0][0]
        raise PackageError(
            f"the manifest does not describe the {kind} {odd!r} as the blob has it",
            where=name,
            remedy="build the file again",
        )
    return tuple(said)


def _guess_input(spec: TensorSpec) -> TensorSpec:
    """An input of which only shape and type are known: cameras give BGR."""
    kind = frame_type(spec)
    if kind is None:
        return spec
    return replace(spec, color="gray" if kind.startswith("GRAY") else "bgr")


def _guess(spec: TensorSpec) -> TensorSpec:
    """An output of which only the shape is known."""
    sizes = [size for size in spec.shape if size > 1]
    if len(sizes) < 2:
        return replace(spec, decoding=Decoding("vector"))
    layout = "HW" if len(spec.shape) == 2 else spec.layout
    return replace(spec, layout=layout, decoding=Decoding("tensor"))
