"""What can be read of a graph: nodes, who makes and who reads a value, types, constants.

`Editor` adds the ways to change it.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from ..errors import ModelError
from .inference import Array, ValueType, infer_graph
from .node import Node, constant_of, from_proto, to_proto


class GraphView:
    """A graph as nodes, constants and types; for the attributes see `Editor`."""

    def __init__(self, proto: ModelProto) -> None:
        self._shell = ModelProto()
        self._shell.CopyFrom(_without_graph(proto))
        graph = proto.graph
        self._graph_name, self._graph_doc = graph.name, graph.doc_string
        self.opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1)
        self.constants: dict[str, Array] = {
            t.name: numpy_helper.to_array(t) for t in graph.initializer
        }
        self._infos = {i.name: i for i in (*graph.input, *graph.output)}
        self.inputs = tuple(i.name for i in graph.input if i.name not in self.constants)
        self.outputs = tuple(o.name for o in graph.output)
        self._types: dict[str, ValueType] = {}
        self._nodes: list[Node] = []
        self._producer: dict[str, Node] = {}
        self._consumers: dict[str, dict[Node, None]] = {}
        self._version = 0
        self._sorted_at = self._typed_at = -1
        self._typed: dict[str, list[tuple[int, Node]]] = {}
        self.ranges: dict[str, tuple[float, float]] = {}
        self.whole_inputs: frozenset[str] = frozenset()
        self.memo: dict[str, Any] = {}
        for proto_node in graph.node:
            node = from_proto(proto_node)
            if (array := constant_of(node)) is not None:
                self.constants[node.output] = array
            else:
                self._register(node)
        self._types.update(infer_graph(proto))

    @property
    def version(self) -> int:
        """Another number after every change of nodes or of what they read."""
        return self._version

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes, in no promised order; `sorted` gives a topological one."""
        return tuple(self._nodes)

    def sorted(self) -> list[Node]:
        """The nodes in a topological order that keeps the present order where it can.

        Raises:
            ModelError: the graph has a cycle.
        """
        if self._sorted_at != self._version:
            self._nodes = self._in_order()
            self._sorted_at = self._version
        return list(self._nodes)

    def of_type(self, ops: tuple[str, ...]) -> list[Node]:
        """The nodes of some operator types in topological order; all, if no type is given."""
        nodes = self.sorted()
        if not ops:
            return nodes
        if self._typed_at != self._version:
            self._typed = {}
            for index, node in enumerate(nodes):
                self._typed.setdefault(node.op, []).append((index, node))
            self._typed_at = self._version
        found = [pair for op in ops for pair in self._typed.get(op, ())]
        return [node for _, node in sorted(found, key=lambda pair: pair[0])]

    def _in_order(self) -> list[Node]:
        position = {node: i for i, node in enumerate(self._nodes)}
        needs: dict[Node, set[Node]] = {}
        orderly = True
        for index, node in enumerate(self._nodes):
            makers = {self._producer[r] for r in node.reads() if r in self._producer}
            needs[node] = makers
            orderly = orderly and all(position[maker] < index for maker in makers)
        if orderly:
            return self._nodes
        waiting = {node: len(makers) for node, makers in needs.items()}
        heap = [position[node] for node, count in waiting.items() if not count]
        heapq.heapify(heap)
        order: list[Node] = []
        while heap:
            node = self._nodes[heapq.heappop(heap)]
            order.append(node)
            followers = {c for o in node.outputs if o for c in self._consumers.get(o, ())}
            for follower in followers:
                waiting[follower] -= 1
                if waiting[follower] == 0:
                    heapq.heappush(heap, position[follower])
        if len(order) != len(self._nodes):
            raise ModelError("the graph has a cycle", where=self._graph_name)
        return order

    def __contains__(self, node: object) -> bool:
        return isinstance(node, Node) and any(
            self._producer.get(o) is node for o in node.outputs if o
        )

    def producer(self, value: str) -> Node | None:
        """The node that makes a value; None for inputs and constants."""
        return self._producer.get(value)

    def consumers(self, value: str) -> list[Node]:
        """The nodes that read a value, each once."""
        return list(self._consumers.get(value, ()))

    def single_consumer(self, value: str) -> Node | None:
        """The only reader of a value that is no graph output; None otherwise."""
        readers = self._consumers.get(value, {})
        if len(readers) != 1 or value in self.outputs:
            return None
        return next(iter(readers))

    def uses(self, value: str) -> int:
        """How many nodes read a value, one more if it is a graph output."""
        return len(self._consumers.get(value, ())) + (value in self.outputs)

    def is_known(self, value: str) -> bool:
        """Whether the graph has a value of that name: input, constant or computed."""
        return value in self._producer or value in self.constants or value in self.inputs

    def type(self, value: str) -> ValueType | None:
        """Shape and dtype, or None where nothing is known."""
        if value in self.constants:
            array = self.constants[value]
            return ValueType(array.dtype, array.shape)
        return self._types.get(value)

    def shape(self, value: str) -> tuple[int, ...] | None:
        """The static shape, or None."""
        known = self.type(value)
        return known.shape if known else None

    def rank(self, value: str) -> int | None:
        """The number of dimensions, or None."""
        shape = self.shape(value)
        return None if shape is None else len(shape)

    def dtype(self, value: str) -> np.dtype[Any] | None:
        """The numpy dtype, or None."""
        known = self.type(value)
        return known.dtype if known else None

    def is_float(self, value: str) -> bool:
        """Whether the value is of a floating-point dtype."""
        dtype = self.dtype(value)
        return dtype is not None and dtype.kind == "f"

    def constant(self, value: str) -> Array | None:
        """The array of a constant; None for anything that is computed, and for ""."""
        return self.constants.get(value)

    def scalar(self, value: str) -> float | None:
        """The number that a constant holds, if all its elements are equal; None otherwise."""
        array = self.constants.get(value)
        if array is None or array.size == 0 or array.dtype.kind not in "fiub":
            return None
        first = array.reshape(-1)[0]
        return float(first) if bool(np.all(array == first)) else None

    def ints(self, value: str) -> tuple[int, ...] | None:
        """The integers that a constant holds (axes, shapes, starts); None otherwise."""
        array = self.constants.get(value)
        return None if array is None else tuple(int(v) for v in array.reshape(-1))

    def to_proto(self, *, values: bool = False) -> ModelProto:
        """The graph as a ModelProto of the same opset, inputs and outputs.

        Args:
            values: also write the known types of inner values (value_info).
        """
        proto = ModelProto()
        proto.CopyFrom(self._shell)
        del proto.opset_import[:]
        proto.opset_import.extend(self.opset_imports())
        graph = proto.graph
        graph.name, graph.doc_string = self._graph_name or "graph", self._graph_doc
        order = self.sorted()
        graph.node.extend(to_proto(node) for node in order)
        used = {r for node in order for r in node.reads()} | set(self.outputs)
        graph.initializer.extend(
            numpy_helper.from_array(array, name)
            for name, array in self.constants.items()
            if name in used
        )
        graph.input.extend(self._infos[name] for name in self.inputs)
        graph.output.extend(self.value_info(name) for name in self.outputs)
        if values:
            shown = set(self.inputs) | set(self.outputs)
            inner = [o for n in order for o in n.outputs if o in self._types and o not in shown]
            graph.value_info.extend(self.value_info(name) for name in inner)
        return proto

    def opset_imports(self) -> list[onnx.OperatorSetIdProto]:
        """The opsets of the graph, ONNX's own first."""
        others = [o for o in self._shell.opset_import if o.domain not in ("", "ai.onnx")]
        return [helper.make_opsetid("", self.opset), *others]

    def value_info(self, name: str) -> onnx.ValueInfoProto:
        """The declared name, dtype and shape of a value."""
        known = self.type(name)
        if known is None:
            return self._infos.get(name) or onnx.ValueInfoProto(name=name)
        kind = helper.np_dtype_to_tensor_dtype(known.dtype)
        return helper.make_tensor_value_info(name, kind, known.shape)

    def _register(self, node: Node, at: int | None = None) -> None:
        for output in node.outputs:
            if output and output in self._producer:
                raise ModelError("two nodes make the same value", where=output)
        self._version += 1
        self._nodes.insert(len(self._nodes) if at is None else at, node)
        for output in node.outputs:
            if output:
                self._producer[output] = node
        for value in node.reads():
            self._consumers.setdefault(value, {})[node] = None


def _without_graph(proto: ModelProto) -> ModelProto:
    shell = ModelProto(
        ir_version=proto.ir_version,
        producer_name=proto.producer_name,
        producer_version=proto.producer_version,
        domain=proto.domain,
        model_version=proto.model_version,
        doc_string=proto.doc_string,
    )
    shell.opset_import.extend(proto.opset_import)
    shell.metadata_props.extend(proto.metadata_props)
    return shell
