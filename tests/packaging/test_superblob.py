"""Superblobs: all sixteen blobs of every zoo model, byte for byte, by DepthAI's own reader too."""

from __future__ import annotations

import bz2
import struct
from pathlib import Path

import bsdiff4
import depthai as dai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blobsmith import zoo
from blobsmith.errors import PackageError
from blobsmith.packaging.patches import apply_patch, make_patch
from blobsmith.packaging.superblob import Superblob, is_superblob, make_superblob

from ..zoo_blobs import ALL_SHAVES, blobs

HEADER = struct.Struct(">17q")


@pytest.fixture(scope="module")
def threshold() -> bytes:
    """A superblob of one of the zoo's smaller models."""
    return make_superblob(blobs("threshold"))


@pytest.mark.parametrize("name", zoo.names())
def test_all_sixteen_through_depthai(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.superblob"
    path.write_bytes(make_superblob(blobs(name)))
    ours, theirs = Superblob.from_bytes(path.read_bytes()), dai.OpenVINO.SuperBlob(str(path))
    for shaves, blob in blobs(name).items():
        assert ours.blob(shaves) == blob
        assert bytes(theirs.getBlobWithNumShaves(shaves).data) == blob


def test_the_layout_of_the_published_files(threshold: bytes) -> None:
    base, *patches = HEADER.unpack_from(threshold)
    assert base == len(blobs("threshold")[8])
    assert threshold[136 : 136 + base] == blobs("threshold")[8]
    assert [shaves for shaves, size in enumerate(patches, 1) if not size] == [8]
    assert 136 + base + sum(patches) == len(threshold)
    first = threshold[136 + base : 136 + base + patches[0]]
    assert first.startswith(b"BSDIFF40")
    assert bsdiff4.patch(blobs("threshold")[8], first) == blobs("threshold")[1]


def test_a_vendors_superblob_is_read() -> None:
    """The vendor's tool writes plain bsdiff4 patches, and another base is allowed."""
    made = blobs("threshold")
    patches = [b"" if shaves == 4 else bsdiff4.diff(made[4], made[shaves]) for shaves in ALL_SHAVES]
    data = HEADER.pack(len(made[4]), *map(len, patches)) + made[4] + b"".join(patches)
    superblob = Superblob.from_bytes(data)
    assert superblob.base_shaves == 4
    assert {shaves: superblob.blob(shaves) for shaves in ALL_SHAVES} == made


@pytest.mark.parametrize("shaves", [1, 7, 16])
def test_a_missing_patch_is_an_error(threshold: bytes, shaves: int, tmp_path: Path) -> None:
    """DepthAI hands out the base in its place and says nothing."""
    base, *sizes = HEADER.unpack_from(threshold)
    start = 136 + base + sum(sizes[: shaves - 1])
    body = threshold[136:start] + threshold[start + sizes[shaves - 1] :]
    sizes[shaves - 1] = 0
    data = HEADER.pack(base, *sizes) + body
    path = tmp_path / "holed.superblob"
    path.write_bytes(data)
    silent = dai.OpenVINO.SuperBlob(str(path)).getBlobWithNumShaves(shaves)
    assert silent.numShaves == 8
    with pytest.raises(PackageError, match=f"no patch for {shaves} shaves"):
        Superblob.from_bytes(data)


@pytest.mark.parametrize("missing", [1, 8, 16])
def test_it_is_made_of_all_sixteen(missing: int) -> None:
    made = {shaves: blob for shaves, blob in blobs("threshold").items() if shaves != missing}
    with pytest.raises(PackageError, match=rf"those for \[{missing}\] are missing"):
        make_superblob(made)


def test_a_blob_under_the_wrong_count_is_refused() -> None:
    made = blobs("threshold") | {5: blobs("threshold")[6]}
    with pytest.raises(PackageError, match="given for 5 shaves is compiled for 6"):
        make_superblob(made)


def test_patches_in_the_wrong_place_are_noticed(threshold: bytes) -> None:
    superblob = Superblob.from_bytes(threshold)
    patches = list(superblob.patches)
    patches[2], patches[3] = patches[3], patches[2]
    swapped = Superblob(superblob.base, 8, tuple(patches))
    with pytest.raises(PackageError, match="stored for 3 shaves is compiled for 4"):
        swapped.blob(3)


@pytest.mark.parametrize("shaves", [0, 17, -1])
def test_other_counts_do_not_exist(threshold: bytes, shaves: int) -> None:
    with pytest.raises(PackageError, match="1 to 16"):
        Superblob.from_bytes(threshold).blob(shaves)


def damaged(data: bytes) -> dict[str, bytes]:
    base, *sizes = HEADER.unpack_from(data)
    return {
        "empty": b"",
        "header only": data[:136],
        "cut": data[:-1],
        "longer": data + b"\0",
        "base too long": HEADER.pack(base + 1, *sizes) + data[136:],
        "negative base": HEADER.pack(-base, *sizes) + data[136:],
        "negative patch": HEADER.pack(base + sizes[0] * 2, -sizes[0], *sizes[1:]) + data[136:],
        "little endian": struct.pack("<17q", base, *sizes) + data[136:],
        "base is no blob": data[:136] + bytes(base) + data[136 + base :],
    }


@pytest.mark.parametrize(
    "kind",
    ["empty", "header only", "cut", "longer", "base too long", "negative base", "negative patch",
     "little endian", "base is no blob"],
)  # fmt: skip
def test_damaged_files_are_refused(threshold: bytes, kind: str) -> None:
    with pytest.raises(PackageError):
        Superblob.from_bytes(damaged(threshold)[kind])


@given(first=st.binary(max_size=300), second=st.binary(max_size=300), splits=st.data())
def test_patching_undoes_making_a_patch(first: bytes, second: bytes, splits: st.DataObject) -> None:
    base_split = splits.draw(st.integers(0, len(first)))
    new_split = splits.draw(st.integers(0, len(second)))
    patch = make_patch(first, second, base_split=base_split, new_split=new_split)
    assert apply_patch(first, patch, limit=len(second)) == second
    assert bsdiff4.patch(first, patch) == second


def patch_of(control: bytes, difference: bytes, extra: bytes, size: int) -> bytes:
    packed = [bz2.compress(part) for part in (control, difference, extra)]
    head = b"BSDIFF40" + struct.pack("<3Q", len(packed[0]), len(packed[1]), size)
    return head + b"".join(packed)


def triple(*values: int) -> bytes:
    return b"".join(struct.pack("<Q", v if v >= 0 else -v | 1 << 63) for v in values)


HOSTILE = {
    "asks for terabytes": patch_of(triple(1 << 40, 0, 0), b"", b"", 1 << 40),
    "unpacks to 40 MB": patch_of(triple(1, 0, 0), bytes(40 << 20), b"", 1),
    "control unpacks to 40 MB": patch_of(bytes(24 << 20), b"", b"", 0)[:],
    "negative count": patch_of(triple(-1, 2, 0), b"", b"ab", 1),
    "does not add up": patch_of(triple(1, 0, 0), b"a", b"", 2),
    "seeks far away": patch_of(triple(0, 1, 1 << 62), b"", b"a", 1),
    "negative size": b"BSDIFF40" + struct.pack("<3Q", 0, 0, 1 | 1 << 63),
    "block too long": b"BSDIFF40" + struct.pack("<3Q", 1 << 50, 0, 1),
    "cut": patch_of(triple(1, 0, 0), b"a", b"", 1)[:-3],
    "no magic": b"BSDIFF99" + bytes(24),
    "no bzip2": b"BSDIFF40" + struct.pack("<3Q", 4, 4, 1) + b"aaaabbbbcccc",
    "control of 7 bytes": patch_of(b"1234567", b"", b"", 0),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_patches_are_refused_before_they_unfold(kind: str) -> None:
    with pytest.raises(PackageError, match="damaged"):
        apply_patch(b"base", HOSTILE[kind], limit=1 << 20)


@settings(max_examples=60)
@given(position=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_flipped_byte_never_gives_a_wrong_count(position: int, value: int) -> None:
    data = bytearray(make_superblob_once())
    data[position % len(data)] = value
    try:
        superblob = Superblob.from_bytes(bytes(data))
        for shaves in (1, 8, 16):
            assert struct.unpack_from("<I", superblob.blob(shaves), 100)[0] == shaves
    except PackageError:
        pass


def make_superblob_once() -> bytes:
    if not hasattr(make_superblob_once, "data"):
        make_superblob_once.data = make_superblob(blobs("threshold"))  # type: ignore[attr-defined]
    return make_superblob_once.data  # type: ignore[attr-defined,no-any-return]


def test_is_superblob(threshold: bytes) -> None:
    assert is_superblob(threshold)
    assert not is_superblob(blobs("threshold")[6])
    assert not is_superblob(b"")
    assert not is_superblob(threshold[:-1])
