"""Pools that the compiler lacks, or computes otherwise than ONNX says.

Dilated ones become the maximum of shifted pictures. The engine divides by the whole window where
only the pixels that are there count: a constant map makes good for it. It also pads alike on all
sides: the compiler lets it pad more on one of them, a Pad before a mean included, and the mean is
wrong, so that such a mean becomes a convolution, and such a maximum gets a border that repeats.
"""

from __future__ import annotations

import math

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule
from .pads import amounts, fill_value, infinity

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
            value = b.max([b.slice(value, 2 + axis, s, s + span, strides[axis]) for s in starts])
        b.commit([node], {node.output: value})

    return Change(apply, nodes=(node,))


def find_partial_mean(editor: Editor, node: Node) -> Outcome:
    """A mean over the pixels that are there: padding does not count."""
    kernel = list(node.attrs.get("kernel_shape", []))
    shape, result = editor.shape(node.inputs[0]), editor.shape(node.output)
    pads = list(node.attrs.get("pads", []))
    if len(kernel) != 2 or shape is None or result is None:
        return None
    if not any(pads) or node.attrs.get("count_include_pad", 0):
        return None
    if node.attrs.get("auto_pad", "NOTSET") != "NOTSET" or node.attrs.get("ceil_mode", 0):
        return Refused("its padding follows from the sizes")
    strides = list(node.attrs.get("strides", [1, 1]))
    ratio = np.ones((), np.float32)
    for axis in (0, 1):
        starts = np.arange(result[2 + axis]) * strides[axis] - pads[axis]
        inside = np.minimum(starts + kernel[axis], shape[2 + axis]) - np.maximum(starts, 0)
        ratio = np.multiply.outer(ratio, (kernel[axis] / inside).astype(np.float32))

    def apply() -> None:
        b = Builder(editor, like=node)
        attrs = {**node.attrs, "count_include_pad": 1}
        made = b.op("AveragePool", node.inputs[0], **attrs)
        b.commit([node], {node.output: b.op("Mul", made, ratio[None, None])})

    return Change(apply, nodes=(node,))


def find_lopsided(editor: Editor, node: Node) -> Outcome:
    """A pool that is padded on some sides more than on others."""
    kernel = list(node.attrs.get("kernel_shape", []))
    shape, result = editor.shape(node.inputs[0]), editor.shape(node.output)
    if len(kernel) != 2 or shape is None or result is None or node.attrs.get("ceil_mode", 0):
        return None
    if len(node.outputs) > 1 and node.outputs[1]:
        return None
    pads = list(node.attrs.get("pads", [0] * 4))
    own = pads[:2] != pads[2:]
    if node.op == "MaxPool":
        dilated = any(d != 1 for d in node.attrs.get("dilations", []))
        if not own or dilated or any(p >= k for p, k in zip(pads, kernel * 2, strict=True)):
            return None
    elif not own and not _padded_lopsidedly(editor, node):
        return None
    elif any(pads) and not node.attrs.get("count_include_pad", 0):
        return None  # the map comes first

    def apply() -> None:
        b = Builder(editor, like=node)
        strides = node.attrs.get("strides", [1, 1])
        if node.op == "MaxPool":
            wide = b.pad(node.inputs[0], (0, 0, *pads[:2], 0, 0, *pads[2:]), mode="edge")
            made = b.op("MaxPool", wide, kernel_shape=kernel, strides=strides)
        else:
            box = np.full((shape[1], 1, *kernel), 1 / math.prod(kernel), np.float32)
            made = b.op("Conv", node.inputs[0], box, kernel_shape=kernel, strides=strides,
                        pads=pads, group=shape[1])  # fmt: skip
        b.commit([node], {node.output: made})

    return Change(apply, nodes=(node,))


def _padded_lopsidedly(editor: Editor, node: Node) -> bool:
    """Whether a Pad with zeros before it pads one side more than the other."""
    maker = editor.producer(node.inputs[0])
    if maker is None or maker.op != "Pad" or maker.attrs.get("mode", "constant") != "constant":
        return False
    found = amounts(editor, maker)
    return found is not None and found[0] != found[1] and fill_value(editor, maker) == 0


RULES = (
    Rule(
        "lopsided-pool", "needed", "reorder",
        "a pool padded more on one side, which the engine cannot", ("MaxPool", "AveragePool"),
        find_lopsided, order=32,
    ),
    Rule(
        "partial-mean", "needed", "reorder",
        "a mean over the pixels that are there, which the engine divides by the whole window",
        ("AveragePool",), find_partial_mean, order=31,
    ),
    Rule(
        "dilated-max-pool", "needed", "exact",
        "a max pool with gaps in its window, as the maximum of shifted pictures", ("MaxPool",),
        find_dilated, order=30,
    ),
)  # fmt: skip
