"""Affine forms through convolutions and average pooling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..fp16 import Array
from .affine import MAX_KERNEL, Form, Key, Pair, Term, bordered, fits, scale_rows
from .linear import leading_pads
from .registry import Step

FormOf = Callable[[str], "Form | None"]


def conv(step: Step, form_of: FormOf) -> Form | None:
    """Conv with constant weights and bias on two spatial dimensions."""
    weights, form, out = step.constant(1), form_of(step.node.input(0)), step.out_shape()
    if weights is None or form is None or out is None or len(out) != 4 or len(form.leading) != 2:
        return None
    bias = step.constant(2) if step.has(2) else np.zeros(out[1])
    if bias is None:
        return None
    return _convolve(step, form, np.asarray(weights, np.float64), np.asarray(bias, np.float64),
                     int(step.attr("group", 1)), out)  # fmt: skip


def _convolve(
    step: Step, form: Form, weights: Array, bias: Array, groups: int, out: tuple[int, ...]
) -> Form | None:
    kernel = weights.shape[2:]
    shape = (*form.leading, *form.spatial)
    begin = leading_pads(step, shape, kernel)
    strides = step.attr("strides") or [1, 1]
    dilations = step.attr("dilations") or [1, 1]
    source: Form | None = form
    reach = [(out[2 + i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 for i in (0, 1)]
    if any(begin) or any(reach[i] > shape[2 + i] for i in (0, 1)):
        source = bordered(form, "zero")
    if source is None:
        return None
    result = convolve(
        source, weights, form.leading[1], groups, (strides[0], strides[1]),
        (dilations[0], dilations[1]), (begin[0], begin[1]), out[:2], (out[2], out[3]),
    )  # fmt: skip
    if result is None:
        return None
    return scale_rows(result, np.ones(result.rows), np.tile(bias, out[0]))


def average_pool(step: Step, form_of: FormOf) -> Form | None:
    """AveragePool without padding."""
    form, out = form_of(step.node.input(0)), step.out_shape()
    padded = any(step.attr("pads") or []) or step.attr("auto_pad", "NOTSET").startswith("SAME")
    if form is None or out is None or len(out) != 4 or padded or step.attr("ceil_mode", 0):
        return None
    kernel = step.attr("kernel_shape")
    channels = form.leading[1]
    weights = np.full((channels, 1, *kernel), 1.0 / float(np.prod(kernel)))
    return _convolve(step, form, weights, np.zeros(channels), channels, out)


def convolve(
    form: Form, weights: Array, channels: int, groups: int, step: Pair, dilation: Pair, pads: Pair,
    leading: tuple[int, ...], spatial: Pair,
) -> Form | None:  # fmt: skip
    """A convolution (no bias) of the continued tensor.

    Args:
        form: the input, continued beyond its border where `pads` are not 0.
        weights: (out channels, in channels / groups, height, width).
        channels: input channels; the rows are batch times channels.
        groups: ONNX's group.
        step, dilation: strides and dilations.
        pads: top and left padding.
        leading: leading dimensions of the result.
        spatial: height and width of the result.
    """
    batch = form.rows // channels
    out_channels, per_group, kh, kw = weights.shape
    matrices = np.zeros((kh, kw, batch * out_channels, form.rows))
    if matrices.size > MAX_KERNEL * 4:
        return None
    for n in range(batch):
        for g in range(groups):
            outs = slice(g * out_channels // groups, (g + 1) * out_channels // groups)
            rows = slice(n * out_channels + outs.start, n * out_channels + outs.stop)
            first = n * channels + g * per_group
            block = weights[outs].transpose(2, 3, 0, 1)
            matrices[:, :, rows, first : first + per_group] = block
    terms: dict[Key, Term] = {}
    for key, term in form.terms.items():
        sy, sx = key.stride
        if sy < 0 or sx < 0:
            return None
        _, roots, h, w = term.kernel.shape
        dy, dx = dilation[0] * sy, dilation[1] * sx
        height, width = h + dy * (kh - 1), w + dx * (kw - 1)
        rows_out = matrices.shape[2]
        if not fits(rows_out, roots, height, width):
            return None
        kernel = np.zeros((rows_out, roots, height, width))
        flat = term.kernel.reshape(form.rows, -1)
        for ty in range(kh):
            for tx in range(kw):
                part = (matrices[ty, tx] @ flat).reshape(rows_out, roots, h, w)
                kernel[:, :, ty * dy : ty * dy + h, tx * dx : tx * dx + w] += part
        origin = (term.origin[0] - pads[0] * sy, term.origin[1] - pads[1] * sx)
        new = replace(key, stride=(sy * step[0], sx * step[1]))
        terms[new] = Term(kernel, origin, term.low, term.high, term.size)
    total = matrices.sum(axis=(0, 1))
    weight = np.abs(matrices).sum(axis=(0, 1))
    return Form(leading, spatial, terms, total @ form.bias, weight @ form.error, form.depth + 1)
