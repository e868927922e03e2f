"""Tars from strangers: nothing but plain files, within limits."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blobsmith.errors import PackageError
from blobsmith.packaging import tarball
from blobsmith.packaging.tarball import is_tar, read_tar, write_tar_xz


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


NAMES = st.text("abcdefgh._-", min_size=1, max_size=20).filter(lambda n: n.strip(".") == n)


@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=5))
def test_reading_undoes_writing(files: dict[str, bytes]) -> None:
    data = write_tar_xz(files)
    assert read_tar(data) == files
    assert is_tar(data)


def negative() -> bytes:
    """A member of negative size, on which tarfile of Python 3.11.7 never ends."""
    data = bytearray(tar_of((member("a"), b"1"), (member("b"), b"2")))
    data[124:136] = b"\xff" * 12
    header = bytes(data[:148]) + b" " * 8 + bytes(data[156:512])
    data[148:156] = b"%06o\0 " % sum(header)
    return bytes(data)


HOSTILE = {
    "parent": tar_of((member("../x"), b"")),
    "parent inside": tar_of((member("a/../../x"), b"")),
    "absolute": tar_of((member("/etc/passwd"), b"")),
    "symbolic link": tar_of((member("a", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")),
    "hard link": tar_of((member("a", type=tarfile.LNKTYPE, linkname="b"), b"")),
    "device": tar_of((member("a", type=tarfile.CHRTYPE), b"")),
    "pipe": tar_of((member("a", type=tarfile.FIFOTYPE), b"")),
    "twice": tar_of((member("a"), b"1"), (member("a"), b"2")),
    "twice with a dot": tar_of((member("a"), b"1"), (member("./a"), b"2")),
    "many": tar_of(*[(member(f"f{i}"), b"") for i in range(300)]),
    "negative size": negative(),
    "cut": tar_of((member("a"), bytes(2000)))[:900],
    "cut xz": lzma.compress(tar_of((member("a"), b"1")))[:-9],
    "cut gz": gzip.compress(tar_of((member("a"), b"1")))[:-9],
    "no tar in xz": lzma.compress(b"hello"),
    "text": b"this is no tar" * 100,
    "more behind": lzma.compress(tar_of((member("a"), b"1"))) + b"more",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_has_no_place_in_an_archive(kind: str) -> None:
    with pytest.raises(PackageError):
        read_tar(HOSTILE[kind], "x.tar.xz")


@pytest.mark.parametrize("compress", [lzma.compress, gzip.compress], ids=["xz", "gz"])
def test_a_bomb_is_stopped(compress: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarball, "UNPACKED_LIMIT", 4 << 20)
    small = compress(tar_of((member("zeros"), bytes(64 << 20))))
    assert len(small) < 1 << 20
    with pytest.raises(PackageError, match="more than 4 MiB"):
        read_tar(small)


@settings(max_examples=80)
@given(st.binary(max_size=1500), st.sampled_from([b"\xfd7zXZ\0", b"\x1f\x8b", b"BZh9", b""]))
def test_noise_is_an_error_or_files_but_nothing_else(noise: bytes, head: bytes) -> None:
    with suppress(PackageError):
        assert isinstance(read_tar(head + noise), dict)
