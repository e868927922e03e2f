"""Everything in the graph that a frame touches becomes float32, as the rest of the road expects.

FP16 and double weights become float32 (the chip stores FP16 in any case). An integer input that
is only cast to float, as exporters write it for U8 frames, becomes a float input. Integer and
boolean outputs are cast. What computes in integers at the boundary is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ..errors import SourceError

_FLOATS = (TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
_NAMES = {
    TensorProto.UINT8: "u8",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "fp16",
    TensorProto.DOUBLE: "fp32",
    TensorProto.FLOAT: "fp32",
}
_WHOLE = (
    *(TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16),
    *(TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL),
)


def type_name(kind: int) -> str:
    """The ONNX name of an element type, in small letters."""
    try:
        return str(TensorProto.DataType.Name(kind)).lower()
    except ValueError:
        return f"type {kind}"


def input_kinds(proto: ModelProto, name: str) -> dict[str, str]:
    """Input name -> "u8", "fp16", "fp32" or "int": what the file says of it.

    Raises:
        SourceError: strings or complex numbers.
    """
    kinds: dict[str, str] = {}
    for info in proto.graph.input:
        kind = info.type.tensor_type.elem_type
        if kind not in _NAMES and kind not in _WHOLE:
            raise SourceError(
                f"the input {info.name!r} is of type {type_name(kind)}, which the chip lacks",
                where=name,
                remedy="export the model with float inputs",
            )
        kinds[info.name] = _NAMES.get(kind, "int")
    return kinds


def to_float32(proto: ModelProto, name: str) -> tuple[ModelProto, tuple[str, ...]]:
    """The same graph with float32 inputs, weights and outputs, and what was changed in words.

    Raises:
        SourceError: an input is an integer and is computed with as one; a weight does not fit.
    """
    out = ModelProto()
    out.CopyFrom(proto)
    notes: list[str] = []
    widened = _widen(out.graph, name)
    if widened:
        notes.append(f"{' and '.join(sorted(widened))} tensors were converted to float32")
    for info in list(out.graph.input):
        kind = info.type.tensor_type.elem_type
        if kind in _WHOLE:
            _free_input(out.graph, info, kind, name)
            notes.append(f"the input {info.name!r} was {type_name(kind)} and is float32 now")
    types = _types(out)
    for info in list(out.graph.output):
        kind = types.get(info.name, info.type.tensor_type.elem_type)
        if kind in _WHOLE:
            _cast_output(out.graph, info)
            notes.append(f"the output {info.name!r} was {type_name(kind)} and is cast to float")
    return out, tuple(notes)


def _types(proto: ModelProto) -> dict[str, int]:
    try:
        graph = onnx.shape_inference.infer_shapes(proto).graph
    except Exception:  # the checker says later what is wrong with it
        graph = proto.graph
    return {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}


# ---------------------------------------------------------------------- other floats


def _widen(graph: GraphProto, name: str) -> set[str]:
    found: set[str] = set()
    for info in (*graph.input, *graph.output, *graph.value_info):
        if info.type.tensor_type.elem_type in _FLOATS:
            found.add(type_name(info.type.tensor_type.elem_type))
            info.type.tensor_type.elem_type = TensorProto.FLOAT
    for tensor in graph.initializer:
        found.update(_widen_tensor(tensor, name))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found.update(_widen(attribute.g, name))
            elif attribute.HasField("t"):
                found.update(_widen_tensor(attribute.t, name))
            elif attribute.name in ("to", "dtype") and attribute.i in _FLOATS:
                found.add(type_name(attribute.i))
                attribute.i = TensorProto.FLOAT
    return found


def _widen_tensor(tensor: TensorProto, name: str) -> set[str]:
    kind = tensor.data_type
    if kind not in _FLOATS:
        return set()
    array = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        wide = array.astype(np.float32)
    if np.isinf(wide).any() and not np.isinf(array.astype(np.float64)).any():
        raise SourceError(
            f"the weight {tensor.name!r} holds numbers that do not fit in float32", where=name
        )
    tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    return {type_name(kind)}


# ---------------------------------------------------------------------- integers at the boundary


def _free_input(graph: GraphProto, info: onnx.ValueInfoProto, kind: int, name: str) -> None:
    """Turns an integer input that is only cast to float into a float one."""
    readers = [node for node in _nodes(graph) if info.name in node.input]
    for node in readers:
        target = next((a.i for a in node.attribute if a.name == "to"), 0)
        if node.op_type != "Cast" or target != TensorProto.FLOAT:
            raise SourceError(
                f"the input {info.name!r} is {type_name(kind)} and the graph computes with it as "
                "that: the chip takes frames as U8 or FP16 and computes in FP16",
                where=f"{name}, node {node.name or node.output[0]!r} ({node.op_type})",
                remedy="export the model with a float input; U8 frames are converted on the chip",
            )
    for node in readers:
        node.op_type = "Identity"
        del node.attribute[:]
    info.type.tensor_type.elem_type = TensorProto.FLOAT


def _cast_output(graph: GraphProto, info: onnx.ValueInfoProto) -> None:
    """Casts an integer output to float under its own name."""
    inner = f"{info.name}__whole"
    for node in _nodes(graph):
        node.input[:] = [inner if n == info.name else n for n in node.input]
        node.output[:] = [inner if n == info.name else n for n in node.output]
    for tensor in graph.initializer:
        if tensor.name == info.name:
            tensor.name = inner
    kept = [v for v in graph.value_info if v.name != info.name]
    copies = [type(v).FromString(v.SerializeToString()) for v in kept]
    del graph.value_info[:]
    graph.value_info.extend(copies)
    graph.node.append(
        helper.make_node("Cast", [inner], [info.name], name=info.name, to=TensorProto.FLOAT)
    )
    info.type.tensor_type.elem_type = TensorProto.FLOAT


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
