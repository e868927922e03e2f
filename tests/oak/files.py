"""Built files of the zoo for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

from blobsmith.packaging.artifact import Artifact, artifact_from_bytes

from ..zoo_blobs import blobs, manifest


def opened(name: str) -> Artifact:
    blob = blobs(name)[6]
    return artifact_from_bytes(blob, name, manifest=manifest(name, blob, "blob"))


def blob_file(name: str, folder: Path) -> Path:
    path = folder / f"{name}.blob"
    path.write_bytes(blobs(name)[6])
    return path
