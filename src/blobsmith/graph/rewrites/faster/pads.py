"""A separable filter pads before each of its passes: one Pad before the first does for both.

A pass along one axis does not look along the other, so what continues the picture there may come
before it as well as after it. The pass then works on a few rows more, and a stage is saved.
"""

from __future__ import annotations

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import REPEATING, pad_fill
from ..rule import Change, Outcome, Rule


def _begins_and_ends(editor: Editor, node: Node) -> tuple[int, ...] | None:
    """The amounts of a Pad, all begins and then all ends; None if it crops, or is computed."""
    pads = editor.ints(node.input(1)) if node.input(1) else None
    rank = editor.rank(node.inputs[0])
    if pads is None or rank is None or len(pads) != 2 * rank or node.input(3) or min(pads) < 0:
        return None
    return pads


def _looks_along(editor: Editor, node: Node, axis: int) -> bool:
    """Whether a convolution reads more than one pixel along an axis, or leaves pixels out there."""
    weights = editor.constant(node.inputs[1])
    if (
        weights is None
        or axis < 2
        or node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    ):
        return True
    along = axis - 2
    count = weights.ndim - 2
    pads = node.attrs.get("pads", [0] * (2 * count))
    stride = node.attrs.get("strides", [1] * count)[along]
    return weights.shape[axis] != 1 or stride != 1 or bool(pads[along] or pads[along + count])


def _zeros_stay(editor: Editor, first: Node, conv: Node, second: Node) -> bool:
    """Whether both Pads continue the picture alike, and the pass makes zeros of added zeros."""
    modes = {node.attrs.get("mode", "constant") for node in (first, second)}
    if len(modes) != 1:
        return False
    if modes <= REPEATING:
        return True
    bias = editor.constant(conv.input(2)) if conv.input(2) else np.zeros(1)
    fills = (pad_fill(editor, first), pad_fill(editor, second))
    return fills == (0.0, 0.0) and bias is not None and not np.any(bias)


def find(editor: Editor, node: Node) -> Outcome:
    """The second Pad."""
    conv = editor.producer(node.inputs[0])
    first = editor.producer(conv.inputs[0]) if conv is not None and conv.op == "Conv" else None
    if conv is None or first is None or first.op != "Pad":
        return None
    if editor.uses(first.output) != 1 or editor.uses(conv.output) != 1:
        return None
    early, late = _begins_and_ends(editor, first), _begins_and_ends(editor, node)
    if early is None or late is None or not _zeros_stay(editor, first, conv, node):
        return None
    rank = len(late) // 2
    for axis in range(rank):
        if (late[axis] or late[axis + rank]) and (
            early[axis] or early[axis + rank] or _looks_along(editor, conv, axis)
        ):
            return None

    def apply() -> None:
        b = Builder(editor, like=first)
        both = [a + z for a, z in zip(early, late, strict=True)]
        padded = b.pad(first.inputs[0], both, mode=node.attrs.get("mode", "constant"))
        b.like = conv
        made = b.op("Conv", padded, *(name or None for name in conv.inputs[1:]), **conv.attrs)
        b.commit([first, conv, node], {node.output: made})

    return Change(apply, nodes=(first, conv, node), by_cost=True, signature=node.output)


RULE = Rule(
    "joined-pads", "faster", "reorder",
    "what continues the picture for both passes of a separable filter is one stage",
    ("Pad",), find, order=60,
)  # fmt: skip
