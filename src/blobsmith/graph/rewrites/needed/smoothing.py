"""Reads the smoothing filters of a graph: convolutions and pools that do the same to all channels.

A filter may be written as one pass, or as one over rows and one over columns, each with its own
padding before it. Where it pads and its result is cropped ("valid"), less was padded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...editor import Array, Editor
from ...node import Node

_SUM_TO_ONE = 1e-4
_MODES = ("constant", "reflect", "edge")


@dataclass(frozen=True)
class Smoothing:
    """A filter with weights that add up to 1.

    Attributes:
        source: what is filtered, (1, channels, height, width).
        kernel: (height, width), the same for all channels.
        pads: top, left, bottom, right.
        mode: of the padding.
    """

    source: str
    kernel: Array
    pads: tuple[int, int, int, int]
    mode: str

    def same_as(self, other: Smoothing) -> bool:
        """Whether both do the same, to whatever source."""
        return (
            self.kernel.shape == other.kernel.shape
            and bool(np.allclose(self.kernel, other.kernel, rtol=1e-5, atol=1e-7))
            and self.pads == other.pads
            and (self.mode == other.mode or not any(self.pads))
        )


def _kernel(editor: Editor, node: Node) -> Array | None:
    """The (height, width) kernel of a filter that does the same to every channel by itself."""
    shape = editor.shape(node.inputs[0])
    if shape is None or len(shape) != 4 or shape[0] != 1:
        return None
    if any(s != 1 for s in (*node.attrs.get("strides", ()), *node.attrs.get("dilations", ()))):
        return None
    if node.attrs.get("auto_pad", "NOTSET") != "NOTSET" or node.attrs.get("ceil_mode", 0):
        return None
    if node.op == "AveragePool":
        if any(node.attrs.get("pads", ())) and not node.attrs.get("count_include_pad", 0):
            return None
        size = tuple(node.attrs["kernel_shape"])
        return np.full(size, 1 / math.prod(size), np.float32)
    weights = editor.constant(node.inputs[1])
    if weights is None or node.input(2):
        return None
    channels = shape[1]
    if weights.shape[:2] == (channels, channels) and channels > 1:
        apart = weights[~np.eye(channels, dtype=bool)]
        own = weights[np.arange(channels), np.arange(channels)]
        if apart.any():
            return None
    elif weights.shape[:2] == (channels, 1) and node.attrs.get("group", 1) == channels:
        own = weights[:, 0]
    else:
        return None
    first: Array = own[0]
    return first if bool(np.all(own == first)) else None


def smoothing_of(editor: Editor, value: str) -> Smoothing | None:
    """What filters a value was made by: one, or a pass over rows and one over columns."""
    kernels: list[Array] = []
    value, cropped = _uncropped(editor, value)
    pads = np.zeros(4, np.int64)
    mode = ""
    while (node := editor.producer(value)) is not None:
        if node.op in ("Conv", "AveragePool") and len(kernels) < 2:
            kernel = _kernel(editor, node)
            if kernel is None or _overlap(kernel, pads):
                break
            own = np.array(node.attrs.get("pads") or [0, 0, 0, 0])
            found = "constant" if own.any() else mode
            kernels.append(kernel)
        elif node.op == "Pad" and kernels:
            amounts = editor.ints(node.input(1)) or ()
            if len(amounts) != 8 or any(amounts[i] for i in (0, 1, 4, 5)) or min(amounts) < 0:
                break
            own, found = (
                np.array([amounts[i] for i in (2, 3, 6, 7)]),
                str(node.attrs.get("mode", "constant")),
            )
            if found == "constant" and node.input(2) and editor.scalar(node.input(2)) != 0:
                break
        else:
            break
        if (mode and own.any() and found != mode) or found not in (*_MODES, ""):
            return None
        pads, mode, value = pads + own, found or mode, node.inputs[0]
    kernel = _together(kernels)
    if kernel is None or abs(float(kernel.sum()) - 1) > _SUM_TO_ONE:
        return None
    if (pads < cropped).any():
        return None
    top, left, bottom, right = (int(p) for p in pads - cropped)
    return Smoothing(value, kernel, (top, left, bottom, right), mode)


def _uncropped(editor: Editor, value: str) -> tuple[str, Array]:
    """What a value was cut from, and rows and columns cut at the top, left, bottom and right."""
    cropped = np.zeros(4, np.int64)
    while (node := editor.producer(value)) is not None and node.op == "Slice":
        sizes = editor.shape(node.inputs[0])
        starts, ends, axes = (editor.ints(node.input(i)) for i in (1, 2, 3))
        steps = editor.ints(node.input(4)) if node.input(4) else (1,) * len(axes or ())
        if not (sizes and starts and ends and axes and steps) or any(s != 1 for s in steps):
            break
        if len(sizes) != 4 or any(axis % 4 < 2 for axis in axes):
            break
        for start, end, axis in zip(starts, ends, axes, strict=True):
            first, last, _ = slice(start, end).indices(sizes[axis])
            cropped[axis % 4 - 2] += first
            cropped[axis % 4] += sizes[axis] - last
        value = node.inputs[0]
    return value, cropped


def _overlap(kernel: Array, pads: Array) -> bool:
    """Whether a filter would run along an axis that a later step pads."""
    rows, columns = kernel.shape
    return bool((rows > 1 and (pads[0] or pads[2])) or (columns > 1 and (pads[1] or pads[3])))


def _together(kernels: list[Array]) -> Array | None:
    if not kernels:
        return None
    if len(kernels) == 1:
        return kernels[0] if kernels[0].size > 1 else None
    sizes = [k.shape for k in kernels]
    if not (sizes[0][0] == sizes[1][1] == 1 or sizes[0][1] == sizes[1][0] == 1):
        return None
    product: Array = np.outer(*(k.reshape(-1) for k in sorted(kernels, key=lambda k: k.shape[1])))
    return product
