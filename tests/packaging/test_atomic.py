"""Files appear whole or not at all, whatever fails on the way."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from blobsmith.errors import EnvironmentFault
from blobsmith.packaging import atomic
from blobsmith.packaging.atomic import write_all_atomic, write_atomic


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_new_and_replaces_old(tmp_path: Path) -> None:
    target = tmp_path / "a.blob"
    write_atomic(target, b"first")
    write_atomic(str(target), b"second")
    assert target.read_bytes() == b"second"
    assert names(tmp_path) == ["a.blob"]


def test_the_usual_permissions(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_atomic(tmp_path / "a", b"")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


class Disk:
    """Makes the n-th call of an os function fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, call: int, code: int) -> None:
        self.calls, self.call, self.code = 0, call, code
        self.real = getattr(os, name)
        monkeypatch.setattr(atomic.os, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls == self.call:
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*args, **kwargs)


@pytest.mark.parametrize("before", [False, True], ids=["new files", "old files"])
@pytest.mark.parametrize(
    ("function", "call"),
    [("open", 1), ("open", 2), ("fsync", 1), ("fsync", 2), ("replace", 1), ("replace", 2)],
)
def test_a_full_disk_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool, function: str, call: int
) -> None:
    blob, manifest = tmp_path / "a.blob", tmp_path / "a.blob.json"
    if before:
        write_all_atomic({blob: b"old blob", manifest: b"old manifest"})
    Disk(monkeypatch, function, call, errno.ENOSPC)
    with pytest.raises(EnvironmentFault, match="No space left") as caught:
        write_all_atomic({blob: b"new blob", manifest: b"new manifest"})
    assert caught.value.remedy
    assert names(tmp_path) == (["a.blob", "a.blob.json"] if before else [])
    if before:
        assert (blob.read_bytes(), manifest.read_bytes()) == (b"old blob", b"old manifest")


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    write_all_atomic({first: b"1", second: b"2"})
    Disk(monkeypatch, "link", 1, errno.EPERM)
    Disk(monkeypatch, "replace", 2, errno.EIO)
    with pytest.raises(EnvironmentFault):
        write_all_atomic({first: b"3", second: b"4"})
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")
    assert names(tmp_path) == ["a", "b"]


def test_an_interruption_cleans_up_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a", b"1")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("target", "named"),
    [("missing/a.blob", "no folder"), ("folder", "a folder"), ("a" * 300, "name too long")],
)
def test_places_that_cannot_be_written(tmp_path: Path, target: str, named: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(EnvironmentFault, match=f"(?i){named}") as caught:
        write_atomic(tmp_path / target, b"")
    assert caught.value.where


def test_a_device_is_not_replaced() -> None:
    with pytest.raises(EnvironmentFault, match="not a regular file"):
        write_atomic("/dev/null", b"")
    assert not Path("/dev/null").is_file()
