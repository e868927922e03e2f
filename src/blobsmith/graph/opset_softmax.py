"""Softmax below opset 13, written out; see `opset.explicit_softmax`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import NodeProto, helper

from ..errors import OpsetError
from .opset_scope import Scope, attribute

KINDS = ("Softmax", "LogSoftmax", "Hardmax")


def softmax(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Nodes that say what the node means: flatten at its axis, softmax, and back."""
    shape = scope.shape(node.input[0])
    if shape is None:
        raise OpsetError(
            f"{node.op_type} below opset 13 needs a static shape",
            where=f"node {node.name or node.output[0]!r}",
            remedy="give the inputs static shapes: --input NAME=1x3x300x300",
        )
    axis = attribute(node, "axis", 1) % max(len(shape), 1)
    if axis == len(shape) - 1 or all(size == 1 for size in shape[axis + 1 :]):
        return [_with_axis(node, axis)]
    flat = scope.constant(np.array([_product(shape[:axis]), _product(shape[axis:])], np.int64))
    back = scope.constant(np.array(shape, np.int64))
    rows, soft = scope.fresh(node.output[0]), scope.fresh(node.output[0])
    inner = helper.make_node(node.op_type, [rows], [soft], name=node.name, axis=1)
    inner.doc_string = node.doc_string
    return [
        helper.make_node("Reshape", [node.input[0], flat], [rows]),
        inner,
        helper.make_node("Reshape", [soft, back], [node.output[0]]),
    ]


def _with_axis(node: NodeProto, axis: int) -> NodeProto:
    out = NodeProto.FromString(node.SerializeToString())
    del out.attribute[:]
    out.attribute.append(helper.make_attribute("axis", axis))
    return out


def _product(sizes: Iterable[int]) -> int:
    return int(np.prod(list(sizes), dtype=np.int64))
