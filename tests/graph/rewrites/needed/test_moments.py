"""Variances in a window, as SSIM, local contrast and guided filters write them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from blobsmith.blob import Blob
from blobsmith.emulator import Emulator
from blobsmith.graph.rewrites import rewrite

from ..helpers import Graph, difference

BYTES = {"x": (0.0, 255.0), "z": (0.0, 255.0)}


def _box(g: Graph, value: str, channels: int, mode: str, size: int) -> str:
    reach = size // 2
    if mode == "pool":
        return str(
            g.op("AveragePool", value, kernel_shape=[size, size], pads=[reach] * 4,
                 strides=[1, 1], count_include_pad=1)
        )  # fmt: skip
    if mode == "separable":
        for axis in (2, 3):
            pads, shape = [0] * 8, [channels, 1, 1, 1]
            pads[axis] = pads[axis + 4] = reach
            shape[axis] = size
            padded = g.op("Pad", value, pads, mode="reflect")
            value = g.op("Conv", padded, np.full(shape, 1 / size), group=channels)
        return value
    if mode == "valid":
        whole = _box(g, value, channels, "reflect", size)
        return str(g.op("Slice", whole, [reach, reach], [-reach, -reach], [2, 3]))
    kernel = np.full((channels, 1, size, size), 1 / size**2)
    padded = g.op("Pad", value, [0, 0, reach, reach, 0, 0, reach, reach], mode=mode)
    return str(g.op("Conv", padded, kernel, group=channels))


def _variance(
    mode: str, channels: int = 1, size: int = 5, *, scaled: bool = True, other: bool = False
) -> onnx.ModelProto:
    shape = (1, channels, 18, 22)
    g = Graph(x=shape, z=shape) if other else Graph(x=shape)
    x = g.op("Div", "x", 255.0) if scaled else "x"
    z = (g.op("Div", "z", 255.0) if scaled else "z") if other else x
    joint = _box(g, g.op("Mul", x, z), channels, mode, size)
    means = [_box(g, v, channels, mode, size) for v in (x, z)]
    return g.model(g.op("Sub", joint, g.op("Mul", *means)))


@pytest.mark.parametrize("mode", ["reflect", "edge", "pool", "separable", "valid"])
@pytest.mark.parametrize(("channels", "scaled"), [(1, True), (3, True), (3, False)])
@pytest.mark.parametrize("other", [False, True])
def test_the_same_in_fp32(mode: str, channels: int, scaled: bool, other: bool) -> None:
    proto = _variance(mode, channels, scaled=scaled, other=other)
    result = rewrite(proto, only=("local-moments",), ranges=BYTES)
    assert [a.rule for a in result.applied] == ["local-moments"]
    span = 1.0 if scaled else 255.0**2
    assert difference(proto, result.proto) < 2e-4 * span


@pytest.mark.parametrize("size", [3, 7, 11])
def test_windows_of_any_size(size: int) -> None:
    proto = _variance("pool", size=size)
    result = rewrite(proto, only=("local-moments",), ranges=BYTES)
    assert [a.rule for a in result.applied] == ["local-moments"]
    assert difference(proto, result.proto) < 2e-4


def test_left_alone_where_the_filters_differ() -> None:
    g = Graph(x=(1, 1, 18, 22))
    joint = _box(g, g.op("Mul", "x", "x"), 1, "edge", 5)
    mean = _box(g, "x", 1, "reflect", 5)
    proto = g.model(g.op("Sub", joint, g.op("Mul", mean, mean)))
    assert not rewrite(proto, only=("local-moments",), ranges=BYTES).applied


def test_left_alone_where_more_is_cropped_than_was_padded() -> None:
    g = Graph(x=(1, 1, 18, 22))
    cut = [_box(g, v, 1, "reflect", 5) for v in (g.op("Mul", "x", "x"), "x")]
    joint, mean = (g.op("Slice", v, [3, 0], [18, 22], [2, 3]) for v in cut)
    proto = g.model(g.op("Sub", joint, g.op("Mul", mean, mean)))
    assert not rewrite(proto, only=("local-moments",), ranges=BYTES).applied


def test_a_smooth_picture_keeps_its_variance_in_fp16(compile_blob) -> None:  # type: ignore[no-untyped-def]
    rows, columns = np.mgrid[0:18, 0:22]
    frame = (200 + rows % 2 + columns // 4).astype(np.uint8)[None, None]
    proto = _variance("reflect")
    wanted = _run(proto, frame)
    bare = rewrite(proto, only=("drop-nothing",)).proto
    plain = _emulated(compile_blob(bare, inputs={"x": "u8"}), frame)
    result = rewrite(proto, ranges=BYTES, whole=("x",))
    kept = _emulated(compile_blob(result.proto, inputs={"x": "u8"}), frame)
    assert np.abs(plain - wanted).max() > 0.5 * wanted.max()
    assert np.abs(kept - wanted).max() < 0.1 * wanted.max()


def _run(proto: onnx.ModelProto, frame: np.ndarray) -> np.ndarray:
    from blobsmith.graph.equivalence import run

    return np.asarray(run(proto, {"x": frame.astype(np.float32)})["output"])


def _emulated(blob: bytes, frame: np.ndarray) -> np.ndarray:
    result = Emulator(Blob.from_bytes(blob)).run({"x": frame})
    return np.asarray(result["output"], np.float32)
