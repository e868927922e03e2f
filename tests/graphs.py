"""Small ONNX graphs that tests of several rooms use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IMAGE = (1, 3, 16, 16)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Sequence[int] | None],
    constants: dict[str, Any] | None = None,
    opset: int = 12,
) -> onnx.ModelProto:
    """A float model from nodes, shapes by name, and constants by name."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return made


def one(op: str, count: int = 1, opset: int = 12, **attributes: Any) -> onnx.ModelProto:
    """One operator from inputs x0, x1, ... of `IMAGE` shape to y."""
    names = [f"x{i}" for i in range(count)]
    node = helper.make_node(op, names, ["y"], name=f"node_{op}", **attributes)
    return model([node], dict.fromkeys(names, IMAGE), {"y": None}, opset=opset)


def concat(size: int = 300) -> onnx.ModelProto:
    """The tutorial's model: three frames side by side."""
    names = ["img1", "img2", "img3"]
    shape = (1, 3, size, size)
    node = helper.make_node("Concat", names, ["output"], axis=3)
    return model([node], dict.fromkeys(names, shape), {"output": (1, 3, size, 3 * size)})
