"""Filters and pools over volumes (N, C, D, H, W), which the compiler lacks: as ones over pictures.

A convolution over D, H and W is one over H and W in which every place along D is a channel: the
weights are spread over a larger, mostly empty kernel, which costs nothing on an engine that an
image leaves idle. A pool over a box is a pool over its front, then one along its depth.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...builder import Builder
from ...editor import Array, Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule

_LARGEST_KERNEL = 4_000_000  # elements, 8 MB in FP16


def _settings(node: Node) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations and pads of a node over a volume."""
    strides = list(node.attrs.get("strides", [1, 1, 1]))
    dilations = list(node.attrs.get("dilations", [1, 1, 1]))
    return strides, dilations, list(node.attrs.get("pads", [0] * 6))


def _spread(weights: Array, depth: int, out: int, step: int, dilation: int, front: int) -> Array:
    """Weights (O, C, D, H, W) as (O * out, C * depth, H, W)."""
    many, channels, taps = weights.shape[:3]
    wide = np.zeros((many, out, channels, depth, *weights.shape[3:]), np.float32)
    for place in range(out):
        for tap in range(taps):
            at = place * step + tap * dilation - front
            if 0 <= at < depth:
                wide[:, place, :, at] += weights[:, :, tap]
    return wide.reshape(many * out, channels * depth, *weights.shape[3:])


def find_conv(editor: Editor, node: Node) -> Outcome:
    """A Conv over a volume."""
    shape, result = editor.shape(node.inputs[0]), editor.shape(node.output)
    if shape is None or result is None or len(shape) != 5:
        return None
    weights = editor.constant(node.inputs[1])
    bias = editor.constant(node.input(2)) if node.input(2) else None
    if weights is None or (node.input(2) and bias is None):
        return Refused("its weights are computed")
    if node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return Refused("its padding follows from the sizes")
    batch, channels, depth, height, width = shape
    many, out = result[1], result[2]
    group = int(node.attrs.get("group", 1))
    strides, dilations, pads = _settings(node)
    if many * out * channels * depth // group * math.prod(weights.shape[3:]) > _LARGEST_KERNEL:
        return Refused(f"its kernel over {depth} places along the depth would be too large")
    wide = _spread(weights, depth, out, strides[0], dilations[0], pads[0])
    offset = None if bias is None else np.repeat(bias, out)

    def apply() -> None:
        b = Builder(editor, like=node)
        flat = b.reshape(node.inputs[0], (batch, channels * depth, height, width))
        made = b.op(
            "Conv", flat, wide, offset, group=group, kernel_shape=list(weights.shape[3:]),
            strides=strides[1:], dilations=dilations[1:], pads=[*pads[1:3], *pads[4:]],
        )  # fmt: skip
        b.commit([node], {node.output: b.reshape(made, result)})

    return Change(apply, nodes=(node,))


def find_pool(editor: Editor, node: Node) -> Outcome:
    """A MaxPool or AveragePool over a volume."""
    shape, result = editor.shape(node.inputs[0]), editor.shape(node.output)
    kernel = list(node.attrs.get("kernel_shape", []))
    if shape is None or result is None or len(kernel) != 3:
        return None
    if len(node.outputs) > 1 and node.outputs[1]:
        return Refused("its indices are asked for")
    if node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return Refused("its padding follows from the sizes")
    strides, dilations, pads = _settings(node)
    average = node.op == "AveragePool"
    rounds_up = bool(node.attrs.get("ceil_mode", 0))
    if average and (rounds_up or (any(pads) and not node.attrs.get("count_include_pad", 0))):
        return Refused("it counts the pixels that are there")
    batch, channels, depth, height, width = shape
    common = {"ceil_mode": int(rounds_up)}
    if average:
        common["count_include_pad"] = 1

    def attributes(axes: tuple[int, ...]) -> dict[str, Any]:
        """Settings of a pool over some of the axes; -1 is an axis of length 1."""
        chosen: dict[str, Any] = {
            "kernel_shape": [kernel[a] if a >= 0 else 1 for a in axes],
            "strides": [strides[a] if a >= 0 else 1 for a in axes],
            "pads": [pads[a + end] if a >= 0 else 0 for end in (0, 3) for a in axes],
        }
        if not average and any(d != 1 for d in dilations):
            chosen["dilations"] = [dilations[a] if a >= 0 else 1 for a in axes]
        return chosen

    def apply() -> None:
        b = Builder(editor, like=node)
        value = b.reshape(node.inputs[0], (batch, channels * depth, height, width))
        value = b.op(node.op, value, **attributes((1, 2)), **common)
        rows, columns = b.shape(value)[2:]
        value = b.reshape(value, (batch, channels, depth, rows * columns))
        value = b.op(node.op, value, **attributes((0, -1)), **common)
        b.commit([node], {node.output: b.reshape(value, result)})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "volume-filter", "needed", "reorder",
        "a convolution over a volume, as one over a picture with more channels", ("Conv",),
        find_conv, order=20,
    ),
    Rule(
        "volume-pool", "needed", "reorder",
        "a pool over a volume, as one over pictures and one along the depth",
        ("MaxPool", "AveragePool"), find_pool, order=20,
    ),
)  # fmt: skip
