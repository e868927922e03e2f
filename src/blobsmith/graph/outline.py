"""A graph without its weights: what is needed to draw it, small enough to carry along."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

KEPT = 64
"""Constants of up to this many elements keep their values: axes, shapes, small kernels."""


def outline(proto: onnx.ModelProto) -> bytes:
    """The serialised graph with the values of large constants left out; names and shapes stay.

    Nodes keep their attributes, doc strings and metadata, so that lines and stacks can be read.
    The result cannot be run.
    """
    out = type(proto)()
    out.ir_version = proto.ir_version
    out.opset_import.extend(proto.opset_import)
    graph = proto.graph
    out.graph.name = graph.name
    out.graph.input.extend(graph.input)
    out.graph.output.extend(graph.output)
    out.graph.value_info.extend(graph.value_info)
    for node in graph.node:
        _copy(node, out.graph.node.add())
    for tensor in graph.initializer:
        _light(tensor, out.graph.initializer.add())
    return out.SerializeToString()  # type: ignore[no-any-return]


def _copy(node: onnx.NodeProto, to: onnx.NodeProto) -> None:
    heavy = [a for a in node.attribute if a.HasField("t") and _elements(a.t) > KEPT]
    if not heavy:
        to.CopyFrom(node)
        return
    for field, value in node.ListFields():
        if field.name == "attribute":
            continue
        if isinstance(value, (str, bytes)):
            setattr(to, field.name, value)
        else:
            getattr(to, field.name).extend(value)
    for attribute in node.attribute:
        made = to.attribute.add()
        if attribute not in heavy:
            made.CopyFrom(attribute)
            continue
        made.name, made.type = attribute.name, attribute.type
        _light(attribute.t, made.t)


def _light(tensor: onnx.TensorProto, to: onnx.TensorProto) -> None:
    if _elements(tensor) <= KEPT:
        to.CopyFrom(tensor)
        return
    to.name, to.data_type = tensor.name, tensor.data_type
    to.dims.extend(tensor.dims)


def _elements(tensor: onnx.TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count
