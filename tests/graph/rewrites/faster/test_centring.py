"""A blur whose gradient is taken is stored around 0."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from blobsmith.graph.rewrites import rewrite

from .helpers import Graph, difference

SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32).reshape(1, 1, 3, 3) / 8
BLUR = np.full((1, 1, 3, 3), 1 / 9, np.float32)
BYTES = {"x": (0.0, 255.0)}


def _chain(border: str, second: np.ndarray, *, also_read: bool = False) -> onnx.ModelProto:
    g = Graph(x=(1, 1, 12, 16))
    blurred = g.op("Conv", "x", BLUR, pads=[1, 1, 1, 1])
    attrs = {} if border == "constant" else {"mode": border}
    padded = g.op("Pad", blurred, [0, 0, 1, 1, 0, 0, 1, 1], **attrs)
    gradient = g.op("Conv", padded, second)
    return g.model(gradient, g.op("Relu", blurred)) if also_read else g.model(gradient)


def _largest_blur(proto: onnx.ModelProto) -> float:
    """The largest magnitude of the first convolution's result on black and white."""
    from blobsmith.graph.equivalence import run

    conv = next(n for n in proto.graph.node if n.op_type == "Conv")
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    copy.graph.output.add().name = conv.output[0]
    frames = [{"x": np.full((1, 1, 12, 16), v, np.float32)} for v in (0, 255)]
    return max(float(np.abs(run(copy, f)[conv.output[0]]).max()) for f in frames)


@pytest.mark.parametrize("border", ["edge", "reflect"])
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
        ("constant", SOBEL, False),  # the zeros around it would be shifted too
        ("edge", BLUR, False),  # a filter that sees a constant
        ("edge", SOBEL + np.float32(1e-3), False),
        ("edge", SOBEL, True),  # somebody else reads the blur
    ],
)
def test_left_alone(border: str, second: np.ndarray, also_read: bool) -> None:
    proto = _chain(border, second, also_read=also_read)
    assert not rewrite(proto, only=("centred-filter",), ranges=BYTES).applied


def test_applied_once() -> None:
    once = rewrite(_chain("edge", SOBEL), only=("centred-filter",), ranges=BYTES)
    again = rewrite(once.proto, only=("centred-filter",), ranges=BYTES)
    assert not again.applied
