"""BSDIFF40 patches: how a superblob stores fifteen blobs as differences from one.

A patch is: 8 bytes ``BSDIFF40``; three 64-bit little-endian numbers with a sign bit (compressed
length of the control block, of the difference block, length of the result); then three bzip2
streams: control, difference, extra. The control block is a list of triples (add, insert, seek):
`add` bytes of the base plus as many of the difference block, `insert` bytes of the extra block,
then a move in the base. (Format: bsdiff's own bspatch.c, C. Percival, 2003.)

Applying a patch trusts nothing in it: a file of a few kilobytes could otherwise ask for gigabytes.
"""

from __future__ import annotations

import bz2
import struct
from itertools import chain

from ..errors import PackageError

_MAGIC = b"BSDIFF40"
_HEADER_BYTES = 32
_TRIPLE_BYTES = 24
_CONTROL_LIMIT = 16 << 20
_SIGN = 1 << 63

Triple = tuple[int, int, int]
Blocks = tuple[list[Triple], bytes, bytes]


def make_patch(base: bytes, new: bytes, *, base_split: int = 0, new_split: int = 0) -> bytes:
    """The patch that turns `base` into `new`.

    Matching is by a suffix sort and takes seconds for megabytes. Blobs of one model for different
    shaves hold nearly the same constants, so the caller may name where they begin: equal bytes
    from there on are paired without a search.

    Args:
        base: the old content.
        new: the new content.
        base_split: where the constants begin in `base`.
        new_split: where they begin in `new`.
    """
    same = _common_prefix(base[base_split:], new[new_split:])
    base_rest, new_rest = base_split + same, new_split + same
    pieces = [
        (0, _search(base[:base_split], new[:new_split])),
        (base_split, ([(same, 0, 0)], bytes(same), b"")),
        (base_rest, _search(base[base_rest:], new[new_rest:])),
    ]
    triples, position = [(0, 0, 0)], 0
    for start, (part, _, _) in pieces:
        add, insert, seek = triples[-1]
        triples[-1] = (add, insert, seek + start - position)
        triples.extend(part)
        position = start + sum(add + seek for add, _, seek in part)
    difference = b"".join(blocks[1] for _, blocks in pieces)
    extra = b"".join(blocks[2] for _, blocks in pieces)
    return _pack(triples, difference, extra, len(new))


def apply_patch(base: bytes, patch: bytes, *, limit: int, where: str = "") -> bytes:
    """What the patch makes of `base`.

    Args:
        base: the old content.
        patch: a BSDIFF40 patch, trusted in nothing.
        limit: the largest result in bytes.
        where: what the patch is, for the error.

    Raises:
        PackageError: the patch is damaged, or wants a result larger than `limit`.
    """
    try:
        triples, difference, extra, size = _unpack(patch, limit)
        _check_triples(triples, len(difference), len(extra), size)
        import bsdiff4.core as core

        control = b"".join(_encode(value) for value in chain.from_iterable(triples))
        result: bytes = core.patch(base, size, control, difference, extra)
    except (ValueError, OSError, EOFError, struct.error) as error:
        raise PackageError(
            f"a patch of the superblob is damaged: {error}",
            where=where,
            remedy="build the superblob again",
        ) from error
    return result


def _search(base: bytes, new: bytes) -> Blocks:
    import bsdiff4.core as core

    control, difference, extra = core.diff(base, new)
    return _triples(control), difference, extra


def _common_prefix(first: bytes, second: bytes) -> int:
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _pack(triples: list[Triple], difference: bytes, extra: bytes, size: int) -> bytes:
    control = bz2.compress(b"".join(_encode(value) for value in chain.from_iterable(triples)))
    packed = bz2.compress(difference)
    header = _MAGIC + _encode(len(control)) + _encode(len(packed)) + _encode(size)
    return header + control + packed + bz2.compress(extra)


def _unpack(patch: bytes, limit: int) -> tuple[list[Triple], bytes, bytes, int]:
    if len(patch) < _HEADER_BYTES or patch[:8] != _MAGIC:
        raise ValueError("it does not begin with BSDIFF40")
    control_size, difference_size, size = (_decode(patch, offset) for offset in (8, 16, 24))
    if not 0 <= size <= limit:
        raise ValueError(f"it asks for {size} bytes, more than the {limit} that are plausible")
    start = _HEADER_BYTES + control_size
    middle = start + difference_size
    if control_size < 0 or difference_size < 0 or middle > len(patch):
        raise ValueError("its blocks are longer than the patch")
    control = _inflate(patch[_HEADER_BYTES:start], _CONTROL_LIMIT)
    if len(control) % _TRIPLE_BYTES:
        raise ValueError("its control block is cut")
    difference = _inflate(patch[start:middle], size)
    extra = _inflate(patch[middle:], size)
    return _triples(control), difference, extra, size


def _inflate(data: bytes, limit: int) -> bytes:
    stream = bz2.BZ2Decompressor()
    out = stream.decompress(data, max_length=limit + 1)
    if len(out) > limit:
        raise ValueError(f"a block unpacks to more than {limit} bytes")
    if not stream.eof or stream.unused_data:
        raise ValueError("a block is cut or followed by something else")
    return out


def _check_triples(triples: list[Triple], difference: int, extra: int, size: int) -> None:
    adds = inserts = 0
    for add, insert, seek in triples:
        if add < 0 or insert < 0 or abs(seek) > 1 << 40:
            raise ValueError("its control block is nonsense")
        adds, inserts = adds + add, inserts + insert
    if (adds, inserts, adds + inserts) != (difference, extra, size):
        raise ValueError("its blocks do not add up to its result")


def _triples(control: bytes) -> list[Triple]:
    values = [_decode(control, offset) for offset in range(0, len(control), 8)]
    return list(zip(values[0::3], values[1::3], values[2::3], strict=True))


def _encode(value: int) -> bytes:
    return struct.pack("<Q", value if value >= 0 else -value | _SIGN)


def _decode(data: bytes, offset: int) -> int:
    (word,) = struct.unpack_from("<Q", data, offset)
    number = int(word)
    return -(number - _SIGN) if number >= _SIGN else number
