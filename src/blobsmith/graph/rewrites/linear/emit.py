"""Writes a linear form as nodes: one convolution, a separable pair, or a scale and a shift."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....errors import ModelError
from ...builder import Builder
from . import engine
from .factors import Factors
from .form import Array, Axis, Form

SMALLEST = 2.0**-14
"""The smallest weight that survives: below it the compiler rounds to 0 or up (FP16 subnormals)."""
_ROUNDING = 2.0**-12
_MOST_SCALING = 12


@dataclass(frozen=True)
class Weights:
    """Kernel values that survive FP16.

    Attributes:
        kernel: multiplied by 2^exponent.
        exponent: at least 0; the source has to be multiplied by 2^-exponent.
    """

    kernel: Array
    exponent: int


def representable(kernel: Array, *, scaled: bool = True, levels: bool = False) -> Weights | None:
    """A kernel that FP16 holds as well as it holds any weights, or None.

    The compiler turns weights below 2^-15 into 0 and those below 2^-14 into 2^-14. That is borne
    where it changes a row by no more than rounding its weights does. Otherwise the kernel is
    multiplied by a power of two and the source divided by it, as long as the kernel's sums stay
    below 1: the source then gets no smaller than the scale that was folded into the kernel.

    Args:
        kernel: weights, rows first.
        scaled: whether a power of two may be taken out.
        levels: the sources are images in whole levels, and can bear any.
    """
    sizes = np.abs(kernel).reshape(len(kernel), -1)
    weight = sizes.sum(axis=1)
    top = float(weight.max(initial=0.0))
    most = int(np.floor(-np.log2(top))) if scaled and 0.0 < top < 1.0 else 0
    most = _MOST_SCALING if scaled and levels else most
    for exponent in range(min(most, _MOST_SCALING) + 1):
        large = sizes * 2.0**exponent
        snapped = np.where(large < SMALLEST, np.where(large < SMALLEST / 2, 0.0, SMALLEST), large)
        if np.all(np.abs(snapped - large).sum(axis=1) <= _ROUNDING * weight * 2.0**exponent):
            return Weights(kernel * 2.0**exponent, exponent)
    return None


# ---------------------------------------------------------------------- the source


def source(b: Builder, form: Form) -> str:
    """The form's sources as one value (1, channels, H, W)."""
    spatial = (form.y.base, form.x.base)
    shapes = [b.shape(name) for name in form.sources]
    alike = all(len(s) > 2 and s[-2:] == spatial and set(s[:-3]) <= {1} for s in shapes)
    if alike and len({len(s) for s in shapes}) == 1:
        # the inputs' own shape: what makes them can then write in place
        return b.reshape(b.concat(form.sources, len(shapes[0]) - 3), (1, form.inputs, *spatial))
    parts = [
        b.reshape(n, (1, c, *spatial)) for n, c in zip(form.sources, form.channels, strict=True)
    ]
    return b.concat(parts, 1)


def _inside(b: Builder, value: str, form: Form) -> str:
    """The source without the pixels that the kernel never reads."""
    for index, axis in enumerate((form.y, form.x)):
        start, stop = max(axis.start, 0), min(axis.last(form.taps[index]), axis.base)
        if start or stop < axis.base:
            value = b.slice(value, 2 + index, start, stop)
    return value


def _missing(axis: Axis, taps: int) -> tuple[int, int]:
    """How many pixels the kernel reads before and behind the source."""
    return max(-axis.start, 0), max(axis.last(taps) - axis.base, 0)


def _extended(b: Builder, value: str, form: Form) -> str:
    """The source, continued beyond its border so that the kernel fits without padding."""
    needs: list[tuple[str, tuple[int, int]]] = []
    for index, axis in enumerate((form.y, form.x)):
        before, after = _missing(axis, form.taps[index])
        if axis.mode == "wrap" and (before or after):
            value = _wrapped(b, value, 2 + index, before, after)
            before = after = 0
        needs.append((axis.mode, (before, after)))
    for mode in dict.fromkeys(mode for mode, amounts in needs if any(amounts)):
        (top, bottom), (left, right) = (a if used == mode else (0, 0) for used, a in needs)
        value = b.pad(value, (0, 0, top, left, 0, 0, bottom, right), mode=mode)
    return value


def _wrapped(b: Builder, value: str, axis: int, before: int, after: int) -> str:
    size = b.shape(value)[axis]
    parts = [b.slice(value, axis, size - before, size)] if before else []
    parts.append(value)
    if after:
        parts.append(b.slice(value, axis, 0, after))
    return b.concat(parts, axis)


def _padded_by_engine(form: Form) -> tuple[Form, tuple[int, int]] | None:
    """The form with a kernel grown so that the engine pads zeros itself, and the padding."""
    pads = []
    for along, index in (("y", 2), ("x", 3)):
        axis: Axis = getattr(form, along)
        taps = form.kernel.shape[index]
        if not axis.outside(taps):
            pads.append(0)
            continue
        reach = max(-axis.start, axis.start + taps - 1)
        plain = axis.mode == "constant" and axis.stride == 1 and axis.size == axis.base
        if not plain or 2 * reach + 1 > engine.MAX_KERNEL:
            return None
        widths = [(0, 0)] * 4
        widths[index] = (axis.start + reach, reach - axis.start - taps + 1)
        kernel = np.pad(form.kernel, widths)
        form = replace(form, kernel=kernel).walking(along, replace(axis, start=-reach))
        pads.append(reach)
    return form, (pads[0], pads[1])


# ---------------------------------------------------------------------- convolutions


def convolution(b: Builder, form: Form, value: str | None = None) -> str:
    """One dense convolution; returns a value (1, rows, h, w).

    Args:
        b: where to write.
        form: what to compute.
        value: a value (1, channels, H, W) to read instead of the form's sources.

    Raises:
        ModelError: the weights cannot be kept out of FP16's subnormal range.
    """
    weights = _weights(form)
    form = replace(form, kernel=weights.kernel)
    value = _inside(b, source(b, form) if value is None else value, form)
    by_engine = _padded_by_engine(form)
    if by_engine is not None and not weights.exponent:
        return _conv(b, value, by_engine[0], by_engine[1])
    if weights.exponent:  # a Pad stands between, or the compiler would fold it into the weights
        if not any(a.outside(t) for a, t in zip((form.y, form.x), form.taps, strict=True)):
            raise ModelError(_SUBNORMAL)
        value = b.op("Mul", value, 2.0**-weights.exponent)
    return _conv(b, _extended(b, value, form), form, (0, 0))


_SUBNORMAL = "fused weights would be subnormal in FP16"


def _weights(form: Form) -> Weights:
    found = representable(form.kernel, levels=form.levels)
    if found is None:
        raise ModelError(_SUBNORMAL)
    return found


def _conv(b: Builder, value: str, form: Form, pads: tuple[int, int]) -> str:
    bias = form.bias.astype(np.float32) if np.any(form.bias) else None
    return b.op(
        "Conv", value, form.kernel.astype(np.float32), bias,
        kernel_shape=list(form.taps), strides=[form.y.stride, form.x.stride], pads=[*pads, *pads],
    )  # fmt: skip


def separable(b: Builder, form: Form, factors: Factors) -> str:
    """Two one-dimensional convolutions; returns a value (1, rows, h, w)."""
    middle = factors.first.shape[0]
    y, x = form.y, form.x
    rows = replace(form, kernel=factors.first, bias=np.zeros(middle), y=Axis(y.base, y.base))
    both = [a.mode for a, t in zip((y, x), form.taps, strict=True) if a.outside(t)]
    value = source(b, form)
    if "constant" not in both and len(both) == 2 and y.mode == x.mode:
        # one Pad for both passes
        value = _extended(b, _inside(b, value, form), form)
        h, w = b.shape(value)[2:]
        rows = replace(rows, y=Axis(h, h), x=Axis(w, x.size, x.stride))
        y = Axis(h, y.size, y.stride)
    else:
        start, stop = max(y.start, 0), min(y.last(form.taps[0]), y.base)
        rows = replace(rows, y=Axis(y.base, stop - start, 1, start))
        y = replace(y, base=stop - start, start=min(y.start, 0))
    between = convolution(b, rows, value)
    columns = replace(
        form, sources=(between,), channels=(middle,), kernel=factors.second, y=y,
        x=Axis(form.x.size, form.x.size),
    )  # fmt: skip
    return convolution(b, columns, between)


def terms(form: Form) -> list[Array] | None:
    """Per source, its weight in each row: where the form only scales, shifts and adds up.

    None if a row takes anything but its own row of each source (or a source's only row).
    """
    if not form.pointwise:
        return None
    found, at = [], 0
    for count in form.channels:
        weights = form.kernel[:, at : at + count, 0, 0]
        at += count
        own = weights[:, 0] if count == 1 else np.diag(weights)
        if count not in (1, form.rows) or (
            (count > 1 and np.any(weights - np.diag(own))) or len(own) != form.rows
        ):
            return None
        found.append(own)
    whole = any(c == form.rows or np.any(w != 1) for c, w in zip(form.channels, found, strict=True))
    return found if whole else None


def pointwise(b: Builder, form: Form) -> str:
    """Mul and Add by constants, and the sum over the sources; a value (1, rows, h, w).

    Raises:
        ModelError: the form mixes rows.
    """
    weights = terms(form)
    if weights is None:
        raise ModelError("a map that mixes channels is no sum of scaled sources")
    total, shift = "", form.bias
    for name, count, own in sorted(
        zip(form.sources, form.channels, weights, strict=True),
        key=lambda term: bool(np.all(term[2] == 1)),
    ):
        value = b.reshape(name, (1, count, form.y.size, form.x.size))
        value = _times(b, "Mul", value, own, 1.0)
        if np.any(own != 1) or not total:
            value, shift = _times(b, "Add", value, shift, 0.0), np.zeros(form.rows)
        total = b.op("Add", total, value) if total else value
    return _times(b, "Add", total, shift, 0.0)


def _times(b: Builder, op: str, value: str, rows: Array, nothing: float) -> str:
    if np.all(rows == nothing):
        return value
    same = bool(np.all(rows == rows[0])) and b.shape(value)[1] == len(rows)
    return b.op(op, value, float(rows[0]) if same else rows.reshape(1, -1, 1, 1))
