"""Writes a plan into the graph: scaled constants, and multiplications where needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ..network import Network, Node
from .plan import Plan

MARK = "|x2^"
_FLOAT = TensorProto.FLOAT


class _Writer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.network: Network = plan.network
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}
        self.aliases: dict[tuple[str, int], str] = {}
        self.actions: list[str] = []
        self.taken = {n for node in plan.network.nodes for n in (*node.inputs, *node.outputs)}

    def fresh(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def constant(self, stem: str, value: np.ndarray[Any, Any]) -> str:
        name = self.fresh(stem)
        self.initializers[name] = numpy_helper.from_array(value, name)
        return name

    def scaled(
        self, origin: str, name: str, power: int, output: str, like: NodeProto | None
    ) -> None:
        """A multiplication by 2^power; `origin` is the tensor's name in the given graph."""
        kind = helper.tensor_dtype_to_np_dtype(self.network.dtypes.get(origin, 0) or _FLOAT)
        factor = self.constant(f"{output}{MARK}{power}", np.asarray(2.0**power, kind))
        node = helper.make_node("Mul", [name, factor], [output])
        if like is not None:
            _copy_origin(like, node)
        self.nodes.append(node)

    def at(self, name: str, source: str, wanted: int | None, like: NodeProto) -> str:
        """A tensor with the wanted exponent."""
        have = self.plan.exponents.get(name)
        if wanted is None or have is None or wanted == have:
            return source
        key = (name, wanted)
        if key not in self.aliases:
            output = self.fresh(f"{name}{MARK}{wanted - have}")
            self.scaled(name, source, wanted - have, output, like)
            self.aliases[key] = output
            self.actions.append(f"put in: {name!r} times 2^{wanted - have}")
        return self.aliases[key]


def _copy_origin(source: NodeProto, target: NodeProto) -> None:
    """The line of the user's code goes with a node."""
    target.doc_string = source.doc_string
    target.metadata_props.extend(source.metadata_props)


def write(plan: Plan) -> tuple[ModelProto, tuple[str, ...]]:
    """The graph with the plan carried out, and what was done in sentences."""
    writer = _Writer(plan)
    network, graph = plan.network, plan.network.proto.graph
    renamed: dict[str, str] = {}
    for name in network.inputs:
        power = plan.adjust.get(name, 0)
        if power and network.is_float(name):
            output = writer.fresh(f"{name}{MARK}{power}")
            reader = next(iter(network.users.get(name, ())), None)
            like = None if reader is None else graph.node[reader.index]
            writer.scaled(name, name, power, output, like)
            renamed[name] = output
            writer.actions.append(f"put in: input {name!r} times 2^{power}")
    undone = plan.undone()
    for name in undone:
        renamed[name] = writer.fresh(f"{name}|inside")
    for node in network.nodes:
        if node.op == "Constant":
            writer.nodes.append(graph.node[node.index])
        else:
            _write_node(writer, node, graph.node[node.index], renamed)
    for name, power in undone.items():
        maker = network.producers.get(name)
        like = None if maker is None else graph.node[maker.index]
        writer.scaled(name, renamed[name], power, name, like)
        writer.actions.append(f"put in: output {name!r} times 2^{power}")
    result = ModelProto()
    result.CopyFrom(network.proto)
    del result.graph.node[:]
    result.graph.node.extend(writer.nodes)
    result.graph.initializer.extend(writer.initializers.values())
    del result.graph.value_info[:]
    _drop_unused(result)
    return result, tuple(dict.fromkeys(writer.actions))


def _write_node(writer: _Writer, node: Node, proto: NodeProto, renamed: dict[str, str]) -> None:
    plan = writer.plan
    settled = plan.settled[node.index]
    copy = NodeProto()
    copy.CopyFrom(proto)
    for index, name in enumerate(node.inputs):
        power = settled.constants.get(index, 0)
        if name in writer.network.constants:
            if power:
                value = writer.network.constants[name]
                with np.errstate(over="ignore"):  # what overflows is another function: rejected
                    scaled = (np.asarray(value, np.float64) * 2.0**power).astype(value.dtype)
                copy.input[index] = writer.constant(f"{name}{MARK}{power}", scaled)
                writer.actions.append(f"constant {name!r} of {node.op} times 2^{power}")
            continue
        if name:
            source = renamed.get(name, name)
            copy.input[index] = writer.at(name, source, settled.inputs[index], proto)
    for attribute in copy.attribute:
        power = settled.attributes.get(attribute.name, 0)
        if power and attribute.type == onnx.AttributeProto.FLOAT:
            attribute.f = float(np.float32(attribute.f * 2.0**power))
            writer.actions.append(f"{attribute.name} of {node.op} times 2^{power}")
    writer.nodes.append(copy)
    for position, output in enumerate(node.outputs):
        behind, target = plan.scale_of(node, output), renamed.get(output, output)
        copy.output[position] = target
        if behind:
            raw = writer.fresh(f"{output}|unscaled")
            copy.output[position] = raw
            writer.scaled(output, raw, behind, target, proto)
            writer.actions.append(f"put in: result {output!r} of {node.op} times 2^{behind}")


def _drop_unused(model: ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input}
    used |= {output.name for output in model.graph.output}
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                return  # subgraphs may read any initializer
    kept = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
