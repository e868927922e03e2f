"""Which files a source is made of, and whether one of them was saved."""

from __future__ import annotations

import hashlib
import importlib.util
import linecache
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import UsageError

Stamp = tuple[int, int, int]


def source_file(source: str) -> Path:
    """The file that is edited: of "file.py:Class", "package.module:Class" or an .onnx.

    Raises:
        UsageError: there is no file to watch, as with a zoo name.
    """
    head = source.rpartition(":")[0]
    path = Path(head if head.endswith(".py") else source)
    if path.suffix.lower() in (".py", ".onnx"):
        return path
    spec = None
    if head:
        sys.path.insert(0, str(Path.cwd()))
        try:
            spec = importlib.util.find_spec(head)
        except (ImportError, ValueError):
            spec = None
        finally:
            sys.path.remove(str(Path.cwd()))
    if spec is None or not spec.has_location or spec.origin is None:
        raise UsageError(
            f"there is no file to watch for {source!r}",
            remedy="give file.py:Class, package.module:Class or an .onnx file",
        )
    return Path(spec.origin)


class Watch:
    """Notices when a file has other content than before. A file that is gone has not changed:
    editors take it away for a moment while they save.

    Args:
        main: the file that is edited.
    """

    def __init__(self, main: Path) -> None:
        self.main = main
        self._seen: dict[Path, tuple[Stamp | None, str]] = {main: (_stamp(main), _hash(main))}

    def look(self, files: Iterable[Path], since: int) -> None:
        """Watches these files besides the main one, and no others.

        Args:
            files: those known before keep what was seen of them.
            since: when they were read, in nanoseconds since the epoch: a file that was written
                later counts as changed.
        """
        seen = {self.main: self._seen[self.main]}
        for file in files:
            stamp = _stamp(file)
            read = stamp is not None and stamp[0] < since
            new = (stamp, _hash(file)) if read else (None, "")
            seen.setdefault(file, self._seen.get(file, new))
        self._seen = seen

    def changed(self) -> bool:
        """Whether a file's content changed since the last call; a touch alone is no change."""
        found = False
        for file, (stamp, digest) in list(self._seen.items()):
            now = _stamp(file)
            if now is None or now == stamp:
                continue
            content = _hash(file)
            if content:
                self._seen[file] = (now, content)
                found |= content != digest
        return found


def imported_from(folder: Path, known: Mapping[str, object]) -> dict[str, Path]:
    """Modules that were imported from files in this folder or below it since `known` was taken.

    Args:
        folder: of the user's file.
        known: a copy of ``sys.modules`` from before.
    """
    root = folder.resolve()
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name in known or not isinstance(file, str):
            continue
        path = Path(file).resolve()
        if root in path.parents and "site-packages" not in path.parts:
            found[name] = path
    return found


def forget(modules: Iterable[str]) -> None:
    """Makes Python read these modules, and all source lines, from disk when next asked."""
    for name in modules:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    linecache.checkcache()


def _stamp(file: Path) -> Stamp | None:
    try:
        info = file.stat()
    except OSError:
        return None
    return info.st_mtime_ns, info.st_size, info.st_ino


def _hash(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""
