"""Sums over an image with constant weights: a product of matrices.

Moments, centres of mass and soft argmax multiply an image by constant maps and add everything up:
two stages and more for each map. As columns of one matrix they are one.
"""

from __future__ import annotations

import math

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule

_MOST = 1 << 20


def _weighted(editor: Editor, node: Node) -> tuple[str, np.ndarray, int] | None:  # type: ignore[type-arg]
    """(value, weights of its last dimensions, how many of them) for ReduceSum(value * weights)."""
    axes = node.attrs.get("axes")
    if axes is None and node.input(1):
        axes = editor.ints(node.input(1))
    product = editor.producer(node.inputs[0])
    shape = editor.shape(node.inputs[0])
    if node.op != "ReduceSum" or product is None or product.op != "Mul" or not axes or not shape:
        return None
    rank = len(shape)
    last = sorted(a % rank for a in axes)
    if last != list(range(rank - len(last), rank)) or len(last) == rank and rank > 1:
        return None
    for index in (0, 1):
        weights, value = editor.constant(product.inputs[index]), product.inputs[1 - index]
        if weights is None or editor.shape(value) != shape:
            continue
        lead = weights.shape[: max(weights.ndim - len(last), 0)]
        if math.prod(lead) != 1 or math.prod(shape[-len(last) :]) > _MOST:
            continue
        tail = weights.reshape(weights.shape[len(lead) :])
        return value, np.broadcast_to(tail, shape[-len(last) :]).astype(np.float32), len(last)
    return None


def find(editor: Editor, node: Node) -> Outcome:
    """The last of the weighted sums of one value."""
    mine = _weighted(editor, node)
    if mine is None:
        return None
    value, _, count = mine
    sums: list[tuple[Node, np.ndarray]] = []  # type: ignore[type-arg]
    for product in editor.consumers(value):
        for reader in editor.consumers(product.output):
            other = _weighted(editor, reader)
            if other is not None and other[0] == value and other[2] == count:
                sums.append((reader, other[1]))
    if not sums or sums[-1][0] is not node:
        return None
    shape = editor.shape(value) or ()
    matrix = np.stack([weights.reshape(-1) for _, weights in sums], axis=1)

    def apply() -> None:
        b = Builder(editor, like=node)
        rows = math.prod(shape[:-count])
        flat = b.reshape(value, (rows, matrix.shape[0]))
        made = b.op("MatMul", flat, matrix)
        results = {}
        for column, (reader, _) in enumerate(sums):
            part = made if len(sums) == 1 else b.slice(made, 1, column, column + 1)
            results[reader.output] = b.reshape(part, b.shape(reader.output))
        b.commit([reader for reader, _ in sums], results)
        editor.drop_dead()

    return Change(
        apply, nodes=tuple(reader for reader, _ in sums), by_cost=True, signature=node.output
    )


RULE = Rule(
    name="weighted-sums",
    set="faster",
    exactness="reorder",
    why="sums with constant weights are one product of matrices",
    roots=("ReduceSum",),
    find=find,
    order=40,
)
