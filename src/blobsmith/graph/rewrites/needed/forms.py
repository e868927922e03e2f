"""Operators that the compiler has, in the forms that it compiles well or at all.

Found by trial (docs/compiler.md): a reduction over a short innermost axis becomes hundreds of
pooling stages, some of them malformed, or never ends compiling; a MatMul with a constant on the
right becomes one fully connected layer a row, is refused for a single column, and for more than
four dimensions.
"""

from __future__ import annotations

import math

import numpy as np

from ...builder import Builder
from ...editor import Array, Editor
from ...node import Node
from ..patterns import axes_of
from ..rule import Change, Outcome, Rule

_SHORT = 16
_MOST_OUTER = 8
_FEW_ROWS = 1000
_SHALLOW = 8
_MANY_PRODUCTS = 256


def find_reduction(editor: Editor, node: Node) -> Outcome:
    """A reduction over adjacent axes, together shorter than 16, behind more than eight others."""
    shape, axes = editor.shape(node.inputs[0]), axes_of(editor, node)
    out = editor.shape(node.output)
    if shape is None or axes is None or out is None or not editor.is_float(node.inputs[0]):
        return None
    first, last, rank = axes[0], axes[-1], len(shape)
    if axes != list(range(first, last + 1)):
        return None
    outer, length = math.prod(shape[:first]), math.prod(shape[first : last + 1])
    inner = math.prod(shape[last + 1 :])
    if not 1 < length < _SHORT or outer <= _MOST_OUTER:
        return None
    if rank == 4 and outer * inner < _FEW_ROWS:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        split = b.reshape(node.inputs[0], [outer, length, inner])
        upright = b.reshape(b.transpose(split, [1, 0, 2]), [1, length, outer, inner])
        b.commit([node], {node.output: b.reshape(b.reduce(node.op, upright, [1]), out)})

    return Change(apply, nodes=(node,))


def find_matmul(editor: Editor, node: Node) -> Outcome:
    """A MatMul with a constant on the right and several rows, or of more than four dimensions."""
    left, right = (editor.shape(i) for i in node.inputs)
    out = editor.shape(node.output)
    if left is None or right is None or out is None or not editor.is_float(node.inputs[0]):
        return None
    matrix = editor.constant(node.inputs[1])
    if matrix is not None and math.prod(right[:-2]) == 1 and len(right) >= 2 and len(left) >= 2:
        rows = math.prod(left[:-1])
        if rows == 1 or editor.constant(node.inputs[0]) is not None:
            return None
        flat_matrix = matrix.reshape(right[-2:])

        def by_constant() -> None:
            b = Builder(editor, like=node)
            flat = b.reshape(node.inputs[0], [rows, left[-1]])
            b.commit([node], {node.output: b.reshape(times(b, flat, flat_matrix), out)})

        if len(right) == 4 and right[1] > 1:
            return None
        return Change(by_constant, nodes=(node,))
    depth, batch_size = left[-1], math.prod(out[:-2])
    if len(left) >= 2 and len(right) >= 2 and depth <= _SHALLOW and batch_size > _MANY_PRODUCTS:
        return Change(lambda: _summed(editor, node, depth), nodes=(node,))
    if max(len(left), len(right)) <= 4:
        return None

    def flattened() -> None:
        b = Builder(editor, like=node)
        batch = out[:-2]
        operands = []
        for name, shape in zip(node.inputs, (left, right), strict=True):
            full = [*batch, *shape[-2:]]
            if math.prod(shape[:-2]) == 1:
                operands.append(b.reshape(name, [1, *shape[-2:]]))
                continue
            value = b.reshape(name, [1] * (len(full) - len(shape)) + list(shape))
            if list(b.shape(value)) != full:
                value = b.op("Expand", value, b.ints(full))
            operands.append(b.reshape(value, [math.prod(batch), *shape[-2:]]))
        b.commit([node], {node.output: b.reshape(b.op("MatMul", *operands), out)})

    return Change(flattened, nodes=(node,)) if len(left) >= 2 and len(right) >= 2 else None


def _summed(editor: Editor, node: Node, depth: int) -> None:
    """Thousands of tiny products: one product of planes for each summand."""
    b = Builder(editor, like=node)
    left, right = node.inputs
    ranks = b.rank(left), b.rank(right)
    terms = [
        b.op(
            "Mul",
            b.slice(left, ranks[0] - 1, k, k + 1),
            b.slice(right, ranks[1] - 2, k, k + 1),
        )
        for k in range(depth)
    ]
    b.commit([node], {node.output: b.sum(terms)})


def times(b: Builder, rows: str, matrix: Array) -> str:
    """A matrix of rows times a constant matrix, as one GEMM stage.

    Two or more equal copies of the constant keep the compiler from making a fully connected layer
    of it, for which it runs one stage a row.

    Args:
        rows: value of shape [R, K].
        matrix: constant of shape [K, N].

    Returns:
        value of shape [R, N].
    """
    count, depth = b.shape(rows)
    columns = matrix.shape[1]
    if columns == 1:
        matrix = np.concatenate([matrix, matrix], axis=1)
    batch = next((n for n in (2, 3, 5, 7) if count % n == 0), 1)
    if batch == 1:
        product = b.transpose(
            b.op("MatMul", np.ascontiguousarray(matrix.T), b.transpose(rows, [1, 0])), [1, 0]
        )
    else:
        stack = np.broadcast_to(matrix, (1, batch, *matrix.shape)).astype(np.float32)
        flat = b.reshape(rows, [1, batch, count // batch, depth])
        product = b.reshape(b.op("MatMul", flat, stack), [count, matrix.shape[1]])
    if columns == 1:
        product = b.slice(product, 1, 0, 1)
    return product


RULES = (
    Rule(
        "reduce-upright", "needed", "reorder",
        "a reduction over a short last axis, over the first instead",
        ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2",
         "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"),
        find_reduction, order=45,
    ),
    Rule(
        "matmul-form", "needed", "reorder", "a MatMul that is one stage instead of one a row",
        ("MatMul",), find_matmul, order=45,
    ),
)  # fmt: skip
