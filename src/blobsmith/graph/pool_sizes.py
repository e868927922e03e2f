"""Pools whose sizes are rounded up, with explicit padding instead.

ONNX's shape inference and the compiler count one window too many where the last one would start
beyond the picture; ONNX Runtime and torch do not. With the padding written out nobody has to round.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

_POOLS = ("MaxPool", "AveragePool")


def explicit_pools(proto: ModelProto) -> ModelProto:
    """The model without `ceil_mode`; `proto` itself if there is none.

    Args:
        proto: a model with static input shapes, of opset 11 or later; not changed.
    """
    version = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 0)
    if version < 11 or not any(_rounds_up(node) for node in proto.graph.node):
        return proto
    out = ModelProto()
    out.CopyFrom(proto)
    del out.graph.value_info[:]  # what was inferred from the sizes rounded up
    refused: set[str] = set()
    while (index := _first(out, refused)) is not None:
        node = out.graph.node[index]
        shape = _shape(out, node.input[0])
        made = _explicit(out, node, shape) if shape is not None else None
        if made is None:
            refused.add(node.output[0])
            continue
        rest = list(out.graph.node[index + 1 :])
        del out.graph.node[index:]
        out.graph.node.extend([*made, *rest])
    for value in out.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(out)
    for value, known in zip(out.graph.output, inferred.graph.output, strict=True):
        value.type.CopyFrom(known.type)
    return out


def _rounds_up(node: NodeProto) -> bool:
    return node.op_type in _POOLS and bool(_attributes(node).get("ceil_mode", 0))


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _first(proto: ModelProto, refused: set[str]) -> int | None:
    for index, node in enumerate(proto.graph.node):
        if _rounds_up(node) and node.output[0] not in refused:
            return index
    return None


def _shape(proto: ModelProto, name: str) -> tuple[int, ...] | None:
    """The static shape of a value, given that all pools before it are explicit."""
    inferred = onnx.shape_inference.infer_shapes(proto)
    for value in (*inferred.graph.value_info, *inferred.graph.input):
        if value.name == name and value.type.tensor_type.HasField("shape"):
            dims = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
            return dims if all(dims) else None
    return None


def _explicit(proto: ModelProto, node: NodeProto, shape: tuple[int, ...]) -> list[NodeProto] | None:
    """The nodes in place of a pool; None where it must stay as it is."""
    attrs = _attributes(node)
    kernel = list(attrs["kernel_shape"])
    rank = len(kernel)
    if len(node.output) > 1 or attrs.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        return None
    strides = list(attrs.get("strides", [1] * rank))
    dilations = list(attrs.get("dilations", [1] * rank))
    pads = list(attrs.get("pads", [0] * 2 * rank))
    sizes, begins, ends = shape[-rank:], pads[:rank], pads[rank:]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    counts: list[int] = []
    after: list[int] = []
    for axis, size in enumerate(sizes):
        room = size + begins[axis] + ends[axis] - reach[axis]
        count = math.ceil(room / strides[axis]) + 1
        if (count - 1) * strides[axis] >= size + begins[axis]:
            count -= 1  # the last window would hold nothing but padding
        counts.append(count)
        after.append(max((count - 1) * strides[axis] + reach[axis] - size - begins[axis], 0))
    attrs = {k: v for k, v in attrs.items() if k not in ("ceil_mode", "pads", "auto_pad")}
    if node.op_type == "MaxPool":
        attrs["pads"] = [*begins, *after]
        made = helper.make_node("MaxPool", [node.input[0]], [node.output[0]], node.name, **attrs)
        made.doc_string = node.doc_string
        return [made]
    if any(d != 1 for d in dilations):
        return None
    included = bool(attrs.pop("count_include_pad", 0))
    ratio = np.ones((), np.float32)
    for axis, size in enumerate(sizes):
        starts = np.arange(counts[axis]) * strides[axis] - begins[axis]
        stops = np.minimum(starts + kernel[axis], size + (ends[axis] if included else 0))
        counted = stops - (starts if included else np.maximum(starts, 0))
        ratio = np.multiply.outer(ratio, (kernel[axis] / counted).astype(np.float32))
    return _mean(proto, node, attrs, [0, 0, *begins, 0, 0, *after], ratio)


def _mean(
    proto: ModelProto, node: NodeProto, attrs: dict[str, Any], pads: list[int], ratio: Any
) -> list[NodeProto]:
    """The padding, the mean over whole windows, and what whole windows are too large by."""
    name = node.output[0]
    value, made = node.input[0], []
    if any(pads):
        amount = numpy_helper.from_array(np.array(pads, np.int64), f"{name}_pads")
        proto.graph.initializer.append(amount)
        made.append(helper.make_node("Pad", [value, amount.name], [f"{name}_padded"]))
        value = f"{name}_padded"
    plain = bool(np.all(np.abs(ratio - 1) < 1e-6))
    mean = name if plain else f"{name}_mean"
    made.append(helper.make_node("AveragePool", [value], [mean], node.name, **attrs))
    if not plain:
        scale = numpy_helper.from_array(ratio[None, None].astype(np.float32), f"{name}_ratio")
        proto.graph.initializer.append(scale)
        made.append(helper.make_node("Mul", [mean, scale.name], [name]))
    for part in made:
        part.doc_string = node.doc_string
    return made
