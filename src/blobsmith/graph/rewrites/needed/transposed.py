"""Transposed convolutions in groups, which the compiler computes wrongly: as dense ones."""

from __future__ import annotations

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule

_LARGEST_KERNEL = 8_000_000


def find(editor: Editor, node: Node) -> Outcome:
    """A ConvTranspose with groups."""
    group = int(node.attrs.get("group", 1))
    if group == 1:
        return None
    weights = editor.constant(node.inputs[1])
    if weights is None:
        return Refused("its weights are computed")
    if weights.size * group > _LARGEST_KERNEL:
        return Refused("its kernel without groups would be too large")
    inner, outer = weights.shape[0] // group, weights.shape[1]
    dense = np.zeros((weights.shape[0], outer * group, *weights.shape[2:]), np.float32)
    for index in range(group):
        rows = slice(index * inner, (index + 1) * inner)
        dense[rows, index * outer : (index + 1) * outer] = weights[rows]

    def apply() -> None:
        b = Builder(editor, like=node)
        made = b.op("ConvTranspose", node.inputs[0], dense, *node.inputs[2:],
                    **{**node.attrs, "group": 1})  # fmt: skip
        b.commit([node], {node.output: made})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "grouped-transposed", "needed", "reorder",
        "a transposed convolution in groups, which the compiler computes wrongly, without them",
        ("ConvTranspose",), find, order=30,
    ),
)  # fmt: skip
