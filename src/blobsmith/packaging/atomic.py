"""Files that appear whole or not at all.

A build writes a blob and its manifest. A reader that finds one without the other, or half of
either, would work from wrong facts, so both are written beside their place, flushed to the disk,
and renamed into it. Whatever fails, the folder is left as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Union

from ..errors import EnvironmentFault

PathLike = Union[str, "os.PathLike[str]"]


def write_atomic(path: PathLike, data: bytes) -> None:
    """Writes one file whole or not at all.

    Args:
        path: the file; an existing one is replaced, through a symbolic link too. Its folder must
            exist.
        data: the whole content.

    Raises:
        EnvironmentFault: the folder is missing or not writable, the disk is full, or `path` is
            something that must not be replaced (a folder, a device). Nothing is left behind.
    """
    write_all_atomic({Path(path): data})


def write_all_atomic(files: Mapping[Path, bytes] | Mapping[str, bytes]) -> None:
    """Writes several files so that all of them appear, or none.

    All are written in full under temporary names before the first is renamed into place; should
    a later rename fail, the earlier ones are undone. (A power cut between two renames can still
    part them: every manifest holds the hash of its file, so a reader notices.)

    Args:
        files: path -> content.

    Raises:
        EnvironmentFault: as in `write_atomic`.
    """
    targets = [(Path(os.path.realpath(path)), data) for path, data in files.items()]
    temporary: list[Path] = []
    done: list[tuple[Path, Path | None]] = []
    where = ""
    try:
        for target, data in targets:
            where = str(target)
            _refuse_special(target)
            temporary.append(_beside(target, "tmp"))
            _write_whole(temporary[-1], data)
        for (target, _), written in zip(targets, temporary, strict=True):
            where = str(target)
            backup = _backup(target)
            done.append((target, backup))
            os.replace(written, target)
    except BaseException as error:
        _undo(temporary, done)
        if isinstance(error, OSError):
            raise _fault(error, where) from error
        raise
    for _, backup in done:
        if backup is not None:
            backup.unlink(missing_ok=True)
    for folder in {target.parent for target, _ in targets}:
        _sync_folder(folder)


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}.{kind}")


def _refuse_special(target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        mode = target.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise EnvironmentFault(
                f"the output cannot be written: it is {kind}",
                where=str(target),
                remedy="give the name of a file with -o",
            )


def _write_whole(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with open(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _backup(target: Path) -> Path | None:
    if not target.exists():
        return None
    backup = _beside(target, "old")
    try:
        os.link(target, backup)
    except OSError:  # a file system without hard links
        try:
            shutil.copy2(target, backup)
        except OSError:
            backup.unlink(missing_ok=True)
            raise
    return backup


def _undo(temporary: list[Path], done: list[tuple[Path, Path | None]]) -> None:
    waiting = {path for path in temporary if path.exists()}
    for (target, backup), written in zip(done, temporary, strict=False):
        with contextlib.suppress(OSError):
            if written in waiting:  # its rename did not happen
                if backup is not None:
                    backup.unlink(missing_ok=True)
            elif backup is not None:
                os.replace(backup, target)
            else:
                target.unlink(missing_ok=True)
    for path in waiting:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    # Some file systems refuse to sync a folder; the files themselves are safe by now.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_REMEDIES = {
    errno.ENOSPC: "free some space, or write to another disk with -o",
    errno.EDQUOT: "your quota is used up: free some space, or write to another disk with -o",
    errno.EACCES: "write to a folder of your own with -o",
    errno.EPERM: "write to a folder of your own with -o",
    errno.EROFS: "this disk is read-only: write to another with -o",
    errno.ENOENT: "create the folder first, or correct the path",
    errno.ENOTDIR: "a part of the path is a file: correct the path",
    errno.ENAMETOOLONG: "give a shorter name with -o",
}


def _fault(error: OSError, where: str) -> EnvironmentFault:
    reason = error.strerror or type(error).__name__
    if error.errno == errno.ENOENT:
        reason = f"there is no folder {Path(where).parent}"
    return EnvironmentFault(
        f"the file cannot be written: {reason}",
        where=where,
        remedy=_REMEDIES.get(error.errno or 0, "check the disk and the path given with -o"),
    )
