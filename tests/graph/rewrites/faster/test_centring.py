"""A blur whose gradient is taken is stored around 0."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from blobsmith.blob import Blob
from blobsmith.emulator import Emulator
from blobsmith.graph.equivalence import run
from blobsmith.graph.rewrites import rewrite

from ..helpers import Graph, difference

SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32).reshape(1, 1, 3, 3) / 8
BLUR = np.full((1, 1, 3, 3), 1 / 9, np.float32)
BYTES = {"x": (0.0, 255.0)}


def _chain(border: str, second: np.ndarray, *, also_read: bool = False) -> onnx.ModelProto:
    g = Graph(x=(1, 1, 12, 16))
    blurred = g.op("Conv", "x", BLUR, pads=[1, 1, 1, 1])
    if border == "engine":
        gradient = g.op("Conv", blurred, second, pads=[1, 1, 1, 1])
    else:
        fill, mode = (7.0, "constant") if border == "filled" else (0.0, border)
        amounts = [fill] if mode == "constant" else []
        padded = g.op("Pad", blurred, [0, 0, 1, 1, 0, 0, 1, 1], *amounts, mode=mode)
        gradient = g.op("Conv", padded, second)
    return g.model(gradient, g.op("Relu", blurred)) if also_read else g.model(gradient)


def _largest_blur(proto: onnx.ModelProto) -> float:
    """The largest magnitude of the first convolution's result on black and white."""
    conv = next(n for n in proto.graph.node if n.op_type == "Conv")
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    copy.graph.output.add().name = conv.output[0]
    frames = [{"x": np.full((1, 1, 12, 16), v, np.float32)} for v in (0, 255)]
    return max(float(np.abs(run(copy, f)[conv.output[0]]).max()) for f in frames)


@pytest.mark.parametrize("border", ["edge", "reflect", "constant", "filled", "engine"])
def test_blur_before_gradient_is_centred(border: str) -> None:
    proto = _chain(border, SOBEL)
    result = rewrite(proto, only=("centred-filter",), ranges=BYTES)
    assert [a.rule for a in result.applied] == ["centred-filter"]
    assert difference(proto, result.proto) < 1e-4
    assert _largest_blur(proto) > 254
    assert _largest_blur(result.proto) < 128


@pytest.mark.parametrize(
    ("border", "second", "also_read"),
    [
        ("edge", BLUR, False),  # a filter that sees a constant
        ("edge", SOBEL + np.float32(1e-3), False),
        ("edge", SOBEL, True),  # somebody else reads the blur
    ],
)
def test_left_alone(border: str, second: np.ndarray, also_read: bool) -> None:
    proto = _chain(border, second, also_read=also_read)
    assert not rewrite(proto, only=("centred-filter",), ranges=BYTES).applied


@pytest.mark.parametrize("border", ["edge", "constant", "engine"])
def test_a_gradient_is_finer_in_fp16(border: str, compile_blob) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(4)
    frame = (240 + rng.integers(0, 12, (1, 1, 12, 16))).astype(np.uint8)
    proto = _chain(border, SOBEL)
    wanted = run(proto, {"x": frame.astype(np.float32)})["output"]
    errors = []
    for without in (("centred-filter",), ()):
        graph = rewrite(proto, ranges=BYTES, whole=("x",), without=without).proto
        blob = Blob.from_bytes(compile_blob(graph, inputs={"x": "u8"}))
        got = np.asarray(Emulator(blob).run({"x": frame})["output"], np.float32)
        error = np.abs(got - wanted)
        assert error.max() < 0.2  # at the border too, where the gradient is 60 and more
        errors.append(float(error[..., 1:-1, 1:-1].mean()))
    assert errors[1] < 0.7 * errors[0]


def test_a_signal_of_one_axis_is_centred() -> None:
    g = Graph(x=(1, 1, 40))
    blurred = g.op("Conv", "x", np.full((1, 1, 3), 1 / 3, np.float32), pads=[1, 1])
    slope = np.array([-1, 0, 1], np.float32).reshape(1, 1, 3)
    proto = g.model(g.op("Conv", blurred, slope, pads=[1, 1]))
    result = rewrite(proto, only=("centred-filter",), ranges=BYTES)
    assert [a.rule for a in result.applied] == ["centred-filter"]
    assert difference(proto, result.proto) < 1e-4


def test_applied_once() -> None:
    once = rewrite(_chain("edge", SOBEL), only=("centred-filter",), ranges=BYTES)
    again = rewrite(once.proto, only=("centred-filter",), ranges=BYTES)
    assert not again.applied
