"""The zoo through the tutorial's plain recipe and the real compiler, and in FP16."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch

from blobsmith import zoo
from blobsmith.blob.reader import Blob
from blobsmith.emulator import Emulator
from blobsmith.runtime.feed import feeds, plan_inputs
from blobsmith.runtime.samples import sample_frames

from . import exported

# sha256 of the blobs that Luxonis published in 2021 (6 shaves): docs/blob-format.md
CONCAT = "6ac3023ea8dac9b7501ead0f9b2c2a4495d2791a58b7049de065246455cf87be"
DIFF = "5c9929bd947c44bba6cbe1e1cd9b2ed9472236cd616e50cd053f5806bf2882e7"
VERSION_OFFSET = 60


@cache
def graph(name: str) -> bytes:
    return exported.recipe(zoo.get(name))


def compiled(name: str, compile_blob: Callable[..., bytes]) -> bytes:
    inputs = {spec.name: spec.dtype for spec in zoo.get(name).inputs}
    return compile_blob(graph(name), inputs=inputs)


@pytest.mark.parametrize("name", zoo.names())
def test_plain_recipe_compiles(name: str, compile_blob: Callable[..., bytes]) -> None:
    entry = zoo.get(name)
    blob = Blob.from_bytes(compiled(name, compile_blob))
    for have, wanted in ((blob.input_specs, entry.inputs), (blob.output_specs, entry.outputs)):
        assert {(s.name, s.shape, s.dtype) for s in have} == {
            (s.name, s.shape, s.dtype) for s in wanted
        }


def test_concat_is_the_published_blob(compile_blob: Callable[..., bytes]) -> None:
    blob = compiled("concat", compile_blob)
    assert len(blob) == 1024
    assert hashlib.sha256(blob).hexdigest() == CONCAT


def test_diff_is_the_published_blob_but_for_the_version(compile_blob: Callable[..., bytes]) -> None:
    blob = bytearray(compiled("diff", compile_blob))
    assert struct.unpack_from("<II", blob, VERSION_OFFSET) == (6, 0)
    struct.pack_into("<II", blob, VERSION_OFFSET, 2021, 4)
    assert len(blob) == 1664
    assert hashlib.sha256(blob).hexdigest() == DIFF


@pytest.mark.parametrize("name", zoo.names())
def test_every_number_on_the_way_fits_in_fp16(name: str) -> None:
    """The module in torch's half precision, on the inputs that drive it furthest."""
    entry = zoo.get(name, 256 if name == "cosine" else 32)
    module = entry.factory().half()
    lowest = [
        np.full_like(a, _end(s, 0))
        for a, s in zip(exported.arrays(entry), entry.inputs, strict=True)
    ]
    highest = [
        np.full_like(a, _end(s, 1))
        for a, s in zip(exported.arrays(entry), entry.inputs, strict=True)
    ]
    stripes = [_stripes(array) for array in highest]
    for inputs in (exported.arrays(entry), lowest, highest, stripes):
        with torch.no_grad():
            result = module(*[torch.from_numpy(array).half() for array in inputs])
        for value in result if isinstance(result, tuple) else (result,):
            assert torch.isfinite(value).all()


COMPARES = {"corners": "corners", "threshold": "output"}
"""Outputs behind a comparison, where a rounding may flip single pixels."""


@pytest.mark.parametrize("name", zoo.names())
def test_emulated_blob_computes_the_function(name: str, compile_blob: Callable[..., bytes]) -> None:
    """The tolerance: 99.9 % within 4 FP16 units of the largest value or 0.1 % of the range, all
    within 1 % of the range, or 0.5 % of the pixels flipped by a comparison."""
    entry = zoo.get(name)
    emulator = Emulator(Blob.from_bytes(compiled(name, compile_blob)))
    photographs = list(sample_frames(320, 240, 3, shot=90))[::-1]
    on_photographs = feeds(plan_inputs(entry.inputs), entry.inputs, photographs)
    noise = {
        spec.name: array.astype(np.uint8 if spec.dtype == "u8" else np.float16)
        for spec, array in zip(entry.inputs, exported.arrays(entry, seed=5), strict=True)
    }
    for inputs in (noise, on_photographs):
        expected = exported.run(entry, [value.astype(np.float32) for value in inputs.values()])
        results = emulator.run(inputs)
        assert results.warnings == ()
        for key, wanted in expected.items():
            error = np.abs(results[key].astype(np.float64) - wanted)
            top = float(np.abs(wanted).max())
            reach = float(wanted.max() - wanted.min()) or top
            allowed = max(4 * 2.0 ** (np.floor(np.log2(top)) - 10), reach / 1000)
            assert np.quantile(error, 0.999) <= allowed, key
            flipped = np.count_nonzero(error > reach / 100) / error.size
            assert flipped <= (0.005 if COMPARES.get(name) == key else 0), key


def _end(spec: object, index: int) -> float:
    low, high = getattr(spec, "value_range", None) or (0.0, 255.0)
    return high if index else low


def _stripes(array: np.ndarray) -> np.ndarray:
    """0 and the highest value in blocks of two pixels: the strongest gradients and corners."""
    if array.ndim < 3 or array.shape[-1] == 1:
        return array
    rows, columns = np.indices(array.shape[-2:])
    return array * ((rows // 2 + columns // 2) % 2).astype(np.float32)
