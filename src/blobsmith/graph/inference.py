"""Shapes and dtypes of values: ONNX's own inference, for a whole graph and for one node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, TypeProto, defs, helper, numpy_helper, shape_inference

from ..errors import ModelError
from .node import Node, to_proto

Array = npt.NDArray[Any]
SMALL = 4096
"""Constants up to this many bytes are shared when equal, and handed to shape inference."""


class ValueType(NamedTuple):
    """Shape and dtype of a value; `shape` is None where it is not static."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...] | None


def value_type(proto: TypeProto) -> ValueType | None:
    """The type that a TypeProto declares; None for anything but a tensor of known dtype."""
    tensor = proto.tensor_type
    if not proto.HasField("tensor_type") or tensor.elem_type == TensorProto.UNDEFINED:
        return None
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    if not tensor.HasField("shape"):
        return ValueType(dtype, None)
    dims = [d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim]
    return ValueType(dtype, None if any(d < 0 for d in dims) else tuple(dims))


def type_proto(known: ValueType) -> TypeProto:
    """The TypeProto that declares a type."""
    kind = helper.np_dtype_to_tensor_dtype(known.dtype)
    return helper.make_tensor_type_proto(kind, known.shape)


def infer_graph(proto: ModelProto) -> dict[str, ValueType]:
    """Types of all values of a graph that can be inferred from its inputs.

    Types that the graph claims for inner values are not believed: exporters leave ranks there that
    are not true.

    Raises:
        ModelError: the graph contradicts itself.
    """
    stripped = ModelProto()
    stripped.CopyFrom(proto)
    del stripped.graph.value_info[:]
    try:
        inferred = shape_inference.infer_shapes(stripped, data_prop=True)
    except Exception as error:  # onnx raises its own InferenceError and RuntimeError
        raise ModelError(f"shapes cannot be inferred: {error}") from error
    graph = inferred.graph
    found = ((i.name, value_type(i.type)) for i in (*graph.input, *graph.output, *graph.value_info))
    return {name: known for name, known in found if known is not None}


def infer_node(
    node: Node,
    opset: int,
    type_of: Callable[[str], ValueType | None],
    constants: Mapping[str, Array],
) -> dict[str, ValueType]:
    """Types of one node's outputs; empty where its inputs or its operator are not known.

    Raises:
        ModelError: the node is ill-formed.
    """
    try:
        schema = defs.get_schema(node.op, opset, node.domain)
    except defs.SchemaError:
        return {}
    types = {name: type_of(name) for name in node.reads()}
    known = {name: type_proto(t) for name, t in types.items() if t is not None}
    if len(known) != len(types):
        return {}
    data = {
        name: numpy_helper.from_array(constants[name], name)
        for name in node.reads()
        if name in constants and constants[name].nbytes <= SMALL
    }
    opsets = [helper.make_opsetid("", opset)]
    try:
        out = shape_inference.infer_node_outputs(
            schema, to_proto(node), known, data, opset_imports=opsets
        )
    except Exception as error:
        raise ModelError(f"a rewrite made an ill-formed {node.op}: {error}") from error
    found = ((name, value_type(proto)) for name, proto in out.items() if name)
    return {name: value for name, value in found if value is not None}
