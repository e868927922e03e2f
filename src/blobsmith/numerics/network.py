"""A read-only view of an ONNX graph: what the analyses need of it, looked up once.

Parsing and shape inference run native code of the onnx package: untrusted files belong into a
worker process, which is the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from ..errors import ModelError
from .fp16 import AnyArray

Shape = tuple[int, ...]

NOT_A_TENSOR = -1
FLOATS = frozenset(
    (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
)


@dataclass(frozen=True)
class Node:
    """One operator of the graph.

    Attributes:
        op: ONNX operator type, with its domain in front if that is not ONNX's own.
        inputs: tensor names; "" is an absent optional input.
        outputs: tensor names; "" is an output that nobody asked for.
        attrs: attributes as Python values (tensors as numpy arrays).
        name: the node's name, may be empty.
        index: position in the graph.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any]
    name: str
    index: int

    def input(self, index: int) -> str:
        """The name of an input; "" if it is absent."""
        return self.inputs[index] if index < len(self.inputs) else ""


@dataclass(frozen=True)
class Network:
    """A graph with shapes, constants and who uses what.

    Attributes:
        proto: the model with inferred shapes. Read-only.
        opset: version of ONNX's own operator set.
        nodes: in the order in which they run.
        constants: initializers and the outputs of Constant nodes.
        shapes: static shapes by tensor name; a tensor whose shape is unknown is missing.
        dtypes: ONNX element types by tensor name; 0 and missing: unknown; -1: no tensor.
        inputs, outputs: names in the order of the graph; constants among the inputs left out.
        producers: tensor name -> node.
        users: tensor name -> nodes that read it.
    """

    proto: ModelProto
    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, AnyArray]
    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    producers: Mapping[str, Node] = field(repr=False)
    users: Mapping[str, tuple[Node, ...]] = field(repr=False)

    def is_float(self, name: str) -> bool:
        """Whether a tensor holds floating-point numbers; unknown types count as such."""
        return self.dtypes.get(name, 0) in FLOATS or self.dtypes.get(name, 0) == 0

    def rank(self, name: str) -> int | None:
        """Number of dimensions, None where the shape is unknown."""
        shape = self.shapes.get(name)
        return None if shape is None else len(shape)

    def elements(self, name: str) -> int:
        """Number of elements, 0 where the shape is unknown."""
        shape = self.shapes.get(name)
        return 0 if shape is None else int(np.prod(shape, dtype=np.int64))

    def steps(self) -> Iterator[Node]:
        """The nodes that compute something: all but Constant."""
        return (node for node in self.nodes if node.op != "Constant")


def read(proto: ModelProto) -> Network:
    """The view of a model.

    Raises:
        ModelError: the graph is not valid ONNX (shapes cannot be inferred).
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(proto)
    except Exception as error:
        raise ModelError(
            f"the shapes of the graph cannot be inferred: {error}",
            remedy="check the file with onnx.checker.check_model",
        ) from error
    graph = inferred.graph
    if not graph.node and not graph.output:
        inferred, graph = proto, proto.graph
    nodes = tuple(_node(node, i) for i, node in enumerate(graph.node))
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in nodes:
        if node.op == "Constant" and node.outputs:
            constants[node.outputs[0]] = _constant_value(node)
    shapes, dtypes = _types(graph)
    for name, value in constants.items():
        shapes[name] = value.shape
        dtypes[name] = int(onnx.helper.np_dtype_to_tensor_dtype(value.dtype))
    producers = {name: node for node in nodes for name in node.outputs if name}
    users: dict[str, list[Node]] = {}
    for node in nodes:
        for name in dict.fromkeys((*node.inputs, *_captured(graph.node[node.index]))):
            if name:
                users.setdefault(name, []).append(node)
    return Network(
        proto=inferred,
        opset=next((o.version for o in inferred.opset_import if o.domain in ("", "ai.onnx")), 0),
        nodes=nodes,
        constants=constants,
        shapes=shapes,
        dtypes=dtypes,
        inputs=tuple(i.name for i in graph.input if i.name not in constants),
        outputs=tuple(o.name for o in graph.output),
        producers=producers,
        users={name: tuple(found) for name, found in users.items()},
    )


def _node(proto: NodeProto, index: int) -> Node:
    op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
    attrs = {a.name: attribute_value(a) for a in proto.attribute}
    return Node(op, tuple(proto.input), tuple(proto.output), attrs, proto.name, index)


def attribute_value(attribute: AttributeProto) -> Any:
    """An attribute as int, float, str, list, numpy array, or the proto itself for graphs."""
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (list, tuple)) or attribute.type in _LISTS:
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in value]
    return value


_LISTS = (AttributeProto.INTS, AttributeProto.FLOATS, AttributeProto.STRINGS)


def _constant_value(node: Node) -> AnyArray:
    for key, value in node.attrs.items():
        if key == "value":
            return np.asarray(value)
        if key in ("value_float", "value_floats"):
            return np.asarray(value, np.float32)
        if key in ("value_int", "value_ints"):
            return np.asarray(value, np.int64)
    return np.zeros((), np.float32)


def _types(graph: GraphProto) -> tuple[dict[str, Shape], dict[str, int]]:
    shapes: dict[str, Shape] = {}
    dtypes: dict[str, int] = {}
    for info in (*graph.input, *graph.value_info, *graph.output):
        if info.type.WhichOneof("value") not in (None, "tensor_type"):
            dtypes[info.name] = NOT_A_TENSOR
            continue
        tensor = info.type.tensor_type
        dtypes[info.name] = tensor.elem_type
        if not tensor.HasField("shape"):
            continue
        dims = tensor.shape.dim
        if all(d.HasField("dim_value") for d in dims):
            shapes[info.name] = tuple(int(d.dim_value) for d in dims)
    return shapes, dtypes


def _captured(node: NodeProto) -> list[str]:
    names: list[str] = []
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            for inner in attribute.g.node:
                names.extend(inner.input)
                names.extend(_captured(inner))
    return names
