"""What an opset adapter needs to know of the graph: shapes, constants, fresh names; functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TypeProto,
    defs,
    helper,
    numpy_helper,
)

Array = npt.NDArray[Any]


class Scope:
    """Shapes, dtypes and constants of a graph, and the names and constants an adapter adds."""

    def __init__(self, proto: ModelProto) -> None:
        self.proto = proto
        self._types: dict[str, TypeProto] = {}
        self._constants: dict[str, Array] = {}
        self._added: list[onnx.TensorProto] = []
        self._names: set[str] = set()
        self._counter = 0
        try:
            inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
        except Exception:  # a graph that cannot be inferred has no shapes; adapters say what lacks
            inferred = proto
        self._read(inferred.graph)

    def _read(self, graph: GraphProto) -> None:
        for info in (*graph.input, *graph.output, *graph.value_info):
            self._types[info.name] = info.type
            self._names.add(info.name)
        for tensor in graph.initializer:
            self._constants[tensor.name] = numpy_helper.to_array(tensor)
            self._types[tensor.name] = helper.make_tensor_type_proto(
                tensor.data_type, list(tensor.dims)
            )
            self._names.add(tensor.name)
        for node in graph.node:
            self._names.update(node.output)
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self._constants[node.output[0]] = numpy_helper.to_array(attribute.t)
                    elif attribute.name in ("value_int", "value_ints"):
                        value = helper.get_attribute_value(attribute)
                        self._constants[node.output[0]] = np.array(value, np.int64)
                    elif attribute.name in ("value_float", "value_floats"):
                        value = helper.get_attribute_value(attribute)
                        self._constants[node.output[0]] = np.array(value, np.float32)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    self._read(attribute.g)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The static shape of a value; None where it is not known."""
        kind = self._types.get(name)
        if kind is None or not kind.tensor_type.HasField("shape"):
            return None
        dims = kind.tensor_type.shape.dim
        if not all(d.HasField("dim_value") for d in dims):
            return None
        return tuple(d.dim_value for d in dims)

    def kind(self, name: str) -> int:
        """The TensorProto element type of a value; 0 where it is not known."""
        found = self._types.get(name)
        return 0 if found is None else found.tensor_type.elem_type

    def type(self, name: str) -> TypeProto:
        """The TypeProto of a value; empty where it is not known."""
        return self._types.get(name, TypeProto())

    def value(self, name: str) -> Array | None:
        """The array of a constant; None for computed values and for ""."""
        return self._constants.get(name)

    def fresh(self, hint: str) -> str:
        """A value name that is not in use, made from another."""
        while True:
            self._counter += 1
            name = f"{hint.split('__')[0] or 'value'}__{self._counter}"
            if name not in self._names:
                self._names.add(name)
                return name

    def constant(self, array: Array, hint: str = "constant") -> str:
        """Adds an initializer; returns its name."""
        name = self.fresh(hint)
        self._added.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        self._constants[name] = array
        return name

    def keep(self, name: str, array: Array) -> None:
        """Makes a value that is in the graph already a constant."""
        self._added.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        self._constants[name] = array

    def store(self, graph: GraphProto) -> None:
        """Writes the constants that were added into the graph."""
        graph.initializer.extend(self._added)
        self._added = []


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """The value of an attribute, strings decoded; the default where it is absent."""
    for item in node.attribute:
        if item.name == name:
            value = helper.get_attribute_value(item)
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return default


def without(node: NodeProto, *names: str, inputs: int | None = None) -> NodeProto:
    """A copy without some attributes, and with the first `inputs` inputs only."""
    out = NodeProto.FromString(node.SerializeToString())
    kept = [a for a in out.attribute if a.name not in names]
    del out.attribute[:]
    out.attribute.extend(kept)
    if inputs is not None:
        del out.input[inputs:]
    return out


def is_function(node: NodeProto, opset: int) -> bool:
    """Whether the ONNX standard defines the operator by other operators."""
    try:
        schema = defs.get_schema(node.op_type, opset, "")
    except defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def expand(node: NodeProto, scope: Scope, opset: int) -> list[NodeProto]:
    """The nodes of the operator's function body, for this node's arguments and attributes."""
    schema = defs.get_schema(node.op_type, opset, "")
    function = FunctionProto()
    if schema.has_function:
        number = max(v for v in schema.function_opset_versions if v <= opset)
        function.ParseFromString(schema.get_function_with_opset_version(number))
    else:
        versions = schema.context_dependent_function_opset_versions
        number = max(v for v in versions if v <= opset)
        types = [scope.type(name).SerializeToString() for name in node.input]
        function.ParseFromString(
            schema.get_context_dependent_function_with_opset_version(
                number, node.SerializeToString(), types
            )
        )
    names = dict.fromkeys(function.input, "")
    names.update(zip(function.input, node.input, strict=False))
    names.update({o: n for o, n in zip(function.output, node.output, strict=False) if n})
    attributes = {
        a.name: a.default_value for a in schema.attributes.values() if a.default_value.type
    }
    attributes.update({a.name: a for a in function.attribute_proto})
    attributes.update({a.name: a for a in node.attribute})
    return _instance(function.node, names, attributes, scope, node)


def _instance(
    nodes: Iterable[NodeProto],
    names: dict[str, str],
    attributes: dict[str, AttributeProto],
    scope: Scope,
    origin: NodeProto,
) -> list[NodeProto]:
    """Copies of a body's nodes with this call's names and attributes, subgraphs included."""
    out: list[NodeProto] = []
    for body in nodes:
        copy = NodeProto.FromString(body.SerializeToString())
        copy.input[:] = [names.get(name, name) for name in copy.input]
        for name in copy.output:
            if name and name not in names:
                names[name] = scope.fresh(origin.output[0])
        copy.output[:] = [names.get(name, "") for name in copy.output]
        kept: list[AttributeProto] = []
        for item in copy.attribute:
            source = attributes.get(item.ref_attr_name) if item.ref_attr_name else item
            if source is None:
                continue
            kept.append(AttributeProto.FromString(source.SerializeToString()))
            kept[-1].name = item.name
            if kept[-1].HasField("g"):
                graph, inner = kept[-1].g, dict(names)
                replaced = _instance(graph.node, inner, attributes, scope, origin)
                del graph.node[:]
                graph.node.extend(replaced)
                for info in graph.output:
                    info.name = inner.get(info.name, info.name)
        del copy.attribute[:]
        copy.attribute.extend(kept)
        copy.doc_string = origin.doc_string
        copy.name = ""
        out.append(copy)
    return out
