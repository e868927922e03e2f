"""NN Archive: a tar.xz with config.json, the executable, and here the manifest of that executable.

DepthAI reads archives generously: it ignores the version, unknown keys and names that do not
match the blob. So everything is checked here, on writing and on reading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..blob import Blob
from ..errors import PackageError
from ..tensors import TensorSpec
from .archive_config import config_specs, make_config, read_config, validate
from .manifest import Manifest
from .superblob import BASE_SHAVES, Superblob
from .tarball import read_tar, write_tar_xz

CONFIG_NAME = "config.json"
MANIFEST_NAME = "blobsmith.json"

ExecutableKind = Literal["blob", "superblob", "onnx"]
_SUFFIXES: dict[str, ExecutableKind] = {
    ".blob": "blob", ".superblob": "superblob", ".onnx": "onnx",
}  # fmt: skip


@dataclass(frozen=True)
class Archive:
    """An NN Archive that has been read and checked.

    Attributes:
        config: config.json as it stands.
        kind: what the executable is.
        path: the executable's name inside the archive.
        executable: its bytes.
        manifest: blobsmith's own manifest of the executable, if the archive holds one.
        notes: what differs between config and executable without harm.
    """

    config: Mapping[str, Any]
    kind: ExecutableKind
    path: str
    executable: bytes
    manifest: Manifest | None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "") -> Archive:
        """Reads an archive (tar, tar.xz, tar.gz, tar.bz2).

        Raises:
            PackageError: a damaged archive, no config or executable, a config that names other
                inputs or outputs than the blob has.
            BlobError: the blob inside is damaged.
        """
        files = read_tar(data, name)
        if CONFIG_NAME not in files:
            raise PackageError(
                "this is no NN Archive: it has no config.json",
                where=name,
                remedy="give the tar that a converter wrote, not one of its parts",
            )
        config = read_config(files[CONFIG_NAME])
        path = str(config["model"]["metadata"]["path"])
        executable = files.get(path.removeprefix("./"))
        if executable is None:
            raise PackageError(
                f"the archive's config names the model {path!r}, which is not in the archive",
                where=f"{name}: {', '.join(sorted(files))}",
                remedy="build the archive again: blobsmith build SOURCE --format archive",
            )
        kind = _kind(path, name)
        manifest = _manifest(files, executable, name)
        notes = _compare(config, kind, executable, f"{name}: {path}" if name else path)
        return cls(config, kind, path, executable, manifest, notes)

    def blob(self, shaves: int | None = None) -> bytes:
        """The blob inside.

        Args:
            shaves: which one of a superblob's; None: 8. For a plain blob it must be the count
                that it was compiled for.

        Raises:
            PackageError: there is none for that count, or the archive holds an ONNX.
        """
        return pick_blob(self.kind, self.executable, shaves, self.path)

    def dai_types(self) -> dict[str, str | None]:
        """What the config says of each input's frames: input name -> `dai.ImgFrame.Type`."""
        types: dict[str, str | None] = {}
        for entry in self.config["model"]["inputs"]:
            block = entry.get("preprocessing")
            value = block.get("dai_type") if isinstance(block, dict) else None
            types[entry["name"]] = value if isinstance(value, str) else None
        return types


def make_archive(
    executable: bytes,
    *,
    name: str,
    kind: ExecutableKind = "blob",
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    manifest: Manifest | None = None,
    classes: Sequence[str] | None = None,
    softmax: bool = False,
) -> bytes:
    """An NN Archive, checked by luxonis-ml where that is installed, and read back.

    Args:
        executable: the blob, superblob or ONNX file.
        name: the model's name; what is no letter, digit, "-", "_" or "." becomes "_".
        kind: what the executable is.
        inputs: specs at the executable's boundary (its dtypes, not the function's).
        outputs: likewise.
        manifest: of the executable (`Manifest.describing(executable, ...)`), carried along so
            that the archive keeps what config.json has no place for.
        classes: names of a classifier's classes; adds a classification head.
        softmax: whether its output already went through a softmax.

    Raises:
        PackageError: names, shapes or types do not match the executable; the manifest is another
            file's; the config is not valid.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "model"
    config = make_config(
        name=name,
        path=f"{safe[:80]}.{kind}",
        precision="float32" if kind == "onnx" else "float16",
        inputs=inputs,
        outputs=outputs,
        classes=classes,
        softmax=softmax,
    )
    validate(config)
    path = str(config["model"]["metadata"]["path"])
    files = {CONFIG_NAME: json.dumps(config, indent=2).encode(), path: executable}
    if manifest is not None:
        files[MANIFEST_NAME] = manifest.to_bytes()
    data = write_tar_xz(files)
    read_back = Archive.from_bytes(data)
    if read_back.notes:
        raise PackageError(f"the specs do not describe the model: {read_back.notes[0]}")
    return data


def read_archive(data: bytes, name: str = "") -> Archive:
    """Short for `Archive.from_bytes`."""
    return Archive.from_bytes(data, name)


def pick_blob(kind: ExecutableKind, data: bytes, shaves: int | None, where: str) -> bytes:
    """The blob for so many shaves out of a blob or superblob; see `Archive.blob`.

    Raises:
        PackageError: there is none for that count, or the data are an ONNX.
    """
    if kind == "onnx":
        raise PackageError(
            "this archive holds an ONNX file, which the camera's chip cannot run",
            where=where,
            remedy="build a blob of it: blobsmith build MODEL.onnx",
        )
    if kind == "superblob":
        return Superblob.from_bytes(data, where).blob(shaves or BASE_SHAVES)
    have = Blob.from_bytes(data, where).shaves
    if shaves not in (None, have):
        raise PackageError(
            f"the blob is compiled for {have} shaves, not for {shaves}",
            where=where,
            remedy=f"build it with --shaves {shaves}, or as a superblob, which holds all counts",
        )
    return data


def _kind(path: str, name: str) -> ExecutableKind:
    for suffix, kind in _SUFFIXES.items():
        if path.endswith(suffix):
            return kind
    raise PackageError(
        f"the archive's model {path!r} is for another chip or runtime",
        where=name,
        remedy="archives with a .blob, .superblob or .onnx can be read",
    )


def _manifest(files: Mapping[str, bytes], executable: bytes, name: str) -> Manifest | None:
    if MANIFEST_NAME not in files:
        return None
    manifest = Manifest.from_bytes(files[MANIFEST_NAME])
    if not manifest.describes(executable):
        raise PackageError(
            "the manifest in the archive belongs to another model: the hash it records differs",
            where=f"{name}: {MANIFEST_NAME}",
            remedy="build the archive again",
        )
    return manifest


def _compare(
    config: Mapping[str, Any], kind: ExecutableKind, executable: bytes, where: str
) -> tuple[str, ...]:
    if kind == "onnx":  # reading it is a worker's business; whoever runs it compares
        return ()
    base = Superblob.from_bytes(executable, where).base if kind == "superblob" else executable
    blob = Blob.from_bytes(base, where)
    return tuple(
        config_specs(config, "inputs", blob.input_specs)
        + config_specs(config, "outputs", blob.output_specs)
    )
