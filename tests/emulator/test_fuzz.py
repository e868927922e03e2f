"""Damaged blobs: whatever is in the file, the emulator answers or says `BlobError`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blobsmith.blob import Blob
from blobsmith.emulator import Emulator
from blobsmith.errors import BlobError

from . import battery_filters, battery_maps, battery_moves
from .models import KINDS

pytestmark = pytest.mark.usefixtures("toolchain")

PICKED = """
conv3-relu conv15 conv5 conv1-tiled depthwise3 deconv4 deconv3 deconv-depthwise max3-stride2
avg3-exclude-pad conv-relu-pool gemm flatten-gemm matmul sigmoid gelu add-leaky where prelu
instance-norm lrn softmax-width ReduceMean-13 ReduceMin-1 u8 concat-width transpose pad-reflect
pad-constant tile gather-width gather-elements-1 gather-nd one-hot slice-backwards topk argmax
nearest-asymmetric-floor-1.5 linear-half_pixel-x-2 shuffle
"""
INTERESTING = (
    0, 1, 2, 3, 4, 5, 7, 8, 16, 255, 256, 65535, 1 << 20, 1 << 31, 0xFFFFFFFF, 0x7FC00000,
    0x7F800000, 0xFF800000, 0x00000001, 0x3F000000, 0x47800000,
)  # fmt: skip
"""Words that break readers: bounds, sign bits, and as floats NaN, inf, a subnormal, 65536."""

HEADER, SECTIONS = 52, 124
MOST_MEMORY = 256 << 20


@cache
def sound() -> Sequence[bytes]:
    cases = {
        case.name: case
        for case in (*battery_filters.CASES, *battery_maps.CASES, *battery_moves.CASES)
    }
    return [blob.data for name in PICKED.split() for blob in cases[name].blobs]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sound blob with one to four words of it changed, most of them in the stages."""
    data = bytearray(draw(st.sampled_from(sound())))
    stages, constants = struct.unpack_from("<2I", data, SECTIONS)
    for _ in range(draw(st.integers(1, 4))):
        first, last = draw(
            st.sampled_from(
                [(stages, constants), (stages, constants), (constants, len(data)), (HEADER, stages)]
            )
        )
        place = draw(st.integers(first // 4, last // 4 - 1)) * 4
        old = struct.unpack_from("<I", data, place)[0]
        near = [old + 1, old - 1, old * 2, old // 2, old ^ (1 << draw(st.integers(0, 31)))]
        word = draw(st.sampled_from([*INTERESTING, *near]))
        struct.pack_into("<I", data, place, word & 0xFFFFFFFF)
    if draw(st.integers(0, 20)) == 0:
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


def answer_or_blob_error(data: bytes) -> bool:
    """Whether the blob could be run."""
    try:
        blob = Blob.from_bytes(data)
        emulator = Emulator(blob)
        assert emulator.nbytes < MOST_MEMORY
        rng = np.random.default_rng(0)
        frames = {
            spec.name: rng.uniform(-4, 4, spec.shape).astype(KINDS[spec.dtype])
            for spec in blob.input_specs
        }
        result = emulator.run(frames)
    except BlobError:
        return False
    assert [*result] == [spec.name for spec in blob.output_specs]
    return True


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=damaged())
def test_damaged_blobs(data: bytes) -> None:
    answer_or_blob_error(data)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=damaged())
def test_ten_thousand_damaged_blobs(data: bytes) -> None:
    answer_or_blob_error(data)


def test_the_sound_ones_run() -> None:
    assert all(answer_or_blob_error(data) for data in sound())


def test_changed_constants_change_the_answer_and_never_crash() -> None:
    """Each constant region filled with NaN, with ones, with huge numbers."""
    for data in sound():
        _, constants = struct.unpack_from("<2I", data, SECTIONS)
        for word in (0x7E007E00, 0x3C003C00, 0x7BFF7BFF, 0xFFFFFFFF, 0x00010001):
            changed = bytearray(data)
            for buffer in (b for s in Blob.from_bytes(data).stages for b in s.buffers):
                if buffer.location == 3:
                    start = constants + buffer.offset
                    count = buffer.desc.span // 4
                    struct.pack_into(f"<{count}I", changed, start, *[word] * count)
            answer_or_blob_error(bytes(changed))
