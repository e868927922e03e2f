"""A linear image map: every row of a value as one kernel over a few source images.

However an exporter spells it (Slices and Adds, depthwise Convs, grey as Mul and Add, a Gather of a
Reshape), a filter is `out[r, y, x] = bias[r] + sum kernel[r, i, u, v] * source[i, Y, X]` with
`Y = y * stride + start + u` and likewise X, where the sources are continued beyond their border by
a mode. The functions here compose such maps; each returns None where the result would not be one.

Kernels are float64, so that composing them costs nothing against FP32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

MAX_ROWS = 256
MAX_INPUTS = 64
MAX_ELEMENTS = 1_000_000


@dataclass(frozen=True)
class Axis:
    """How a map walks along one spatial axis of its sources.

    Attributes:
        base: size of the sources.
        size: size of the result.
        stride: source pixels from one result pixel to the next.
        start: source position of the kernel's first tap for result pixel 0; may be negative.
        mode: continuation beyond the border: "" (never needed), "constant" (zeros), "edge",
            "reflect" or "wrap".
    """

    base: int
    size: int
    stride: int = 1
    start: int = 0
    mode: str = ""

    def last(self, taps: int) -> int:
        """One past the last source position that is read."""
        return self.start + (self.size - 1) * self.stride + taps

    def outside(self, taps: int) -> bool:
        """Whether a kernel of so many taps reads beyond the border."""
        return self.start < 0 or self.last(taps) > self.base

    @property
    def identity(self) -> bool:
        """Whether result pixel y is source pixel y (for a kernel of one tap)."""
        return self.start == 0 and self.stride == 1 and self.size == self.base


@dataclass(frozen=True, eq=False)
class Form:
    """A linear map from sources to rows.

    Attributes:
        sources: names of values of shape (..., H, W), all of the same H and W.
        channels: how many rows (product of the leading dimensions) each source has.
        kernel: (rows, sum of channels, taps along H, taps along W).
        bias: (rows,).
        y, x: how it walks along H and W.
        lead: leading dimensions of the value; their product is the number of rows.
        flat: the value has its two spatial dimensions as one.
        levels: the sources are images as they come from the camera, in whole levels: dividing them
            by a power of two costs nothing.
    """

    sources: tuple[str, ...]
    channels: tuple[int, ...]
    kernel: Array
    bias: Array
    y: Axis
    x: Axis
    lead: tuple[int, ...]
    flat: bool = False
    levels: bool = False

    @property
    def rows(self) -> int:
        """Number of result rows (channels)."""
        return int(self.kernel.shape[0])

    @property
    def inputs(self) -> int:
        """Number of source rows (channels)."""
        return int(self.kernel.shape[1])

    @property
    def taps(self) -> tuple[int, int]:
        """Kernel size along H and W."""
        return int(self.kernel.shape[2]), int(self.kernel.shape[3])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value that the form describes."""
        spatial = (self.y.size * self.x.size,) if self.flat else (self.y.size, self.x.size)
        return (*self.lead, *spatial)

    def walking(self, along: str, axis: Axis) -> Form:
        """The form with another walk along "y" or "x"."""
        return replace(self, y=axis) if along == "y" else replace(self, x=axis)

    @property
    def pointwise(self) -> bool:
        """Whether each result pixel depends on the source pixel at its own place alone."""
        return self.taps == (1, 1) and self.y.identity and self.x.identity


def identity(name: str, shape: Sequence[int], *, levels: bool = False) -> Form | None:
    """The form of a value taken as it is; its last two dimensions are spatial."""
    if len(shape) < 2 or min(shape, default=0) < 1:
        return None
    rows = int(np.prod(shape[:-2], dtype=np.int64))
    if rows > MAX_INPUTS:
        return None
    h, w = shape[-2:]
    kernel = np.eye(rows)[:, :, None, None]
    lead, y, x = tuple(shape[:-2]), Axis(h, h), Axis(w, w)
    return Form((name,), (rows,), kernel, np.zeros(rows), y, x, lead, levels=levels)


def fits(kernel: Array) -> bool:
    """Whether a kernel is small enough to be worked with."""
    return kernel.shape[0] <= MAX_ROWS and kernel.size <= MAX_ELEMENTS


# ---------------------------------------------------------------------- rows


def pick(form: Form, index: npt.NDArray[Any], lead: Sequence[int]) -> Form | None:
    """Rows chosen (and repeated) by index; `lead` are the new leading dimensions."""
    if index.size > MAX_ROWS:
        return None
    return replace(form, kernel=form.kernel[index], bias=form.bias[index], lead=tuple(lead))


def mix(form: Form, matrix: Array, lead: Sequence[int], bias: Array | None = None) -> Form | None:
    """New rows as weighted sums of the old ones: `matrix` is (new rows, old rows)."""
    kernel = np.einsum("rs,sikl->rikl", matrix, form.kernel)
    shift = matrix @ form.bias + (0.0 if bias is None else bias)
    if not fits(kernel):
        return None
    return replace(form, kernel=kernel, bias=shift, lead=tuple(lead))


def affine(form: Form, scale: Array, shift: Array) -> Form:
    """Each row times its scale, plus its shift."""
    return replace(
        form, kernel=form.kernel * scale[:, None, None, None], bias=form.bias * scale + shift
    )


def broadcast(form: Form, lead: Sequence[int]) -> Form | None:
    """The rows repeated so that the leading dimensions become `lead` (numpy's rule)."""
    if tuple(lead) == form.lead:
        return form
    rows = np.arange(form.rows).reshape(form.lead)
    return pick(form, np.broadcast_to(rows, tuple(lead)).reshape(-1), lead)


# ---------------------------------------------------------------------- space


def pad(
    form: Form, along: str, before: int, after: int, mode: str, fill: float = 0.0
) -> Form | None:
    """The value padded along "y" or "x".

    Padding commutes with the map only along an axis that the map passes through unchanged.
    """
    axis: Axis = getattr(form, along)
    taps = form.taps[0 if along == "y" else 1]
    if before < 0 or after < 0:
        return None
    if before == after == 0:
        return form
    if mode == "constant" and not np.all(form.bias == fill):
        return None
    again = axis.mode == mode and mode in ("constant", "edge") and axis.stride == 1
    if taps != 1 or not (axis.identity or again):
        return None
    if mode in ("reflect", "wrap") and max(before, after) >= axis.base + (mode == "wrap"):
        return None
    moved = replace(
        axis, size=axis.size + before + after, start=axis.start - before * axis.stride, mode=mode
    )
    return form.walking(along, moved)


def crop(form: Form, along: str, start: int, size: int, step: int = 1) -> Form | None:
    """Every `step`-th pixel of the value along "y" or "x", beginning at `start`."""
    axis: Axis = getattr(form, along)
    if step < 1 or size < 1 or start < 0 or start + (size - 1) * step >= axis.size:
        return None
    moved = replace(
        axis, size=size, start=axis.start + start * axis.stride, stride=axis.stride * step
    )
    if not moved.outside(form.taps[0 if along == "y" else 1]):
        moved = replace(moved, mode="")
    return form.walking(along, moved)


def convolve(
    form: Form, weights: Array, strides: Sequence[int], dilations: Sequence[int]
) -> Form | None:
    """A convolution without padding or groups of the value, seen as (batch, channels, H, W).

    Args:
        form: a value with two leading dimensions.
        weights: (channels out, channels in, taps along H, taps along W).
        strides: along H and W.
        dilations: along H and W.
    """
    if len(form.lead) != 2 or form.flat or form.lead[1] != weights.shape[1]:
        return None
    batch, channels = form.lead
    out, _, kh, kw = weights.shape
    step_y, step_x = dilations[0] * form.y.stride, dilations[1] * form.x.stride
    th, tw = form.taps
    size = (batch * out, form.inputs, (kh - 1) * step_y + th, (kw - 1) * step_x + tw)
    if int(np.prod(size)) > MAX_ELEMENTS or size[0] > MAX_ROWS:
        return None
    old = form.kernel.reshape(batch, channels, form.inputs, th, tw)
    kernel = np.zeros((batch, out, *size[1:]))
    for u in range(kh):
        for v in range(kw):
            part = np.einsum("oc,bcikl->boikl", weights[:, :, u, v], old)
            kernel[:, :, :, u * step_y : u * step_y + th, v * step_x : v * step_x + tw] += part
    bias = np.einsum("oc,bc->bo", weights.sum(axis=(2, 3)), form.bias.reshape(batch, channels))
    y = _window(form.y, (kh - 1) * dilations[0] + 1, strides[0])
    x = _window(form.x, (kw - 1) * dilations[1] + 1, strides[1])
    if y is None or x is None:
        return None
    return replace(form, kernel=kernel.reshape(size), bias=bias.reshape(-1), y=y, x=x,
                   lead=(batch, out))  # fmt: skip


def _window(axis: Axis, taps: int, stride: int) -> Axis | None:
    size = (axis.size - taps) // stride + 1
    return replace(axis, size=size, stride=axis.stride * stride) if size > 0 else None


def trim(form: Form, tolerance: float = 0.0) -> Form:
    """The form without border taps and sources that carry no weight."""
    weight = np.abs(form.kernel)
    floor = tolerance * float(weight.max(initial=0.0))
    kernel, y, x = form.kernel, form.y, form.x
    rows = np.flatnonzero((weight > floor).any(axis=(0, 1, 3)))
    cols = np.flatnonzero((weight > floor).any(axis=(0, 1, 2)))
    if not rows.size or not cols.size:
        return form
    kernel = kernel[:, :, rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    y = replace(y, start=y.start + int(rows[0]))
    x = replace(x, start=x.start + int(cols[0]))
    y = y if y.outside(kernel.shape[2]) else replace(y, mode="")
    x = x if x.outside(kernel.shape[3]) else replace(x, mode="")
    kept, parts, at = [], [], 0
    for name, count in zip(form.sources, form.channels, strict=True):
        if weight[:, at : at + count].max(initial=0.0) > floor:
            kept.append((name, count))
            parts.append(kernel[:, at : at + count])
        at += count
    return replace(form, sources=tuple(n for n, _ in kept), channels=tuple(c for _, c in kept),
                   kernel=np.concatenate(parts, axis=1), y=y, x=x)  # fmt: skip
