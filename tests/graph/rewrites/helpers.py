"""Small graphs for the tests of this room, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from blobsmith.graph.editor import Editor
from blobsmith.graph.equivalence import run
from blobsmith.graph.extract import extract
from blobsmith.graph.rewrites import RewriteResult, rewrite
from blobsmith.graph.rewrites.faster.elements import VIEWS

Arrays = Mapping[str, np.ndarray[Any, Any]]


class Graph:
    """Writes an ONNX graph line by line: numbers and arrays become initializers."""

    def __init__(self, opset: int = 12, **inputs: Sequence[int]) -> None:
        self._opset = opset
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs = {name: tuple(shape) for name, shape in inputs.items()}

    def op(self, op: str, *operands: Any, outputs: int = 1, **attrs: Any) -> Any:
        """Adds a node; returns its output's name, or a list of several."""
        names = [self._operand(operand) for operand in operands]
        made = [f"v{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(
            helper.make_node(op, names, made, name=f"{op}{len(self._nodes)}", **attrs)
        )
        return made[0] if outputs == 1 else made

    def _operand(self, operand: Any) -> str:
        if isinstance(operand, str):
            return operand
        array = np.asarray(operand)
        kind = (
            np.int64 if array.dtype.kind == "i" else np.float32 if array.dtype.kind == "f" else None
        )
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array.astype(kind or array.dtype), name))
        return name

    def model(self, *outputs: str) -> onnx.ModelProto:
        """The finished model; its outputs are called output, or output_0, output_1, ..."""
        many = len(outputs) > 1
        named = {o: f"output_{i}" if many else "output" for i, o in enumerate(outputs)}
        for name, called in named.items():
            self._nodes.append(helper.make_node("Identity", [name], [called]))
        graph = helper.make_graph(
            self._nodes,
            "test",
            [
                helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
                for n, s in self._inputs.items()
            ],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in named.values()],
            self._constants,
        )
        made = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self._opset)], ir_version=8
        )
        return shape_inference.infer_shapes(made, data_prop=True)


def operators(proto: onnx.ModelProto, *, views: bool = False) -> list[str]:
    """Operator types in order, without those that leave no stage."""
    return [n.op_type for n in proto.graph.node if views or n.op_type not in VIEWS]


def stages(proto: onnx.ModelProto) -> float:
    """A stand-in for the predicted time: how many operators leave a stage."""
    slow = {"AveragePool": 100, "ReduceMax": 20, "ReduceMin": 20, "ReduceSum": 12, "ReduceMean": 12}
    price = 0.0
    for node in proto.graph.node:
        if node.op_type == "MaxPool" and any(
            any(a.ints) for a in node.attribute if a.name == "pads"
        ):
            price += 40
        elif node.op_type not in VIEWS and node.op_type != "Slice":
            price += slow.get(node.op_type, 1)
    return price


def frames(proto: onnx.ModelProto, seed: int = 0) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Noise over 0..255, and noise over -3..3."""
    rng = np.random.default_rng(seed)
    shapes = {
        i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in proto.graph.input
    }
    return [
        {n: rng.integers(0, 256, s).astype(np.float32) for n, s in shapes.items()},
        {n: rng.uniform(-3, 3, s).astype(np.float32) for n, s in shapes.items()},
    ]


def difference(before: onnx.ModelProto, after: onnx.ModelProto) -> float:
    """Largest difference of the outputs, as a share of the largest output."""
    worst = 0.0
    for feeds in frames(before):
        expected, got = run(before, feeds), run(after, feeds)
        assert list(expected) == list(got)
        for name, value in expected.items():
            assert value.shape == got[name].shape
            top = max(float(np.abs(value).max()), 1e-6)
            worst = max(worst, float(np.abs(value - got[name]).max()) / top)
    return worst


def faster(
    proto: onnx.ModelProto, *only: str, cost: Any = stages, image: bool = True
) -> RewriteResult:
    """The graph after the named rules (all of the set if none is named), by the given cost.

    Args:
        proto: the graph.
        only: names of rules.
        cost: price of a graph; None: rules go by their own defaults.
        image: declare that the inputs hold 0..255.
    """
    ranges = {i.name: (0.0, 255.0) for i in proto.graph.input} if image else None
    return rewrite(proto, sets=("faster",), only=only or None, cost=cost, ranges=ranges)


def values(e: Editor, names: Sequence[str], feeds: Sequence[Arrays]) -> list[dict[str, Any]]:
    """What the named values hold, for each set of graph inputs."""
    part = extract(e, list(dict.fromkeys(names)))
    found = []
    for feed in feeds:
        made = run(part.proto, {n: feed[n] for n in part.inputs}) if part.outputs else {}
        known = {n: feed[n] for n in names if n in feed}
        found.append({**known, **{n: made[called] for n, called in part.outputs.items()}})
    return found


def editor(proto: onnx.ModelProto) -> Editor:
    """The graph, ready to be read."""
    return Editor(proto)
