"""A blob whose header has a batch runs its stages once for each sample."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from blobsmith.blob import Blob
from blobsmith.emulator import Emulator

from .models import model, node, reference, weights


@pytest.mark.parametrize("hardware", [True, False])
@pytest.mark.parametrize("detect", ["YES", "NO"])
def test_batch_of_four(compile_blob: Callable[..., bytes], hardware: bool, detect: str) -> None:
    nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Relu", "c", "y")]
    shape, out = (4, 8, 12, 16), (4, 16, 12, 16)
    constants = {"w": weights(16, 8, 3, 3, scale=0.1)}
    data = model(nodes, {"x": shape}, {"y": out}, constants)
    extra = (("MYRIAD_DETECT_NETWORK_BATCH", detect),)
    blob = Blob.from_bytes(compile_blob(data, hardware=hardware, inputs="fp16", extra=extra))
    assert blob.header.batch_size == (4 if detect == "YES" else 1)
    frames = {"x": np.random.default_rng(0).uniform(-4, 4, shape).astype(np.float16)}
    result = Emulator(blob).run(frames)["y"]
    wanted = reference(data, frames)["y"]
    assert result.shape == out
    np.testing.assert_allclose(result, wanted, rtol=2.0**-10, atol=1e-4)
    samples = wanted.reshape(4, -1)
    assert all(not np.array_equal(samples[0], other) for other in samples[1:])


def test_warnings_of_all_samples_are_counted_together(compile_blob: Callable[..., bytes]) -> None:
    data = model([node("Mul", "x x", "y")], {"x": (2, 3, 4, 4)}, {"y": (2, 3, 4, 4)})
    extra = (("MYRIAD_DETECT_NETWORK_BATCH", "YES"),)
    blob = Blob.from_bytes(compile_blob(data, inputs="fp16", extra=extra))
    assert blob.header.batch_size == 2
    result = Emulator(blob).run({"x": np.full((2, 3, 4, 4), 300, np.float16)})
    assert [(w.kind, w.count) for w in result.warnings] == [("overflow", 2 * 3 * 4 * 4)]


@pytest.mark.parametrize(
    ("op", "attrs", "out"),
    [
        ("MaxPool", {"kernel_shape": [3, 3]}, (2, 3, 10, 14)),
        ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}, (2, 3, 6, 8)),
        ("ReduceMax", {"axes": [1], "keepdims": 1}, (2, 1, 12, 16)),
    ],
)
def test_pools_of_a_batch(
    compile_blob: Callable[..., bytes], op: str, attrs: dict[str, object], out: tuple[int, ...]
) -> None:
    shape = (2, 3, 12, 16)
    data = model([node(op, "x", "y", **attrs)], {"x": shape}, {"y": out})
    blob = Blob.from_bytes(compile_blob(data, inputs="fp16"))
    frames = {"x": np.random.default_rng(0).uniform(-4, 4, shape).astype(np.float16)}
    result = Emulator(blob).run(frames)["y"]
    np.testing.assert_allclose(result, reference(data, frames)["y"], rtol=2.0**-10, atol=1e-4)
