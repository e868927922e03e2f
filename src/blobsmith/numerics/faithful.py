"""A run in FP16 as the chip stores it, on the ONNX level.

ONNX Runtime computes in FP32; a cast to FP16 and back stands after every operator, and graph
optimisation is off, so that nothing is computed wider in between. (A model that is merely
converted to FP16 hides overflow: docs/compiler.md, verification on the host.) Constants are those
that the compiler stores, and operators that it splits are split: a / b becomes a * (1 / b), a sum
over axes becomes an average times the number of elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from . import constants as compiler
from .fp16 import AnyArray
from .intervals.registry import RULES
from .network import Network, Node

BEFORE = "|before rounding"
"""Suffix of an operator's FP32 result."""
IDEAL = "|ideal"
"""Suffix of what the operator would give with the original constants and no rounding."""

Feed = tuple[str, ...]


@dataclass
class _Builder:
    network: Network
    opset: int
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    ideals: dict[str, str] = field(default_factory=dict)

    def constant(self, name: str, value: AnyArray) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str, **attrs: object) -> None:
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attrs))

    def rounded(self, op: str, inputs: Sequence[str], output: str, **attrs: object) -> str:
        """An operator whose result is stored in FP16."""
        self.node(op, inputs, output + BEFORE, **attrs)
        self.store(output + BEFORE, output)
        return output

    def store(self, before: str, after: str) -> None:
        self.node("Cast", [before], before + "|16", to=TensorProto.FLOAT16)
        self.node("Cast", [before + "|16"], after, to=TensorProto.FLOAT)

    def reduce(self, op: str, x: str, output: str, node: Node) -> str:
        """A reduction with the attributes or axes input of `node`."""
        attrs = {k: v for k, v in node.attrs.items() if k in ("keepdims", "noop_with_empty_axes")}
        axes = node.attrs.get("axes")
        given = self.network.constants.get(node.input(1))
        if axes is None and given is not None:
            axes = [int(a) for a in np.asarray(given).reshape(-1)]
        if axes is None or self.opset < 18:
            attrs.pop("noop_with_empty_axes", None)
            if axes:
                attrs["axes"] = list(axes)
            return self.rounded(op, [x], output, **attrs)
        at = self.constant(output + "|axes", np.asarray(axes, np.int64))
        return self.rounded(op, [x, at], output, **attrs)

    def total(self, x: str, output: str, node: Node, size: int) -> str:
        """A sum as it is compiled: an average, stored, times the number of elements."""
        mean = self.reduce("ReduceMean", x, output + "|mean", node)
        count = self.constant(output + "|count", np.asarray(size, np.float32))
        return self.rounded("Mul", [mean, count], output)


def half_model(network: Network, *, ideals: bool = False) -> ModelProto:
    """The model whose every tensor holds what FP16 storage would leave of it.

    Tensor names are kept: a name of the graph is its FP16 value (in FP32 arrays), the name with
    `BEFORE` the result before rounding.

    Args:
        network: the graph.
        ideals: for every operator whose constants the compiler changes, or that it splits, also
            compute `IDEAL`: the operator itself, unrounded, on the FP16 inputs.
    """
    build = _Builder(network, network.opset)
    graph = network.proto.graph
    renamed = {}
    for info in graph.input:
        if info.name in network.inputs and network.dtypes.get(info.name) == TensorProto.FLOAT:
            renamed[info.name] = info.name + "|given"
    for node in network.nodes:
        proto = graph.node[node.index]
        if node.op == "Constant":
            build.nodes.append(proto)
            continue
        _emit(build, node, proto, ideals)
    inputs = []
    for info in graph.input:
        copy = onnx.ValueInfoProto()
        copy.CopyFrom(info)
        if info.name in renamed:
            copy.name = renamed[info.name]
        inputs.append(copy)
    first = _Builder(network, network.opset)
    for name, given in renamed.items():
        first.store(given, name)
    result = helper.make_graph(
        [*first.nodes, *build.nodes], "fp16", inputs, list(graph.output),
        [*graph.initializer, *build.initializers],
    )  # fmt: skip
    model = helper.make_model(
        result, opset_imports=list(network.proto.opset_import),
        ir_version=network.proto.ir_version, functions=list(network.proto.functions),
    )  # fmt: skip
    return model


def given_name(network: Network, name: str) -> str:
    """What `half_model` calls an input."""
    return name + "|given" if network.dtypes.get(name) == TensorProto.FLOAT else name


def _emit(build: _Builder, node: Node, proto: NodeProto, ideals: bool) -> None:
    network = build.network
    inputs, changed = list(node.inputs), False
    for index, name in enumerate(node.inputs):
        value = network.constants.get(name)
        if value is None or value.dtype.kind != "f":
            continue
        stored = compiler.compiled(network, node, index)
        if not np.array_equal(stored, value):
            inputs[index] = build.constant(f"{node.outputs[0]}|{index}", stored)
            changed = True
    split = _SPLITS.get(node.op)
    done = split is not None and split(build, node, inputs)
    if ideals and (changed or done) and node.outputs[0]:
        ideal = NodeProto()
        ideal.CopyFrom(proto)
        ideal.name = ""
        del ideal.output[:]
        ideal.output.extend(o + IDEAL if o else "" for o in node.outputs)
        build.nodes.append(ideal)
    if done:
        return
    copy = NodeProto()
    copy.CopyFrom(proto)
    copy.name = ""
    del copy.input[:]
    copy.input.extend(inputs)
    rule = RULES.get(node.op)
    constant = any(network.constants[i].dtype.kind == "f" for i in _constants(network, node))
    moves = rule is not None and rule.moves and not constant
    rounding = [o for o in node.outputs if o and not moves and _is_fp32(network, o)]
    del copy.output[:]
    copy.output.extend(o + BEFORE if o in rounding else o for o in node.outputs)
    build.nodes.append(copy)
    for output in rounding:
        build.store(output + BEFORE, output)


def _is_fp32(network: Network, name: str) -> bool:
    return bool(network.dtypes.get(name, TensorProto.FLOAT) == TensorProto.FLOAT)


def _constants(network: Network, node: Node) -> list[str]:
    return [name for name in node.inputs if name in network.constants]


def _variable(build: _Builder, name: str) -> bool:
    return bool(name) and name not in build.network.constants


def _division(build: _Builder, node: Node, inputs: list[str]) -> bool:
    if not _variable(build, node.input(1)) or not _is_fp32(build.network, node.outputs[0]):
        return False
    inverse = build.rounded("Reciprocal", [inputs[1]], node.outputs[0] + "|inverse")
    build.rounded("Mul", [inputs[0], inverse], node.outputs[0])
    return True


def _summed(before: str) -> Callable[[_Builder, Node, list[str]], bool]:
    """A sum over axes of the input, of its squares or of its absolute values."""

    def split(build: _Builder, node: Node, inputs: list[str]) -> bool:
        network, output = build.network, node.outputs[0]
        whole = network.elements(node.input(0))
        part = network.elements(output)
        if not whole or not part or not _is_fp32(network, output):
            return False
        if node.input(1) and node.input(1) not in network.constants:
            return False
        x = inputs[0]
        if before == "Mul":
            x = build.rounded("Mul", [x, x], output + "|square")
        elif before:
            x = build.rounded(before, [x], output + "|" + before.lower())
        after = {"ReduceL2": "Sqrt", "ReduceLogSum": "Log", "ReduceLogSumExp": "Log"}.get(node.op)
        total = output + "|sum" if after else output
        build.total(x, total, node, max(whole // part, 1))
        if after:
            build.rounded(after, [total], output)
        return True

    return split


def _many(build: _Builder, node: Node, inputs: list[str]) -> bool:
    """Sum and Mean of several tensors: one addition after the other."""
    output = node.outputs[0]
    mean = node.op == "Mean"
    if len(inputs) == 1:
        return False
    total = inputs[0]
    for index, name in enumerate(inputs[1:]):
        last = index == len(inputs) - 2 and not mean
        total = build.rounded("Add", [total, name], output if last else f"{output}|sum{index}")
    if mean:
        share = build.constant(output + "|share", np.asarray(1 / len(inputs), np.float32))
        build.rounded("Mul", [total, share], output)
    return True


_SPLITS: dict[str, Callable[[_Builder, Node, list[str]], bool]] = {
    "Div": _division,
    "ReduceSum": _summed(""),
    "ReduceL1": _summed("Abs"),
    "ReduceL2": _summed("Mul"),
    "ReduceSumSquare": _summed("Mul"),
    "ReduceLogSum": _summed(""),
    "ReduceLogSumExp": _summed("Exp"),
    "Sum": _many,
    "Mean": _many,
}
