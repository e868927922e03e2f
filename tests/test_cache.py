"""Entries are found by content, and never used if anything about them is wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from blobsmith import cache
from blobsmith.packaging.manifest import Manifest
from blobsmith.tensors import TensorSpec


@pytest.fixture(autouse=True)
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("BLOBSMITH_CACHE", str(tmp_path))
    return tmp_path


def entry(content: bytes = b"blob", onnx: bytes = b"onnx") -> cache.Entry:
    spec = TensorSpec("x", (1, 3, 4, 4))
    manifest = Manifest.describing(
        content, kind="blob", shaves=(6,), origin="test", inputs=(spec,), outputs=(spec,),
        onnx_sha256=hashlib.sha256(onnx).hexdigest(),
    )  # fmt: skip
    return cache.Entry(content, manifest, onnx)


def test_what_is_stored_is_loaded() -> None:
    cache.store("k", entry())
    assert cache.load("k") == entry()


def test_nothing_is_loaded_from_nothing() -> None:
    assert cache.load("k") is None
    assert cache.info().entries == 0


@pytest.mark.parametrize("name", ["artifact", "manifest.json", "model.onnx"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_damaged_entry_is_never_used(private: Path, name: str, damage: str) -> None:
    cache.store("k", entry())
    path = private / "builds" / "k" / name
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    elif damage == "cut":
        path.write_bytes(data[:-2])
    else:
        path.unlink()
    found = cache.load("k")
    assert found is None


def test_a_half_written_entry_is_not_seen(private: Path) -> None:
    place = private / "builds" / ".writing-x" / "entry"
    place.mkdir(parents=True)
    (place / "artifact").write_bytes(b"half")
    assert cache.info().entries == 0


def test_storing_again_replaces() -> None:
    cache.store("k", entry())
    cache.store("k", entry(b"other"))
    found = cache.load("k")
    assert found is not None
    assert found.artifact == b"other"
    assert cache.info().entries == 1


@pytest.mark.parametrize(
    "other",
    [
        ("other", {"shaves": 6}, "t"),
        ("source", {"shaves": 7}, "t"),
        ("source", {"shaves": 6, "mean": [1]}, "t"),
        ("source", {"shaves": 6}, "u"),
    ],
)
def test_every_part_is_in_the_key(other: tuple[str, dict[str, object], str]) -> None:
    assert cache.key("source", {"shaves": 6}, "t") != cache.key(*other)
    assert cache.key("source", {"shaves": 6}, "t") == cache.key("source", {"shaves": 6}, "t")


def test_changed_code_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.key("source", {}, "t")
    monkeypatch.setattr(cache, "code_fingerprint", lambda: "other")
    assert cache.key("source", {}, "t") != before


def test_the_oldest_entries_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setattr(cache, "LIMIT_BYTES", 3000)
    for number in range(4):
        cache.store(f"k{number}", entry(bytes(1000)))
        os.utime(cache.directory() / f"k{number}", (number, number))
    assert cache.load("k0") is None
    assert cache.load("k3") is not None


def test_clear() -> None:
    cache.store("k", entry())
    assert cache.clear().entries == 1
    assert cache.info().entries == 0


def test_a_cache_that_cannot_be_written_is_no_error(
    private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = private / "file"
    blocked.write_text("")
    monkeypatch.setenv("BLOBSMITH_CACHE", str(blocked))
    cache.store("k", entry())
    assert cache.load("k") is None
