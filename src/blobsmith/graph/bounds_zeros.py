"""The sign of a zero: 1 / -0 is -inf, and the minus comes from a Neg, a Ceil, a product."""

from __future__ import annotations

import numpy as np

from .editor import Editor

_ALWAYS_PLUS = frozenset(
    ["Abs", "Exp", "Sigmoid", "Softmax", "Softplus", "ReduceL1", "ReduceL2", "ReduceSumSquare"]
)
_PLUS_OF_PLUS = frozenset(
    ["Sqrt", "ReduceSum", "ReduceMean", "ReduceMax", "AveragePool", "MaxPool", "GlobalAveragePool",
     "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather", "Expand", "Pad",
     "Relu"]
)  # fmt: skip


def plus_zero(editor: Editor, value: str, depth: int = 8) -> bool:
    """Whether a zero that the value holds is +0: squares, magnitudes, and sums with one of them."""
    if value in editor.whole_inputs:
        return True
    array = editor.constant(value)
    if array is not None:
        return not bool(np.any((array == 0) & np.signbit(array)))
    node = editor.producer(value)
    if node is None or depth == 0:
        return False
    if node.op in _ALWAYS_PLUS:
        return True
    if node.op == "Mul" and node.inputs[0] == node.inputs[1]:
        return True
    if node.op == "Pow":
        exponent = editor.scalar(node.inputs[1])
        return exponent is not None and exponent > 0 and exponent % 2 == 0
    if node.op in _PLUS_OF_PLUS:
        return plus_zero(editor, node.inputs[0], depth - 1)
    if node.op in ("Add", "Sum"):
        return any(plus_zero(editor, i, depth - 1) for i in node.inputs)
    if node.op in ("Max", "Concat", "Clip"):
        return all(plus_zero(editor, i, depth - 1) for i in node.inputs[:2] if i)
    if node.op in ("Mul", "Div"):
        factor = editor.scalar(node.inputs[1])
        if factor is None and node.op == "Mul":
            factor = editor.scalar(node.inputs[0])
            return bool(factor and factor > 0) and plus_zero(editor, node.inputs[1], depth - 1)
        return bool(factor and factor > 0) and plus_zero(editor, node.inputs[0], depth - 1)
    return False
