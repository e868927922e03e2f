"""Finished builds, keyed by content.

An entry's key is made of the source's bytes (an .onnx file) or its exported graph (a module), of
every option, of blobsmith's code and of the compiler's hash; a name never is part of it. An entry
is a directory that is renamed into place whole, and its blob is hashed again when it is read, so
that a half-written or altered entry is never used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _version
from .errors import EnvironmentFault
from .paths import cache_root

if TYPE_CHECKING:
    from .packaging.manifest import Manifest

LIMIT_BYTES = 2 << 30
_ARTIFACT, _MANIFEST, _ONNX = "artifact", "manifest.json", "model.onnx"


@dataclass(frozen=True)
class Entry:
    """A finished build: the artifact's bytes, what is known of it, and its ONNX."""

    artifact: bytes
    manifest: Manifest
    onnx_bytes: bytes


@dataclass(frozen=True)
class CacheInfo:
    """How much is kept, and where."""

    directory: Path
    entries: int
    size: int


def directory() -> Path:
    """Where finished builds are kept."""
    return cache_root() / "builds"


def code_fingerprint() -> str:
    """Changes whenever a file of this package does, so that a development tree is never stale."""
    lines: list[str] = []
    folders = [os.path.dirname(__file__)]
    while folders:  # not pathlib's rglob: it takes five times as long
        with os.scandir(folders.pop()) as found:
            for entry in found:
                if entry.is_dir():
                    folders.append(entry.path)
                elif entry.name.endswith(".py"):
                    info = entry.stat()
                    lines.append(f"{entry.path} {info.st_mtime_ns} {info.st_size}")
    text = "\n".join([_version.__version__, *sorted(lines)])
    return hashlib.sha256(text.encode()).hexdigest()


def key(source_sha256: str, options: Mapping[str, Any], toolchain: str) -> str:
    """The key of a build.

    Args:
        source_sha256: hash of the .onnx file, or of the exported graph.
        options: every option that can change the result, as JSON values.
        toolchain: the compiler's identity.
    """
    text = json.dumps(
        [source_sha256, options, toolchain, code_fingerprint()], sort_keys=True, default=str
    )
    return f"{_prefix(source_sha256)}{hashlib.sha256(text.encode()).hexdigest()}"


def holds(source_sha256: str) -> bool:
    """Whether there is any entry made of this source, whatever its options were."""
    prefix = _prefix(source_sha256)
    with contextlib.suppress(OSError):
        return any(name.startswith(prefix) for name in os.listdir(directory()))
    return False


def _prefix(source_sha256: str) -> str:
    return f"{source_sha256[:16]}-"


def load(entry_key: str) -> Entry | None:
    """The entry of this key; None if there is none or it is not sound."""
    from .packaging.manifest import Manifest

    place = directory() / entry_key
    try:
        artifact = (place / _ARTIFACT).read_bytes()
        manifest = Manifest.from_bytes((place / _MANIFEST).read_bytes())
        onnx_bytes = (place / _ONNX).read_bytes()
    except Exception:  # any damage means that there is no entry
        return None
    sound = (
        hashlib.sha256(artifact).hexdigest() == manifest.sha256
        and hashlib.sha256(onnx_bytes).hexdigest() == manifest.onnx_sha256
    )
    if not sound:
        return None
    with contextlib.suppress(OSError):
        os.utime(place)
    return Entry(artifact, manifest, onnx_bytes)


def store(entry_key: str, entry: Entry) -> None:
    """Keeps a finished build; a full or read-only disk only means that nothing is kept."""
    root = directory()
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=root, prefix=".writing-") as scratch:
            made = Path(scratch) / "entry"
            made.mkdir(mode=0o700)
            (made / _ARTIFACT).write_bytes(entry.artifact)
            (made / _MANIFEST).write_bytes(entry.manifest.to_bytes())
            (made / _ONNX).write_bytes(entry.onnx_bytes)
            place = root / entry_key
            if place.exists():
                place.rename(Path(scratch) / "replaced")
            made.rename(place)
        _prune(root)
    except OSError:
        return


def info() -> CacheInfo:
    """Counts what is kept."""
    entries = _entries(directory())
    return CacheInfo(directory(), len(entries), sum(size for _, _, size in entries))


def clear() -> CacheInfo:
    """Deletes all entries; returns what was there.

    Raises:
        EnvironmentFault: the directory cannot be deleted.
    """
    before = info()
    if before.directory.is_dir():
        try:
            shutil.rmtree(before.directory)
        except OSError as error:
            raise EnvironmentFault(
                f"the cache cannot be deleted: {error.strerror}", where=str(before.directory)
            ) from error
    return before


def _entries(root: Path) -> list[tuple[float, Path, int]]:
    found = []
    with contextlib.suppress(OSError):
        for place in root.iterdir():
            if place.name.startswith("."):
                continue
            with contextlib.suppress(OSError):
                size = sum(f.stat().st_size for f in place.iterdir())
                found.append((place.stat().st_mtime, place, size))
    return sorted(found)


def _prune(root: Path) -> None:
    entries = _entries(root)
    total = sum(size for _, _, size in entries)
    for _, place, size in entries:
        if total <= LIMIT_BYTES:
            break
        shutil.rmtree(place, ignore_errors=True)
        total -= size
