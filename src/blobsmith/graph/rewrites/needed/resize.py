"""Resizes that the compiler lacks (cubic, antialiased, cropped): two constant matrices.

It also takes the quotient of the sizes for the scale that was asked for: 41 rows times 2.7 are 110,
which is a scale of 2.68, and every row would be taken from the wrong place without a word.

A resize treats rows and columns apart. The matrix of an axis is what the operator itself makes of
the unit vectors, so every mode and coordinate convention comes out as ONNX Runtime defines it.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from ...builder import Builder
from ...editor import Array, Editor
from ...node import Node, attribute
from ..check import session
from ..rule import Approx, Change, Outcome, Refused, Rule
from .separable import along

_CUBIC = Approx(0.25, of_scale=1.0)
_TAKEN_MODES = ("nearest", "linear")
_TAKEN_COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")


def find(editor: Editor, node: Node) -> Outcome:
    """A Resize of the last two axes in a form that the compiler refuses."""
    mode = str(node.attrs.get("mode", "nearest"))
    coordinates = str(node.attrs.get("coordinate_transformation_mode", "half_pixel"))
    if (
        mode in _TAKEN_MODES
        and (coordinates in _TAKEN_COORDINATES or coordinates == "tf_half_pixel_for_nn")
        and not node.attrs.get("antialias", 0)
        and not node.attrs.get("exclude_outside", 0)
        and editor.rank(node.inputs[0]) == 4
        and _scales_are_quotients(editor, node)
    ):
        return None
    shape, out = editor.shape(node.inputs[0]), editor.shape(node.output)
    if shape is None or out is None:
        return Refused("its shapes are not static")
    if any(i and editor.constant(i) is None for i in node.inputs[1:]):
        return Refused("its sizes are computed")
    changed = [i for i, (a, b) in enumerate(zip(shape, out, strict=True)) if a != b]
    if len(shape) > 4 or any(axis < len(shape) - 2 for axis in changed):
        return Refused("it resizes other axes than the last two of an image")

    def apply() -> None:
        b = Builder(editor, like=node)
        value = b.reshape(node.inputs[0], [1] * (4 - len(shape)) + list(shape))
        for axis in (len(shape) - 2, len(shape) - 1):
            if axis >= 0:
                matrix = _matrix(editor, node, axis, shape, out)
                value = along(b, value, axis + 4 - len(shape), matrix)
        b.commit([node], {node.output: b.reshape(value, out)})

    # a cubic's weights follow from coordinates that ONNX Runtime rounds one way or another
    return Change(apply, nodes=(node,), exactness=_CUBIC if mode == "cubic" else None)


def _scales_are_quotients(editor: Editor, node: Node) -> bool:
    """Whether the scales say what the sizes say."""
    scales = editor.constant(node.input(2)) if node.input(2) else None
    shape, out = editor.shape(node.inputs[0]), editor.shape(node.output)
    if scales is None or scales.size == 0 or shape is None or out is None:
        return True
    coordinates = str(node.attrs.get("coordinate_transformation_mode", "half_pixel"))
    if coordinates == "align_corners" or len(scales) != len(shape):
        return True
    quotients = np.array(out) / np.array(shape)
    return bool(np.all(np.abs(scales - quotients) * np.array(out) < 1e-3))


def _matrix(
    editor: Editor, node: Node, axis: int, shape: tuple[int, ...], out: tuple[int, ...]
) -> Array:
    """What the resize does along one axis, as a matrix [out, in]."""
    size, wanted = shape[axis], out[axis]
    scale, other = [1.0] * 4, np.array([0.0] * 4 + [1.0] * 4, np.float32)
    sizes = [1, 1, wanted, size]
    scales = editor.constant(node.input(2)) if node.input(2) else None
    regions = editor.constant(node.input(1)) if node.input(1) else None
    if regions is not None and regions.size == 2 * len(shape):
        other[2], other[6] = regions[axis], regions[axis + len(shape)]
    inputs, constants = ["x", "roi", "", "sizes"], {"roi": other, "sizes": np.array(sizes)}
    if scales is not None and scales.size == len(shape):
        scale[2] = float(scales[axis])
        inputs = ["x", "roi", "scales"]
        constants = {"roi": other, "scales": np.array(scale, np.float32)}
    resize = helper.make_node("Resize", inputs, ["y"])
    attrs = {k: v for k, v in node.attrs.items() if k not in ("axes", "keep_aspect_ratio_policy")}
    resize.attribute.extend(attribute(k, v) for k, v in attrs.items())
    graph = helper.make_graph(
        [resize],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, sizes)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = max(editor.opset, 13)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    unit = np.eye(size, dtype=np.float32)[None, None]
    matrix: Array = session(model).run(None, {"x": unit})[0][0, 0]
    return matrix


RULES = (
    Rule(
        "resize-by-matrices", "needed", "reorder",
        "the compiler resizes nearest and linear only: constant matrices",
        ("Resize",), find, order=30,
    ),
)  # fmt: skip
