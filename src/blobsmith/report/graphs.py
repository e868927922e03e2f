"""From an ONNX graph to a drawing. Parses untrusted bytes with onnx: run it in a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from ..errors import ModelError
from ..graph import lines
from ..graph.stats import GraphStats
from .drawing import MOST_NODES, Drawing, DrawnNode, Operand, Wire, arrange, kind_of, related

_DTYPES = {
    TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.DOUBLE: "fp64",
    TensorProto.UINT8: "u8", TensorProto.INT8: "i8", TensorProto.INT32: "i32",
    TensorProto.INT64: "i64", TensorProto.BOOL: "bool", TensorProto.UINT16: "u16",
    TensorProto.INT16: "i16", TensorProto.UINT32: "u32", TensorProto.UINT64: "u64",
    TensorProto.BFLOAT16: "bf16", TensorProto.STRING: "string",
}  # fmt: skip
_SMALL = 8
_TEXT = 120


def draw_all(graphs: Mapping[str, bytes]) -> dict[str, Drawing]:
    """Drawings of one model's graphs along the road, in that order, related to each other.

    Args:
        graphs: serialised ModelProtos by title; weights may be left out (`graph.outline`).

    Raises:
        ModelError: one is no ONNX.
    """
    drawn = related([draw(data) for data in graphs.values()])
    return dict(zip(graphs, map(arrange, drawn), strict=True))


def draw(data: bytes) -> Drawing:
    """One graph, not yet laid out.

    Raises:
        ModelError: it is no ONNX.
    """
    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:
        raise ModelError("this is no ONNX model", remedy="give a whole .onnx file") from error
    proto = _with_shapes(proto)
    counts = GraphStats.of(proto).by_type
    graph = proto.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made = {node.output[0]: node for node in graph.node if node.op_type == "Constant"}
    shown = [node for node in graph.node if node.op_type != "Constant"]
    if len(shown) > MOST_NODES:
        note = f"{len(shown)} nodes are too many to draw; {MOST_NODES} at most are drawn"
        return Drawing((), (), counts, len(made), note=note)
    values = {**{name: _tensor(t) for name, t in constants.items()},
              **{name: _constant(node) for name, node in made.items()}}  # fmt: skip
    types = {info.name: _type(info) for info in (*graph.input, *graph.value_info, *graph.output)}
    known = {**{name: Operand(name, kind) for name, kind in types.items()}, **values}
    nodes = [
        DrawnNode("input", info.name, "input", info.name, outputs=(known[info.name],))
        for info in graph.input
        if info.name not in constants
    ]
    nodes += [_node(node, known) for node in shown]
    nodes += [
        DrawnNode("output", info.name, "output", f"output {info.name}", inputs=(known[info.name],))
        for info in graph.output
    ]
    hidden = len(made)
    note = f"{hidden} Constant nodes are not drawn; their values stand at their readers"
    return Drawing(tuple(nodes), _wires(nodes), counts, hidden, note=note if hidden else "")


def _with_shapes(proto: ModelProto) -> ModelProto:
    try:
        inferred: ModelProto = onnx.shape_inference.infer_shapes(proto)
    except Exception:  # shapes are a convenience here
        return proto
    return inferred


def _node(node: NodeProto, known: Mapping[str, Operand]) -> DrawnNode:
    own = node.domain in ("", "ai.onnx")
    line = lines.user_line(node)
    reads = [name for name in (*node.input, *_captured(node)) if name]
    return DrawnNode(
        op=node.op_type if own else f"{node.domain}.{node.op_type}",
        name=node.name,
        kind=kind_of(node.op_type if own else ""),
        key=next((name for name in node.output if name), ""),
        inputs=tuple(known.get(name, Operand(name)) for name in reads),
        outputs=tuple(known.get(name, Operand(name)) for name in node.output if name),
        attributes=tuple((a.name, _attribute(a)) for a in node.attribute),
        line=str(line) if line else "",
    )


def _captured(node: NodeProto) -> list[str]:
    """What the bodies of an If or Loop read from outside."""
    found: dict[str, None] = {}
    for attribute in node.attribute:
        if attribute.HasField("g"):
            inner = attribute.g
            own = {i.name for i in inner.input} | {t.name for t in inner.initializer}
            for each in inner.node:
                found.update({n: None for n in (*each.input, *_captured(each)) if n not in own})
                own.update(each.output)
    return [name for name in found if name not in node.input]


def _wires(nodes: list[DrawnNode]) -> tuple[Wire, ...]:
    makers = {out.name: index for index, node in enumerate(nodes) for out in node.outputs}
    readers: dict[str, dict[int, None]] = {}
    tensors: dict[str, Operand] = {}
    for index, node in enumerate(nodes):
        for item in node.inputs:
            if item.name in makers:
                readers.setdefault(item.name, {})[index] = None
                tensors[item.name] = item
    return tuple(
        Wire(tensors[name], makers[name], tuple(targets)) for name, targets in readers.items()
    )


def _type(info: onnx.ValueInfoProto) -> str:
    tensor = info.type.tensor_type
    dims = [str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?"
            for d in tensor.shape.dim]  # fmt: skip
    return _shaped(tensor.elem_type, dims, tensor.HasField("shape"))


def _shaped(dtype: int, dims: list[str], known: bool = True) -> str:
    name = _DTYPES.get(dtype, "")
    if not known:
        return name
    return f"{name} {'x'.join(dims) if dims else 'scalar'}".strip()


def _tensor(tensor: TensorProto, name: str = "") -> Operand:
    kind = _shaped(tensor.data_type, [str(size) for size in tensor.dims])
    count = 1
    for size in tensor.dims:
        count *= size
    value = ""
    if count <= _SMALL and tensor.data_location != TensorProto.EXTERNAL:
        try:
            array = numpy_helper.to_array(tensor)
            value = _clipped(", ".join(_number(item) for item in array.ravel().tolist()))
        except Exception:  # the value was left out, or the file is damaged
            value = ""
    return Operand(name or tensor.name, kind, value, constant=True)


def _constant(node: NodeProto) -> Operand:
    for attribute in node.attribute:
        if attribute.name == "value":
            return _tensor(attribute.t, node.output[0])
        return Operand(node.output[0], value=_attribute(attribute), constant=True)
    return Operand(node.output[0], constant=True)


def _attribute(attribute: AttributeProto) -> str:
    value: Any = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        found = _tensor(value)
        return f"{found.type} {found.value}".strip()
    if isinstance(value, GraphProto):
        return f"graph of {len(value.node)} nodes"
    if isinstance(value, bytes):
        return _clipped(value.decode("utf-8", "replace"))
    if isinstance(value, (int, float)):
        return _number(value)
    try:
        return _clipped(", ".join(_number(item) for item in value))
    except TypeError:
        return _clipped(str(value))


def _number(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _clipped(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
