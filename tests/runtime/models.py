"""Tiny ONNX graphs, and an engine that is a numpy function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from blobsmith.tensors import Decoding, TensorSpec

IMAGE = TensorSpec("image", (1, 3, 8, 10), "u8", "NCHW", "bgr")
OUTPUT = TensorSpec("output", (1, 3, 8, 10), "fp16", "NCHW", "bgr", decoding=Decoding("image"))


@dataclass(frozen=True)
class FunctionEngine:
    """An `Engine` made of a function from arrays to arrays."""

    function: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
    inputs: tuple[TensorSpec, ...] = (IMAGE,)
    outputs: tuple[TensorSpec, ...] = (OUTPUT,)
    name: str = "test"

    def run(self, feeds: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return self.function(feeds)


def copy_engine() -> FunctionEngine:
    """Gives back its picture."""
    return FunctionEngine(lambda feeds: {"output": feeds["image"].astype(np.float16)})


def difference_onnx(shape: tuple[int, ...] = (1, 3, 8, 10)) -> bytes:
    """``output = 2 (img1 - img2)`` in float32."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["img1", "img2"], ["sub"]),
            helper.make_node("Mul", ["sub", "two"], ["output"]),
        ],
        "difference",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("img1", "img2")],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [helper.make_tensor("two", TensorProto.FLOAT, (1,), [2.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    return bytes(model.SerializeToString())
