"""Floors and roundings of filters' results."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from blobsmith.blob import Blob
from blobsmith.emulator import Emulator
from blobsmith.graph.equivalence import run
from blobsmith.graph.rewrites import rewrite

from ..helpers import Graph, difference

BYTES = {"x": (0.0, 255.0)}
GREY = np.array([0.299, 0.587, 0.114], np.float32).reshape(1, 3, 1, 1)
SIGNED = np.array([0.93, 0.57, -0.61], np.float32).reshape(1, 3, 1, 1)
MIXED = np.array([[0.41, 0.35, 0.17], [0.2, 0.7, 0.07]], np.float32).reshape(2, 3, 1, 1)
BLUR = (np.random.default_rng(3).uniform(0.2, 1, (1, 1, 3, 3)) / 5.3).astype(np.float32)


def _graph(
    op: str, weights: np.ndarray, *, pad: str = "", clip: bool = False, relu: bool = False
) -> onnx.ModelProto:
    g = Graph(x=(1, weights.shape[1], 24, 32))
    value = "x"
    if pad:
        value = g.op("Pad", value, [0, 0, 1, 1, 0, 0, 1, 1], mode=pad)
    value = g.op("Conv", value, weights)
    if clip:
        value = g.op("Clip", g.op("Mul", value, 1.3), 0.0, 255.0)
    return g.model(g.op(op, g.op("Relu", value) if relu else value))


CASES = {
    "floor": _graph("Floor", GREY),
    "round": _graph("Round", GREY),
    "ceil": _graph("Ceil", GREY),
    "two rows": _graph("Floor", MIXED),
    "blur": _graph("Floor", BLUR, pad="reflect"),
    "blur, edge": _graph("Round", BLUR, pad="edge"),
    "to a byte": _graph("Round", GREY, clip=True),
    "not below zero": _graph("Floor", SIGNED, relu=True),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_in_fp32_and_right_in_fp16(name: str, compile_blob) -> None:  # type: ignore[no-untyped-def]
    proto = CASES[name]
    result = rewrite(proto, ranges=BYTES, whole=("x",))
    assert "step-of-remainder" in [a.rule for a in result.applied]
    shape = tuple(d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim)
    frame = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    wanted = np.asarray(run(proto, {"x": frame.astype(np.float32)})["output"])
    rewritten = np.asarray(run(result.proto, {"x": frame.astype(np.float32)})["output"])
    assert np.mean(rewritten != wanted) < 0.002
    bare = rewrite(proto, ranges=BYTES, whole=("x",), without=("step-of-remainder",)).proto
    wrong = np.mean(_emulated(compile_blob(bare, inputs={"x": "u8"}), frame) != wanted)
    right = np.mean(_emulated(compile_blob(result.proto, inputs={"x": "u8"}), frame) != wanted)
    assert wrong > 0.01
    assert right < 0.002


def test_left_alone_where_fp16_holds_the_result() -> None:
    halves = np.full((1, 3, 1, 1), 0.25, np.float32)
    assert not _applied(_graph("Floor", halves))


def test_left_alone_where_a_scale_is_undone() -> None:
    g = Graph(x=(1, 3, 24, 32))
    assert not _applied(g.model(g.op("Round", g.op("Mul", g.op("Div", "x", 255.0), 255.0))))


def test_left_alone_where_the_picture_is_no_whole_numbers() -> None:
    assert not rewrite(CASES["floor"], only=("step-of-remainder",), ranges=BYTES).applied


def test_left_alone_where_results_lie_between_pixels() -> None:
    g = Graph(x=(1, 3, 24, 32))
    assert not _applied(g.model(g.op("Floor", g.op("Conv", "x", GREY, strides=[2, 2]))))


def test_applies_once() -> None:
    once = rewrite(CASES["floor"], only=("step-of-remainder",), ranges=BYTES, whole=("x",))
    assert len(once.applied) == 1
    assert not rewrite(once.proto, only=("step-of-remainder",), ranges=BYTES, whole=("x",)).applied
    assert difference(CASES["floor"], once.proto) <= 1.0


def _applied(proto: onnx.ModelProto) -> bool:
    result = rewrite(proto, only=("step-of-remainder",), ranges=BYTES, whole=("x",))
    return bool(result.applied)


def _emulated(blob: bytes, frame: np.ndarray) -> np.ndarray:
    result = Emulator(Blob.from_bytes(blob)).run({"x": frame})
    return np.asarray(result["output"], np.float32)
