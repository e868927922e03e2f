"""Pools that the compiler lacks: dilated ones, as the maximum of shifted pictures."""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule
from .pads import infinity

_MOST_TAPS = 32


def find_dilated(editor: Editor, node: Node) -> Outcome:
    """A MaxPool whose window has gaps: columns first, then rows."""
    kernel = list(node.attrs.get("kernel_shape", []))
    dilations = list(node.attrs.get("dilations", []))
    result = editor.shape(node.output)
    if len(kernel) != 2 or not any(d != 1 for d in dilations) or result is None:
        return None
    if len(node.outputs) > 1 and node.outputs[1]:
        return Refused("its indices are asked for")
    if node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return Refused("its padding follows from the sizes")
    if sum(kernel) > _MOST_TAPS:
        return Refused(f"its window has {kernel[0]} by {kernel[1]} places, and gaps")
    shape = editor.shape(node.inputs[0])
    if shape is None:
        return None
    strides = list(node.attrs.get("strides", [1, 1]))
    top, left, bottom, right = node.attrs.get("pads", [0, 0, 0, 0])
    begins, ends = [top, left], [bottom, right]
    for axis in (0, 1):  # a size that is rounded up looks beyond the padding
        needed = (result[2 + axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        ends[axis] = max(ends[axis], needed - shape[2 + axis] - begins[axis])

    def apply() -> None:
        b = Builder(editor, like=node)
        pads = (0, 0, *begins, 0, 0, *ends)
        value = b.pad(node.inputs[0], pads, fill=-infinity(editor, node.inputs[0]))
        for axis in (1, 0):
            span = (result[2 + axis] - 1) * strides[axis] + 1
            starts = [tap * dilations[axis] for tap in range(kernel[axis])]
            value = b.max(
                [b.slice(value, 2 + axis, s, s + span, strides[axis]) for s in starts]
            )
        b.commit([node], {node.output: value})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "dilated-max-pool", "needed", "exact",
        "a max pool with gaps in its window, as the maximum of shifted pictures", ("MaxPool",),
        find_dilated, order=30,
    ),
)  # fmt: skip
