"""FILE.json: what is known of FILE beyond its bytes.

A blob's header knows names, shapes and types. It does not know the colour order that the user's
function expects, what an output means, by which factor it was scaled to fit in FP16, or which
ONNX it came from. The build writes that beside the file; `run`, `verify`, archives and the
DepthAI helpers read it. A manifest that does not belong to the file (an old one, left over from
another build) is worse than none, so the file's hash stands in it and is always compared.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union

from ..errors import EnvironmentFault, PackageError
from ..tensors import TensorSpec
from . import checks

MANIFEST_VERSION = 1
MANIFEST_LIMIT = 16 << 20

PathLike = Union[str, "os.PathLike[str]"]
ArtifactKind = Literal["blob", "superblob", "archive", "onnx"]
ARTIFACT_KINDS: tuple[ArtifactKind, ...] = ("blob", "superblob", "archive", "onnx")

_REMEDY = "rebuild the file, or delete the manifest and work from the blob's header alone"
_KEYS = (
    "version", "origin", "kind", "sha256", "size", "shaves", "onnx_path", "onnx_sha256",
    "inputs", "outputs", "options", "versions", "steps",
)  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """What a build records about the file it wrote.

    Attributes:
        origin: the source as the user gave it: "zoo:blur", "file.py:Class", "model.onnx".
        kind: what FILE is: "blob", "superblob", "archive", or the "onnx" inside an archive.
        sha256: hash of FILE.
        size: bytes of FILE.
        shaves: shave counts for which FILE holds a blob: one, 1 to 16 for a superblob, none for
            an ONNX.
        inputs: specs in the order of the function's parameters; `color` is the order that the
            *function* expects, frames are always handed over as planar BGR.
        outputs: specs in order, each with its decoding and the factor recorded for it.
        onnx_path: the ONNX the blob was compiled from, relative to the manifest's folder or
            absolute; None if it was not kept.
        onnx_sha256: hash of that ONNX; None if unknown.
        options: every option of the build, JSON values.
        versions: "blobsmith", "toolchain" and whatever else made a difference.
        steps: the road's steps in order, JSON objects that have at least a "name".
        version: format of the manifest; a newer one than this module knows is refused.
    """

    origin: str
    kind: ArtifactKind
    sha256: str
    size: int
    shaves: tuple[int, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    onnx_path: str | None = None
    onnx_sha256: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Mapping[str, Any], ...] = ()
    version: int = MANIFEST_VERSION

    def __post_init__(self) -> None:
        # Tuples in options become lists here and not only in the file, so that a manifest that
        # was written and read equals the one it was.
        object.__setattr__(self, "options", _plain(dict(self.options)))
        object.__setattr__(self, "steps", tuple(_plain(dict(step)) for step in self.steps))
        object.__setattr__(self, "versions", dict(self.versions))

    @classmethod
    def describing(
        cls,
        data: bytes,
        *,
        kind: ArtifactKind,
        shaves: tuple[int, ...],
        origin: str,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        onnx_path: str | None = None,
        onnx_sha256: str | None = None,
        options: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
        steps: tuple[Mapping[str, Any], ...] = (),
    ) -> Manifest:
        """The manifest of a file with this content; hash and size are taken from it.

        Raises:
            PackageError: a value is of the wrong kind (as in `from_dict`).
        """
        manifest = cls(
            origin=origin,
            kind=kind,
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            shaves=shaves,
            inputs=inputs,
            outputs=outputs,
            onnx_path=onnx_path,
            onnx_sha256=onnx_sha256,
            options=options or {},
            versions=versions or {},
            steps=steps,
        )
        return cls.from_dict(manifest.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The JSON-ready form; `from_dict` is its inverse."""
        return {
            "version": self.version,
            "origin": self.origin,
            "kind": self.kind,
            "sha256": self.sha256,
            "size": self.size,
            "shaves": list(self.shaves),
            "onnx_path": self.onnx_path,
            "onnx_sha256": self.onnx_sha256,
            "inputs": [spec.to_dict() for spec in self.inputs],
            "outputs": [spec.to_dict() for spec in self.outputs],
            "options": _plain(dict(self.options)),
            "versions": dict(self.versions),
            "steps": [_plain(dict(step)) for step in self.steps],
        }

    def to_bytes(self) -> bytes:
        """The file's content: indented JSON in UTF-8 that ends with a newline."""
        body = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        return (body + "\n").encode()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Manifest:
        """Reads and checks the JSON form.

        Raises:
            PackageError: a newer format, a missing or unknown key, a value of the wrong kind;
                `where` names the key.
        """
        have = data.get("version")
        if isinstance(have, int) and have > MANIFEST_VERSION:
            raise PackageError(
                f"the manifest has format {have}; this blobsmith reads up to {MANIFEST_VERSION}",
                where="version",
                remedy="upgrade blobsmith, or delete the manifest",
            )
        checks.whole(have, "version", low=1, high=MANIFEST_VERSION)
        missing = [key for key in _KEYS if key not in data]
        if missing:
            raise checks.problem(f"the key {missing[0]!r} is missing", "the manifest's top level")
        checks.known_keys(dict(data), _KEYS, "the manifest's top level")
        kind = checks.choice(data["kind"], ARTIFACT_KINDS, "kind")
        versions = checks.table(data["versions"], "versions")
        steps = checks.items(data["steps"], "steps", most=10_000)
        for index, step in enumerate(steps):
            checks.text(checks.table(step, f"steps[{index}]").get("name"), f"steps[{index}].name")
        return cls(
            origin=checks.text(data["origin"], "origin"),
            kind=next(known for known in ARTIFACT_KINDS if known == kind),
            sha256=checks.digest(data["sha256"], "sha256"),
            size=checks.whole(data["size"], "size", low=1, high=1 << 40),
            shaves=_shaves(data["shaves"]),
            inputs=_specs(data["inputs"], "inputs"),
            outputs=_specs(data["outputs"], "outputs"),
            onnx_path=checks.optional(data["onnx_path"], lambda v: checks.text(v, "onnx_path")),
            onnx_sha256=checks.optional(
                data["onnx_sha256"], lambda v: checks.digest(v, "onnx_sha256")
            ),
            options=checks.table(data["options"], "options"),
            versions={k: checks.text(v, f"versions.{k}") for k, v in versions.items()},
            steps=tuple(steps),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Reads the content of a manifest file.

        Raises:
            PackageError: not JSON, too large, or as in `from_dict`.
        """
        return cls.from_dict(checks.parse_object(data, "the manifest", limit=MANIFEST_LIMIT))

    @classmethod
    def read(cls, path: PathLike) -> Manifest:
        """Reads a manifest file (FILE.json itself).

        Raises:
            EnvironmentFault: it cannot be read.
            PackageError: as in `from_bytes`, with the file named.
        """
        try:
            with open(path, "rb") as stream:
                return cls.from_bytes(stream.read(MANIFEST_LIMIT + 1))
        except PackageError as error:
            where = f"{os.fspath(path)}: {error.where}" if error.where else os.fspath(path)
            raise PackageError(error.what, where=where, remedy=error.remedy or _REMEDY) from error
        except OSError as error:
            raise EnvironmentFault(
                f"the manifest cannot be read: {error.strerror or error}", where=os.fspath(path)
            ) from error

    @classmethod
    def for_file(cls, path: PathLike) -> Manifest | None:
        """The manifest beside a file (FILE.json next to FILE), None if there is none.

        Raises:
            PackageError: the manifest is damaged, or its hash is another file's: it is never
                applied to a file that it does not describe.
            EnvironmentFault: the file or its manifest cannot be read.
        """
        beside = manifest_path(path)
        if not beside.is_file():
            return None
        manifest = cls.read(beside)
        if _hash_file(Path(path)) != manifest.sha256:
            raise PackageError(
                "the manifest belongs to another file: the hash it records differs",
                where=f"{beside} and {os.fspath(path)}",
                remedy=_REMEDY,
            )
        return manifest

    def describes(self, data: bytes) -> bool:
        """Whether these bytes are the file that the manifest was written for."""
        return hashlib.sha256(data).hexdigest() == self.sha256

    def onnx_file(self, path: PathLike) -> Path | None:
        """Where the recorded ONNX lies, `path` being FILE; None if none was kept."""
        return None if self.onnx_path is None else Path(path).parent / self.onnx_path


def manifest_path(path: PathLike) -> Path:
    """FILE.json for FILE."""
    return Path(f"{os.fspath(path)}.json")


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise EnvironmentFault(
            f"the file cannot be read: {error.strerror or error}", where=str(path)
        ) from error
    return digest.hexdigest()


def _shaves(value: Any) -> tuple[int, ...]:
    entries = checks.items(value, "shaves", most=16)
    shaves = tuple(
        checks.whole(entry, f"shaves[{i}]", low=1, high=16) for i, entry in enumerate(entries)
    )
    if list(shaves) != sorted(set(shaves)):
        raise checks.problem("shave counts stand once each, in rising order", "shaves")
    return shaves


def _specs(value: Any, where: str) -> tuple[TensorSpec, ...]:
    entries = checks.items(value, where, least=1, most=256)
    specs = tuple(checks.tensor_spec(entry, f"{where}[{i}]") for i, entry in enumerate(entries))
    names = [spec.name for spec in specs]
    if len(set(names)) != len(names):
        raise checks.problem("two entries have the same name", where)
    return specs


def _plain(value: Any) -> Any:
    """The value as JSON would give it back: tuples as lists, keys as strings."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise PackageError(f"a manifest cannot hold a {type(value).__name__}", where="options")
