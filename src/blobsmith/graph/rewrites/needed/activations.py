"""Activations and normalisations that the compiler lacks, by the formulas of the ONNX standard."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Approx, Change, Outcome, Rule


def _hard_sigmoid(b: Builder, node: Node) -> str:
    alpha, beta = node.attrs.get("alpha", 0.2), node.attrs.get("beta", 0.5)
    return b.clip(b.op("Add", b.op("Mul", node.inputs[0], alpha), beta), 0.0, 1.0)


def _selu(b: Builder, node: Node) -> str:
    alpha = node.attrs.get("alpha", 1.6732632)
    gamma = node.attrs.get("gamma", 1.0507010)
    return b.op("Mul", b.op("Elu", node.inputs[0], alpha=alpha), gamma)


def _prelu(b: Builder, node: Node) -> str:
    x, slope = node.inputs
    return b.op("Add", b.op("Relu", x), b.op("Mul", b.op("Min", x, 0.0), slope))


def _mean_variance(b: Builder, node: Node) -> str:
    axes = list(node.attrs.get("axes", [0, 2, 3]))
    centred = b.op("Sub", node.inputs[0], b.reduce("ReduceMean", node.inputs[0], axes))
    variance = b.reduce("ReduceMean", b.op("Mul", centred, centred), axes)
    # FP16 has nothing as small as ONNX's 1e-9: the root is kept above its smallest normal number
    return b.op("Div", centred, b.op("Max", b.op("Sqrt", variance), 2.0**-14))


def _reduce_product(b: Builder, node: Node) -> str:
    x = node.inputs[0]
    rank = b.rank(x)
    axes = sorted(a % rank for a in node.attrs.get("axes", range(rank)))
    for axis in axes:
        while (length := b.shape(x)[axis]) > 1:
            half = length // 2
            low, high = b.slice(x, axis, 0, half), b.slice(x, axis, half, 2 * half)
            product = b.op("Mul", low, high)
            if length % 2:
                product = b.concat([product, b.slice(x, axis, 2 * half, length)], axis)
            x = product
    if not node.attrs.get("keepdims", 1):
        x = b.reshape(x, [d for i, d in enumerate(b.shape(x)) if i not in axes])
    return x


def _mish(b: Builder, node: Node) -> str:
    return b.op("Mul", node.inputs[0], b.op("Tanh", b.op("Softplus", node.inputs[0])))


_FORMULAS: dict[str, Callable[[Builder, Node], str]] = {
    "HardSigmoid": _hard_sigmoid,
    "Selu": _selu,
    "PRelu": _prelu,
    "MeanVarianceNormalization": _mean_variance,
    "ReduceProd": _reduce_product,
    "Mish": _mish,
}


def find(editor: Editor, node: Node) -> Outcome:
    """One of the operators above, in floats."""
    if not editor.is_float(node.inputs[0]) or editor.shape(node.inputs[0]) is None:
        return None
    if node.op == "PRelu" and editor.constant(node.inputs[1]) is not None:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        b.commit([node], {node.output: _FORMULAS[node.op](b, node)})

    return Change(apply, nodes=(node,))


def find_cumsum(editor: Editor, node: Node) -> Outcome:
    """CumSum along one axis: a product with a triangular matrix of ones."""
    shape, axes = editor.shape(node.inputs[0]), editor.ints(node.inputs[1])
    if shape is None or axes is None or not editor.is_float(node.inputs[0]):
        return None
    axis = axes[0] % len(shape)
    length = shape[axis]
    ones = np.tril(
        np.ones((length, length), np.float32), -1 if node.attrs.get("exclusive", 0) else 0
    )
    matrix = ones.T if node.attrs.get("reverse", 0) else ones

    def apply() -> None:
        b = Builder(editor, like=node)
        flat = [1, math.prod(shape[:axis]), length, math.prod(shape[axis + 1 :])]
        product = b.op("MatMul", matrix, b.reshape(node.inputs[0], flat))
        b.commit([node], {node.output: b.reshape(product, shape)})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "formulas", "needed", Approx(0.5, floor=2.0**-8),
        "operators that the compiler lacks, by their formulas", tuple(_FORMULAS), find, order=30,
    ),
    Rule(
        "cumsum", "needed", "reorder", "CumSum is a product with a triangular matrix",
        ("CumSum",), find_cumsum, order=30,
    ),
)  # fmt: skip
