"""A value times a power of two, with the factor moved to where it changes the digits that are lost.

The square of a small number is below FP16's normal range before anything can be done about it, so
a factor for the square has to go to the number itself.
"""

from __future__ import annotations

import math

import numpy as np

from ....errors import ModelError
from ...bounds import FP16_MAX, bounds
from ...builder import Builder
from ...node import Node

ROOM = 2.0**15
LEAST_FACTOR, LARGEST_FACTOR = 2.0**-14, 2.0**15
_DEEPEST = 5
_THROUGH = frozenset(
    [
        "Abs",
        "Relu",
        "Neg",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Slice",
        "Identity",
        "ReduceMean",
        "GlobalAveragePool",
        "AveragePool",
    ]
)


def times(b: Builder, value: str, factor: float) -> str:
    """The value times a factor that FP16 holds; the value itself for 1.

    Raises:
        ModelError: FP16 does not hold the factor. Two factors in a row are no way out: the compiler
            joins them, and sets the product to what FP16 has.
    """
    if not LEAST_FACTOR <= abs(factor) <= LARGEST_FACTOR:
        raise ModelError(f"FP16 does not hold the factor {factor:g}")
    return value if factor == 1 else b.op("Mul", value, factor)


def lifted(b: Builder, value: str, factor: float, depth: int = 0) -> str:
    """The value times a factor, as far inside as bounds and the operators allow.

    Args:
        b: where new nodes go.
        value: a float value.
        factor: a power of two.
    """
    if factor == 1:
        return value
    editor = b.editor
    array = editor.constant(value)
    if array is not None:
        return b.value((array * np.float32(factor)).astype(np.float32))
    node = editor.producer(value)
    if node is None or depth > _DEEPEST:
        return times(b, value, factor)
    inner = _inner(b, node, factor, depth)
    return inner or times(b, value, factor)


def _fits(b: Builder, value: str, factor: float) -> bool:
    return bounds(b.editor, value).magnitude * factor <= FP16_MAX


def _inner(b: Builder, node: Node, factor: float, depth: int) -> str:
    """The node rebuilt from lifted operands; "" if the factor stays outside."""
    deeper = depth + 1
    root = math.sqrt(factor)
    square = math.log2(root) == int(math.log2(root))
    if node.op in _THROUGH and _fits(b, node.inputs[0], factor):
        return b.op(node.op, lifted(b, node.inputs[0], factor, deeper), *node.inputs[1:],
                    **node.attrs)  # fmt: skip
    if node.op in ("Add", "Sub", "Max", "Min") and all(_fits(b, i, factor) for i in node.inputs):
        return b.op(node.op, *(lifted(b, i, factor, deeper) for i in node.inputs))
    if node.op == "Pow" and b.editor.scalar(node.inputs[1]) == 2 and square:
        return b.op("Pow", lifted(b, node.inputs[0], root, deeper), node.inputs[1])
    if node.op == "Where":
        yes, no = (lifted(b, i, factor, deeper) for i in node.inputs[1:])
        return b.op("Where", node.inputs[0], yes, no)
    if node.op == "Conv" and b.editor.uses(node.output) == 1:
        known = [a for i in node.inputs[1:] if (a := b.editor.constant(i)) is not None]
        if len(known) == len(node.inputs[1:]):
            scaled = [(a * np.float32(factor)).astype(np.float32) for a in known]
            return b.op("Conv", node.inputs[0], *scaled, **node.attrs)
    if node.op == "Div" and b.editor.scalar(node.inputs[1]) is not None:
        return b.op("Div", lifted(b, node.inputs[0], factor, deeper), node.inputs[1])
    if node.op == "Mul":
        left, right = node.inputs
        if left == right:
            if not square:
                return ""
            one = lifted(b, left, root, deeper)
            return b.op("Mul", one, one)
        for index, name in enumerate(node.inputs):
            if b.editor.constant(name) is not None:
                other = node.inputs[1 - index]
                return b.op("Mul", lifted(b, other, factor, deeper), name)
        if square:
            return b.op("Mul", lifted(b, left, root, deeper), lifted(b, right, root, deeper))
    return ""
