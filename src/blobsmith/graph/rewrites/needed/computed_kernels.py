"""Convolutions with computed weights, which the compiler lacks: as a product of matrices.

Every window of the picture becomes a column, by a convolution with ones in single places; the
weights are the rows that it is multiplied with.
"""

from __future__ import annotations

import math

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule

_MOST_TAPS = 512


def find(editor: Editor, node: Node) -> Outcome:
    """A Conv whose weights are computed or an input."""
    if editor.constant(node.inputs[1]) is not None:
        return None
    shape, out = editor.shape(node.inputs[0]), editor.shape(node.output)
    weights = editor.shape(node.inputs[1])
    if shape is None or out is None or weights is None or len(shape) != 4:
        return Refused("its shapes are not static")
    if shape[0] != 1:
        return Refused("it filters several pictures with weights that are computed")
    group = int(node.attrs.get("group", 1))
    if group not in (1, shape[1]) or (group > 1 and out[1] != group):
        return Refused("its weights are computed, and it has groups")
    taps = math.prod(weights[2:])
    if taps * shape[1] > _MOST_TAPS:
        return Refused(f"its computed kernel has {taps * shape[1]} weights, at most 512 can be")
    ones = np.zeros((shape[1] * taps, shape[1], *weights[2:]), np.float32)
    for channel in range(shape[1]):
        for tap in range(taps):
            row, column = divmod(tap, weights[3])
            ones[channel * taps + tap, channel, row, column] = 1
    places = math.prod(out[2:])

    def apply() -> None:
        b = Builder(editor, like=node)
        attrs = {k: v for k, v in node.attrs.items() if k != "group"}
        columns = b.op("Conv", node.inputs[0], ones, **attrs)
        if group == 1:
            rows = b.reshape(node.inputs[1], [weights[0], shape[1] * taps])
            made = b.op("MatMul", rows, b.reshape(columns, [shape[1] * taps, places]))
        else:
            rows = b.reshape(node.inputs[1], [group, 1, taps])
            made = b.op("MatMul", rows, b.reshape(columns, [group, taps, places]))
        made = b.reshape(made, out)
        if node.input(2):
            made = b.op("Add", made, b.reshape(node.inputs[2], [1, out[1], 1, 1]))
        b.commit([node], {node.output: made})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "computed-kernel", "needed", "reorder",
        "a convolution with computed weights, as a product of matrices", ("Conv",), find, order=30,
    ),
)  # fmt: skip
