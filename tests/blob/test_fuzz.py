"""Thousands of damaged blobs: each is refused or read, shown and priced; none fills memory."""

from __future__ import annotations

import json
import struct
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blobsmith.blob import Blob, describe, stage_rows
from blobsmith.cost import predict
from blobsmith.errors import BlobError

from .test_damage import PLACE, changed, convolution
from .test_reader import CONCAT_TRAILER

MIB = 1 << 20
SPECIAL = (0, 1, 2, 3, 4, 8, 19, 38, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 30, 1 << 16, 0x4321)
BLOBS_AN_EXAMPLE = 8


def damaged(samples: list[bytes], recipe: bytes) -> bytes:
    """One of the samples, damaged as 8 bytes say: which, how, where (2 bytes), a value (4)."""
    which, how, place, value = struct.unpack("<BBHI", recipe)
    data = samples[which % len(samples)]
    at = 4 * place % (len(data) - 3)
    if how % 8 == 0:
        return data[:at]
    if how % 8 == 1:
        return data[:at] + data[at + 4 :]
    if how % 8 == 2:
        return data[:at] + struct.pack("<I", value) + data[at:]
    if how % 8 == 3:
        other = value % (len(data) - 3)
        return changed(changed(data, at, SPECIAL[place % len(SPECIAL)]), other, value & 0xFF)
    (old,) = struct.unpack_from("<I", data, at)
    news = (value, SPECIAL[value % len(SPECIAL)], old ^ (1 << value % 32), old + value % 256)
    return changed(data, at, news[how % 4] & 0xFFFFFFFF)


def survive(data: bytes) -> bool:
    """Reads a damaged blob, and shows and prices it if it can be read, in bounded memory."""
    tracemalloc.start()
    try:
        blob = Blob.from_bytes(data, "fuzzed")
        json.dumps([describe(blob), stage_rows(blob)], allow_nan=False)
        sound = predict(blob).total_ms >= 0
    except BlobError as error:
        sound = PLACE.search(error.where) is not None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return sound and peak < 8 * MIB


@pytest.fixture(scope="module")
def samples(concat_bytes: bytes, filter_bytes: bytes) -> list[bytes]:
    """A plain blob with metadata, one with hardware and injected stages, one made by hand."""
    return [concat_bytes + CONCAT_TRAILER, filter_bytes, convolution()]


def fuzz(samples: list[bytes], examples: int) -> int:
    """Reads `BLOBS_AN_EXAMPLE` damaged blobs in each example; returns how many it read."""
    count = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(min_size=8 * BLOBS_AN_EXAMPLE, max_size=8 * BLOBS_AN_EXAMPLE))
    def run(recipes: bytes) -> None:
        nonlocal count
        for start in range(0, len(recipes), 8):
            recipe = recipes[start : start + 8]
            assert survive(damaged(samples, recipe)), recipe.hex()
            count += 1

    run()
    return count


def test_fuzz(samples: list[bytes]) -> None:
    assert fuzz(samples, 250) >= 2000


@pytest.mark.slow
def test_fuzz_long(samples: list[bytes]) -> None:
    assert fuzz(samples, 1250) >= 10_000


def test_sound_blobs_pass_the_same_harness(samples: list[bytes]) -> None:
    for data in samples:
        assert survive(data)
        Blob.from_bytes(data)
