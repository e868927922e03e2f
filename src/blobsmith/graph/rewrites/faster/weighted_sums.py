"""Sums over an image with constant weights, and inner products: products of matrices.

Moments, centres of mass and soft argmax multiply an image by constant maps and add everything up:
two stages and more for each map. As columns of one matrix they are one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...bounds import FP16_MAX, bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Approx, Change, Outcome, Refused, Rule

_MOST = 1 << 20
_ROUNDING = 0.01
"""FP16 units of the sum of absolute terms: sums of thousands are added up in another order."""


def _weighted(editor: Editor, node: Node) -> tuple[str, np.ndarray[Any, Any], int] | None:
    """(value, weights of its last dimensions, how many of them) for a sum, weighted or plain."""
    axes = node.attrs.get("axes")
    if axes is None and node.input(1):
        axes = editor.ints(node.input(1))
    product = editor.producer(node.inputs[0])
    shape = editor.shape(node.inputs[0])
    if node.op != "ReduceSum" or not axes or not shape or not editor.is_float(node.inputs[0]):
        return None
    rank = len(shape)
    last = sorted(a % rank for a in axes)
    tail = shape[-len(last) :]
    if last != list(range(rank - len(last), rank)) or not 1 < math.prod(tail) <= _MOST:
        return None
    for index in (0, 1) if product is not None and product.op == "Mul" else ():
        assert product is not None
        weights, value = editor.constant(product.inputs[index]), product.inputs[1 - index]
        if weights is None or editor.shape(value) != shape:
            continue
        lead = weights.shape[: max(weights.ndim - len(last), 0)]
        if math.prod(lead) == 1:
            own = weights.reshape(weights.shape[len(lead) :])
            return value, np.broadcast_to(own, tail).astype(np.float32), len(last)
    return node.inputs[0], np.ones(tail, np.float32), len(last)


def find(editor: Editor, node: Node) -> Outcome:
    """The last of the sums of one value over its last dimensions."""
    mine = _weighted(editor, node)
    if mine is None:
        return None
    value, _, count = mine
    sums: list[tuple[Node, np.ndarray[Any, Any]]] = []
    readers = editor.consumers(value)
    behind = [r for p in readers if p.op == "Mul" for r in editor.consumers(p.output)]
    for reader in dict.fromkeys([*readers, *behind]):
        other = _weighted(editor, reader)
        if other is not None and other[0] == value and other[2] == count:
            sums.append((reader, other[1]))
    if sums[-1][0] is not node:
        return None
    shape = editor.shape(value) or ()
    matrix = np.stack([weights.reshape(-1) for _, weights in sums])
    known = bounds(editor, value)
    largest = float(np.abs(matrix).sum(axis=1).max()) * known.magnitude
    if not largest <= FP16_MAX:
        return Refused("the sum may not fit in FP16")

    def apply() -> None:
        b = Builder(editor, like=node)
        flat = b.reshape(value, (math.prod(shape[:-count]), matrix.shape[1]))
        made = b.op("Gemm", matrix, flat, transB=1)  # with the constant second: 30 stages
        results = {}
        for row, (reader, _) in enumerate(sums):
            part = made if len(sums) == 1 else b.slice(made, 0, row, row + 1)
            results[reader.output] = b.reshape(part, b.shape(reader.output))
        b.commit([reader for reader, _ in sums], results)
        editor.drop_dead()

    return Change(
        apply,
        nodes=tuple(reader for reader, _ in sums),
        exactness=Approx(_ROUNDING, floor=max(largest, 2.0**-14)),
        by_cost=True,
        signature=node.output,
    )


def find_inner(editor: Editor, node: Node) -> Outcome:
    """The inner product of two vectors."""
    axes = node.attrs.get("axes")
    if axes is None and node.input(1):
        axes = editor.ints(node.input(1))
    product = editor.producer(node.inputs[0])
    shape = editor.shape(node.inputs[0])
    if product is None or product.op != "Mul" or not shape or not axes:
        return None
    length = math.prod(shape)
    if math.prod(shape[a] for a in axes) != length or not 1 < length <= _MOST:
        return None
    a, b_ = product.inputs
    if any(editor.shape(v) != shape or v in editor.constants for v in (a, b_)):
        return None
    known = [bounds(editor, v).magnitude for v in (a, b_)]
    largest = known[0] * known[1] * length
    if not largest <= FP16_MAX:
        return Refused("the sum may not fit in FP16")

    def apply() -> None:
        b = Builder(editor, like=node)
        made = b.op("MatMul", b.reshape(a, (1, length)), b.reshape(b_, (length, 1)))
        b.commit([product, node], {node.output: b.reshape(made, b.shape(node.output))})

    return Change(
        apply,
        nodes=(product, node),
        exactness=Approx(_ROUNDING, floor=max(largest, 2.0**-14)),
        by_cost=True,
        signature=node.output,
    )


RULES = (
    Rule(
        "weighted-sums", "faster", Approx(_ROUNDING),
        "sums with constant weights are one product of matrices",
        ("ReduceSum",), find, order=40,
    ),
    Rule(
        "inner-product", "faster", Approx(_ROUNDING),
        "an inner product of vectors is one stage as a product of matrices",
        ("ReduceSum",), find_inner, order=39,
    ),
)  # fmt: skip
