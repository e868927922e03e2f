"""Resize of opset 18 and above in opset 15: as Resize where it can say it, else as two MatMuls.

Anti-aliasing and symmetric half pixels do not exist below opset 18. Resize is linear in its input
and works axis by axis, so its matrix for one axis is what it does to the unit vectors: ONNX
Runtime is asked for that, and the result is a MatMul with a constant from the left or right.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto, helper

from . import equivalence
from .opset_scope import Array, Scope, attribute, without

_NEW = ("antialias", "axes", "keep_aspect_ratio_policy")


def resize(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Nodes of opset 15 that do the same as a Resize of opset 18 or above.

    Raises:
        ValueError: it cannot be said; the text says why.
    """
    shape, result = scope.shape(node.input[0]), scope.shape(node.output[0])
    if shape is None:
        raise ValueError("the shape of its input is not known")
    rank = len(shape)
    axes = [a % rank for a in attribute(node, "axes") or range(rank)]
    scales = _given(node, scope, 2)
    sizes = _given(node, scope, 3)
    mode = attribute(node, "coordinate_transformation_mode", "half_pixel")
    if mode == "tf_crop_and_resize" and attribute(node, "axes"):
        raise ValueError("it crops along named axes")
    if attribute(node, "antialias", 0) or mode == "half_pixel_symmetric":
        return _as_matrices(node, scope, shape, axes, scales, sizes)
    out = without(node, *_NEW)
    while len(out.input) < 4:
        out.input.append("")
    if scales is not None:
        full = np.ones(rank, np.float32)
        full[axes] = scales
        out.input[2] = scope.constant(full, "scales")
        del out.input[3:]
    elif sizes is not None:
        policy = attribute(node, "keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            if result is None:
                raise ValueError("the shape of its output is not known")
            sizes = np.array(result)[axes]
        full_sizes = np.array(shape, np.int64)
        full_sizes[axes] = sizes
        out.input[3] = scope.constant(full_sizes, "sizes")
    return [out]


def _given(node: NodeProto, scope: Scope, index: int) -> Array | None:
    if len(node.input) <= index or not node.input[index]:
        return None
    value = scope.value(node.input[index])
    if value is None:
        raise ValueError("its sizes are computed, not constant")
    return value if value.size else None


def _as_matrices(
    node: NodeProto,
    scope: Scope,
    shape: tuple[int, ...],
    axes: list[int],
    scales: Array | None,
    sizes: Array | None,
) -> list[NodeProto]:
    rank, value = len(shape), node.input[0]
    nodes: list[NodeProto] = []
    if attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        raise ValueError("it keeps the aspect ratio with anti-aliasing")
    for place, axis in enumerate(axes):
        scale = None if scales is None else float(scales[place])
        size = None if sizes is None else int(sizes[place])
        if scale == 1.0 or size == shape[axis]:
            continue
        if axis < rank - 2:
            raise ValueError("it resizes another axis than the last two")
        matrix = _matrix(node, shape[axis], scale, size)
        target = scope.fresh(node.output[0])
        if axis == rank - 1:
            inputs = [value, scope.constant(matrix, "resize")]
        else:
            inputs = [scope.constant(matrix.T, "resize"), value]
        nodes.append(helper.make_node("MatMul", inputs, [target]))
        value = target
    return [*nodes, helper.make_node("Identity", [value], [node.output[0]])]


def _matrix(node: NodeProto, length: int, scale: float | None, size: int | None) -> Array:
    """The (length, new length) matrix of one axis, from what Resize does to unit vectors."""
    single = without(node, "axes", inputs=1)
    single.input[0] = "x"
    single.output[0] = "y"
    single.input.append("")
    if scale is not None:
        single.input.append("scales")
        extra = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1.0, 1.0, 1.0, scale])
    else:
        single.input.extend(["", "sizes"])
        extra = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 1, length, size])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, length, length])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([single], "axis", [x], [y], [extra])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    unit = np.eye(length, dtype=np.float32)[None, None]
    answer = equivalence.run(model, {"x": unit})["y"]
    return np.asarray(answer[0, 0], np.float32)
