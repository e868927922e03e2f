"""Blobs that several tests of this room read, compiled once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import helper

from ..graphs import concat, model


@pytest.fixture(scope="session")
def concat_bytes(compile_blob: Callable[..., bytes]) -> bytes:
    """The tutorial's concat at 6 shaves: the blob of which a published twin is known."""
    return compile_blob(concat(), shaves=6)


@pytest.fixture(scope="session")
def filter_bytes(compile_blob: Callable[..., bytes]) -> bytes:
    """Pads, hardware convolutions with ReLU and bias, a pool, injected stages, products."""
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return rng.uniform(-0.3, 0.3, shape).astype(np.float32)

    nodes = [
        helper.make_node("Pad", ["x", "p"], ["a"], mode="reflect"),
        helper.make_node("Conv", ["a", "w1", "b1"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["d", "w2"], ["e"], pads=[2, 2, 2, 2]),
        helper.make_node("Conv", ["a", "w3"], ["f"], strides=[2, 2]),
        helper.make_node("Mul", ["e", "f"], ["g"]),
        helper.make_node("Sqrt", ["g"], ["y"]),
    ]
    constants = {
        "p": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "w1": weights(8, 3, 3, 3),
        "b1": weights(8),
        "w2": weights(8, 8, 5, 5),
        "w3": weights(8, 3, 3, 3),
    }
    proto = model(nodes, {"x": (1, 3, 32, 48)}, {"y": (1, 8, 16, 24)}, constants)
    return compile_blob(proto, shaves=6)
