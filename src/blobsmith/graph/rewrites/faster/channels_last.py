"""Colour matrices on images whose channels were moved behind: a convolution of 1 x 1.

`tensordot`, `linear` and `@` work on the last dimension, so a colour matrix is written with the
channels moved there and back. The product of matrices becomes a convolution of the image as it was;
the Transposes then cancel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..linear import emit
from ..linear.steps import VIEWS
from ..rule import Change, Outcome, Refused, Rule

_LAST = [0, 2, 3, 1]


def find(editor: Editor, node: Node) -> Outcome:
    """A product of an image with its channels last and a constant matrix."""
    matrix = _matrix(editor, node)
    shape = editor.shape(node.inputs[0])
    if matrix is None or not shape or shape[-1] != matrix.shape[0]:
        return None
    moved = editor.producer(node.inputs[0])
    while moved is not None and moved.op in VIEWS:
        moved = editor.producer(moved.inputs[0])
    if moved is None or moved.op != "Transpose" or moved.attrs.get("perm") != _LAST:
        return None
    image = editor.shape(moved.inputs[0])
    if image is None or image[1] != shape[-1] or math.prod(shape) != math.prod(image):
        return None
    kernel = matrix.T[:, :, None, None]
    if emit.representable(kernel.astype(np.float64)) is None:
        return Refused("its weights would be subnormal in FP16")

    def apply() -> None:
        b = Builder(editor, like=node)
        mixed = b.op("Conv", moved.inputs[0], np.ascontiguousarray(kernel), kernel_shape=[1, 1])
        last = b.transpose(mixed, _LAST)
        b.commit([node], {node.output: b.reshape(last, b.shape(node.output))})

    return Change(apply, nodes=(node,))


def _matrix(editor: Editor, node: Node) -> np.ndarray[Any, Any] | None:
    """The constant right operand as a matrix (channels in, channels out)."""
    right = editor.constant(node.inputs[1])
    if right is None or right.ndim < 2:
        return None
    flat = right.reshape(-1, *right.shape[-2:])
    if not np.all(flat == flat[0]):
        return None
    if node.op == "Gemm":
        plain = all(node.attrs.get(k, 1.0) == 1.0 for k in ("alpha", "beta"))
        if not plain or node.attrs.get("transA", 0) or node.input(2):
            return None
        return np.asarray(flat[0].T if node.attrs.get("transB", 0) else flat[0])
    return np.asarray(flat[0])


RULE = Rule(
    name="channels-last-matrix",
    set="faster",
    exactness="reorder",
    why="a matrix times channels is a convolution of 1 x 1, without moving the channels",
    roots=("MatMul", "Gemm"),
    find=find,
    order=14,
)
