"""Tar archives in memory: written so that the same content gives the same bytes, and read with
limits.

Nothing is ever unpacked to the disk, so a member called ``../../etc/passwd`` could do no harm;
it is refused all the same, as are links, devices, sparse files and members of negative size
(which send Python's own tarfile into an endless loop: CVE-2025-8194).
"""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zlib
from collections.abc import Mapping
from typing import Protocol

from ..errors import PackageError

UNPACKED_LIMIT = 1 << 30
MEMBER_LIMIT = 256
_LZMA_MEMORY = 256 << 20
_CHUNK = 1 << 20


class _Stream(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def write_tar_xz(files: Mapping[str, bytes]) -> bytes:
    """A tar.xz of these files: no times, no owners, in the order given."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def read_tar(data: bytes, where: str = "") -> dict[str, bytes]:
    """The regular files of a plain, xz, gzip or bzip2 tar, by name.

    Raises:
        PackageError: not a tar, damaged, too large when unpacked, or with members that an
            NN Archive has no use for.
    """
    try:
        plain = _decompress(data)
        return _members(plain)
    except (
        tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError, RecursionError,
    ) as error:  # fmt: skip
        raise PackageError(
            f"the archive cannot be read: {error}",
            where=where,
            remedy="build or download it again",
        ) from error


def is_tar(data: bytes) -> bool:
    """Whether the data begin as a tar or a compressed file that an archive could be."""
    return _kind(data) is not None or data[257:262] == b"ustar"


def _kind(data: bytes) -> str | None:
    for name, magic in (("xz", b"\xfd7zXZ\0"), ("gz", b"\x1f\x8b"), ("bz2", b"BZh")):
        if data.startswith(magic):
            return name
    return None


class _Gzip:
    """zlib's stream with the interface of the other two."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + data, max_length)


def _stream(kind: str) -> _Stream:
    if kind == "xz":
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY)
    return _Gzip() if kind == "gz" else bz2.BZ2Decompressor()


def _decompress(data: bytes) -> bytes:
    kind = _kind(data)
    if kind is None:
        return data
    stream, parts, total = _stream(kind), [], 0
    given: bytes = data
    while not stream.eof:
        part = stream.decompress(given, _CHUNK)
        if not part and not given and not stream.eof:
            raise EOFError("it ends before its end")
        given = b""
        parts.append(part)
        total += len(part)
        if total > UNPACKED_LIMIT:
            raise ValueError(f"it unpacks to more than {UNPACKED_LIMIT >> 20} MiB")
    if stream.unused_data.strip(b"\0"):
        raise ValueError("something follows the compressed data")
    return b"".join(parts)


def _members(plain: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
        for member in tar:
            if member.size < 0:
                raise ValueError(f"the member {member.name!r:.80} has a negative size")
            name = member.name.removeprefix("./")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise ValueError(f"the member {name!r:.80} is not a plain file")
            if name.startswith(("/", "\\")) or ".." in name.split("/") or not name:
                raise ValueError(f"the member {name!r:.80} points outside the archive")
            if name in files:
                raise ValueError(f"the member {name!r:.80} stands twice")
            if len(files) >= MEMBER_LIMIT:
                raise ValueError(f"it has more than {MEMBER_LIMIT} members")
            content = tar.extractfile(member)
            files[name] = content.read() if content else b""
            if len(files[name]) != member.size:
                raise EOFError(f"the member {name!r:.80} is cut")
    return files
