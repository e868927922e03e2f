"""Superblob: one file with the blobs of all 16 shave counts, stored as one blob and 15 patches.

Layout: seventeen signed 64-bit big-endian integers (the size of the base blob, then of the
patches for 1 to 16 shaves), the base blob, the patches in that order. A patch of size zero means
"the base itself", which is right for the base's own shave count only: DepthAI hands out the base
without a word where any other patch is missing, and the network then runs on the wrong number of
shaves. Here a missing patch is an error, when a file is written and when it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from ..blob.header import read_header
from ..errors import BlobError, PackageError
from .patches import apply_patch, make_patch

SHAVE_COUNTS = tuple(range(1, 17))
BASE_SHAVES = 8
_HEADER = struct.Struct(">17q")
_REBUILD = "build it again: blobsmith build SOURCE --format superblob"


@dataclass(frozen=True)
class Superblob:
    """A superblob, taken apart but not yet patched.

    Attributes:
        base: the base blob.
        base_shaves: what the base was compiled for; vendors use 8.
        patches: sixteen BSDIFF40 patches, for 1 to 16 shaves; the base's own may be empty.
        name: the file's name, for messages; may be empty.
    """

    base: bytes
    base_shaves: int
    patches: tuple[bytes, ...]
    name: str = ""

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "") -> Superblob:
        """Takes a superblob apart; patches are applied when a blob is asked for.

        Raises:
            PackageError: the sizes do not add up to the file, the base is no blob, or a patch is
                missing.
        """
        if len(data) < _HEADER.size:
            raise PackageError(
                f"{len(data)} bytes are too few for a superblob", where=name, remedy=_REBUILD
            )
        base_size, *sizes = _HEADER.unpack_from(data)
        if base_size < 1 or min(sizes) < 0 or _HEADER.size + base_size + sum(sizes) != len(data):
            raise PackageError(
                "the sizes in the superblob's header do not add up to the file",
                where=name,
                remedy=_REBUILD,
            )
        base = data[_HEADER.size : _HEADER.size + base_size]
        base_shaves = _shaves(base, "the base blob", name)
        patches, position = [], _HEADER.size + base_size
        for shaves, size in zip(SHAVE_COUNTS, sizes, strict=True):
            if not size and shaves != base_shaves:
                raise PackageError(
                    f"the superblob has no patch for {shaves} shaves: DepthAI would silently use "
                    f"the blob for {base_shaves} in its place",
                    where=name,
                    remedy=_REBUILD,
                )
            patches.append(data[position : position + size])
            position += size
        return cls(base, base_shaves, tuple(patches), name)

    def to_bytes(self) -> bytes:
        """The file's content."""
        sizes = [len(patch) for patch in self.patches]
        return _HEADER.pack(len(self.base), *sizes) + self.base + b"".join(self.patches)

    def blob(self, shaves: int) -> bytes:
        """The blob for this many shaves.

        Raises:
            PackageError: there is none for that count, its patch is damaged, or what it makes is
                not a blob for that many shaves.
        """
        if shaves not in SHAVE_COUNTS:
            raise PackageError(
                f"a superblob holds blobs for 1 to 16 shaves, not for {shaves}",
                where=self.name,
                remedy="give 1 to 16",
            )
        where = f"{self.name or 'superblob'}, {shaves} shaves"
        patch = self.patches[shaves - 1]
        # Variants of one model differ in their stage lists, not in the order of magnitude.
        limit = 4 * len(self.base) + (1 << 20)
        data = apply_patch(self.base, patch, limit=limit, where=where) if patch else self.base
        have = _shaves(data, f"the blob for {shaves} shaves", self.name)
        if have != shaves:
            raise PackageError(
                f"the blob stored for {shaves} shaves is compiled for {have}",
                where=where,
                remedy=_REBUILD,
            )
        return data


def make_superblob(blobs: Mapping[int, bytes]) -> bytes:
    """A superblob of the sixteen blobs of one model, each read back and compared.

    Args:
        blobs: shaves -> blob, for every count from 1 to 16.

    Raises:
        PackageError: a count is missing, or a blob is compiled for another count than its key.
    """
    missing = [shaves for shaves in SHAVE_COUNTS if shaves not in blobs]
    if missing or len(blobs) != len(SHAVE_COUNTS):
        raise PackageError(
            "a superblob is made of the blobs for 1 to 16 shaves; "
            + (f"those for {missing} are missing" if missing else "there are others too"),
            remedy="compile all sixteen",
        )
    for shaves, data in blobs.items():
        have = _shaves(data, f"the blob for {shaves} shaves", "")
        if have != shaves:
            raise PackageError(f"the blob given for {shaves} shaves is compiled for {have}")
    base = blobs[BASE_SHAVES]
    split = read_header(base, "").const_offset
    patches = [
        b""
        if shaves == BASE_SHAVES
        else make_patch(
            base,
            blobs[shaves],
            base_split=split,
            new_split=read_header(blobs[shaves], "").const_offset,
        )
        for shaves in SHAVE_COUNTS
    ]
    data = Superblob(base, BASE_SHAVES, tuple(patches)).to_bytes()
    read_back = Superblob.from_bytes(data)
    for shaves in SHAVE_COUNTS:
        if read_back.blob(shaves) != blobs[shaves]:
            raise PackageError(f"the blob for {shaves} shaves does not survive being packed")
    return data


def is_superblob(data: bytes) -> bool:
    """Whether the data have a superblob's shape (sizes that add up), its content unseen."""
    if len(data) < _HEADER.size:
        return False
    sizes: tuple[int, ...] = _HEADER.unpack_from(data)
    return sizes[0] > 0 and min(sizes) >= 0 and _HEADER.size + sum(sizes) == len(data)


def _shaves(data: bytes, what: str, name: str) -> int:
    try:
        return read_header(data, name).shaves
    except BlobError as error:
        raise PackageError(f"{what} is damaged: {error.what}", where=error.where) from error
