"""Scatters whose places are data: every place is compared with every index.

One update for each position (one-hot codes, soft assignment to bins) is a mask over the bins. Many
updates that are added (histograms) are masks summed by a product with ones, which counts exactly
where an average times the number of elements would not.
"""

from __future__ import annotations

import math

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule

_LARGEST_MASK = 1 << 25


def find(editor: Editor, node: Node) -> Outcome:
    """ScatterElements with computed indices."""
    if editor.constant(node.inputs[1]) is not None:
        return None
    data, index = editor.shape(node.inputs[0]), editor.shape(node.inputs[1])
    if data is None or index is None or not editor.is_float(node.inputs[0]):
        return Refused("its shapes are not static, or it scatters integers")
    axis = int(node.attrs.get("axis", 0)) % len(data)
    reduction = str(node.attrs.get("reduction", "none"))
    if any(a != b for i, (a, b) in enumerate(zip(data, index, strict=True)) if i != axis):
        return Refused("it scatters into a part of the other axes")
    length, updates = data[axis], index[axis]
    if reduction not in ("none", "add"):
        return Refused(f"its reduction is {reduction}")
    if updates > 1 and reduction == "none":
        return Refused("several updates may fall on one place")
    if math.prod(index) * length > _LARGEST_MASK:
        return Refused("every update would be compared with every place: too many")
    shape = [1] * len(data)
    shape[axis] = length
    places = np.arange(length, dtype=np.float32)

    def single() -> None:
        b = Builder(editor, like=node)
        chosen = b.op("Equal", b.cast(node.inputs[1], np.float32), places.reshape(shape))
        if reduction == "none":
            result = b.op("Where", chosen, node.inputs[2], node.inputs[0])
        else:
            added = b.op("Mul", b.cast(chosen, np.float32), node.inputs[2])
            result = _plus(b, node.inputs[0], added)
        b.commit([node], {node.output: result})

    def counted() -> None:
        b = Builder(editor, like=node)
        order = [i for i in range(len(data)) if i != axis] + [axis]
        rows = math.prod(data[i] for i in order[:-1])
        flat = b.reshape(b.transpose(b.cast(node.inputs[1], np.float32), order), [rows, updates, 1])
        mask = b.cast(b.op("Equal", flat, places.reshape(1, 1, length)), np.float32)
        weight = editor.scalar(node.inputs[2])
        if weight is not None:
            weights = editor.add_constant(np.full((1, 1, updates), weight, np.float32), "ones")
        else:
            weights = b.reshape(b.transpose(node.inputs[2], order), [rows, 1, updates])
        sums = b.reshape(b.op("MatMul", weights, mask), [data[i] for i in order])
        back = [order.index(i) for i in range(len(data))]
        result = _plus(b, node.inputs[0], b.transpose(sums, back))
        b.commit([node], {node.output: result})

    return Change(single if updates == 1 else counted, nodes=(node,))


def _plus(b: Builder, data: str, added: str) -> str:
    return added if b.editor.scalar(data) == 0 else b.op("Add", data, added)


RULES = (
    Rule(
        "scatter-computed", "needed", "reorder",
        "a scatter to computed places: every place compared with every index",
        ("ScatterElements",), find, order=31,
    ),
)  # fmt: skip
