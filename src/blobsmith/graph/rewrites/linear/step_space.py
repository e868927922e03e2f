"""Steps that pad and filter along H and W."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...editor import Editor
from ...node import Node
from . import form as fm
from .form import Form
from .step import Get, Step


def _pad(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form, pads = get(node.inputs[0]), editor.ints(node.input(1)) if node.input(1) else None
    if form is None or pads is None or form.flat:
        return None
    mode = node.attrs.get("mode", "constant")
    fill = editor.scalar(node.input(2)) if node.input(2) else 0.0
    rank = len(form.shape)
    begins, ends = pads[:rank], pads[rank:]
    if any(begins[:-2]) or any(ends[:-2]) or fill is None:
        return None
    return padded(form, (begins[-2], ends[-2]), (begins[-1], ends[-1]), mode, fill)


def padded(
    form: Form, rows: tuple[int, int], columns: tuple[int, int], mode: str, fill: float = 0.0
) -> Form | None:
    """Padding along both axes; negative amounts crop."""
    found: Form | None = form
    for along, (before, after) in (("y", rows), ("x", columns)):
        if found is None:
            return None
        cut_before, cut_after = max(-before, 0), max(-after, 0)
        if cut_before or cut_after:
            size = getattr(found, along).size - cut_before - cut_after
            found = fm.crop(found, along, cut_before, size)
        found = found and fm.pad(found, along, max(before, 0), max(after, 0), mode, fill)
    return found


def _window_pads(node: Node, kernel: tuple[int, ...]) -> tuple[int, ...] | None:
    if node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    return tuple(node.attrs.get("pads", (0, 0, 0, 0))) if len(kernel) == 2 else None


def _conv(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form, weights = get(node.inputs[0]), editor.constant(node.inputs[1])
    bias = editor.constant(node.input(2)) if node.input(2) else None
    if form is None or weights is None or weights.ndim != 4 or (node.input(2) and bias is None):
        return None
    pads = _window_pads(node, weights.shape[2:])
    dense = grouped(weights.astype(np.float64), node.attrs.get("group", 1))
    wide = pads and padded(form, (pads[0], pads[2]), (pads[1], pads[3]), "constant")
    if not wide or dense is None:
        return None
    strides, dilations = (node.attrs.get(k, (1, 1)) for k in ("strides", "dilations"))
    made = fm.convolve(wide, dense, strides, dilations)
    if made is None or bias is None:
        return made
    shift = np.broadcast_to(bias.astype(np.float64), made.lead).reshape(-1)
    return replace(made, bias=made.bias + shift)


def grouped(weights: fm.Array, groups: int) -> fm.Array | None:
    """Weights of a grouped convolution as those of a dense one; None if that would be large."""
    if groups == 1:
        return weights
    out, inner = weights.shape[:2]
    if out * inner * groups * weights[0, 0].size > fm.MAX_ELEMENTS:
        return None
    dense = np.zeros((out, inner * groups, *weights.shape[2:]))
    each = out // groups
    for group in range(groups):
        rows = slice(group * each, (group + 1) * each)
        dense[rows, group * inner : (group + 1) * inner] = weights[rows]
    return dense


def _average(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form, kernel = get(node.inputs[0]), tuple(node.attrs["kernel_shape"])
    pads = _window_pads(node, kernel)
    if form is None or pads is None or node.attrs.get("ceil_mode", 0) or len(form.lead) != 2:
        return None
    if any(pads) and not node.attrs.get("count_include_pad", 0):
        return None
    wide = padded(form, (pads[0], pads[2]), (pads[1], pads[3]), "constant")
    count = form.lead[1]
    if wide is None or count > fm.MAX_INPUTS:
        return None
    weights = np.eye(count)[:, :, None, None] * np.full(kernel, 1.0 / (kernel[0] * kernel[1]))
    return fm.convolve(wide, weights, node.attrs.get("strides", (1, 1)), (1, 1))


def _resize(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    """Shrinking by a whole factor: the mean of the two middle pixels, or the middle one."""
    form, shape = get(node.inputs[0]), editor.shape(output)
    if form is None or shape is None or form.flat or len(form.lead) != 2 or node.op != "Resize":
        return None
    mode = node.attrs.get("mode", "nearest")
    centre = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    factors = [a // b for a, b in zip(form.shape[-2:], shape[-2:], strict=True)]
    if any(
        f * b != a or f < 1 for f, a, b in zip(factors, form.shape[-2:], shape[-2:], strict=True)
    ):
        return None
    if mode != "linear" or centre not in ("half_pixel", "pytorch_half_pixel"):
        return None
    if centre == "pytorch_half_pixel" and 1 in shape[-2:]:
        return None  # it takes the first pixel then
    if factors == [1, 1] or form.lead[1] > fm.MAX_INPUTS or node.attrs.get("antialias", 0):
        return None
    lines = [np.zeros(f) for f in factors]
    for line, factor in zip(lines, factors, strict=True):
        line[(factor - 1) // 2] += 0.5
        line[factor // 2] += 0.5
    weights = np.eye(form.lead[1])[:, :, None, None] * np.outer(lines[0], lines[1])
    return fm.convolve(form, weights, factors, (1, 1))


STEPS: dict[str, Step] = {
    "Pad": _pad,
    "Conv": _conv,
    "AveragePool": _average,
    "Resize": _resize,
}
