"""Several linear forms as one: added up, or as the rows of one.

Forms go together if they walk alike over sources of one size; their kernels are aligned, and their
sources listed together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .form import MAX_INPUTS, MAX_ROWS, Axis, Form, broadcast, fits, pick


def combine(forms: Sequence[Form]) -> list[Form] | None:
    """The same forms with common sources, kernel extent and walk, ready to be added or stacked."""
    sources: dict[str, int] = {}
    for form in forms:
        sources.update(zip(form.sources, form.channels, strict=True))
    if sum(sources.values()) > MAX_INPUTS:
        return None
    ys, xs = _common([(f.y, f.taps[0]) for f in forms]), _common([(f.x, f.taps[1]) for f in forms])
    if ys is None or xs is None:
        return None
    ends = np.cumsum(list(sources.values()))
    offsets = {name: end - sources[name] for name, end in zip(sources, ends, strict=True)}
    total = sum(sources.values())
    aligned = []
    for form in forms:
        top, left = form.y.start - ys[0].start, form.x.start - xs[0].start
        kernel = np.zeros((form.rows, total, ys[1], xs[1]))
        if not fits(kernel):
            return None
        at = 0
        for name, count in zip(form.sources, form.channels, strict=True):
            to = offsets[name]
            kernel[:, to : to + count, top : top + form.taps[0], left : left + form.taps[1]] += (
                form.kernel[:, at : at + count]
            )
            at += count
        aligned.append(
            replace(
                form,
                sources=tuple(sources),
                channels=tuple(sources.values()),
                kernel=kernel,
                y=ys[0],
                x=xs[0],
                levels=all(f.levels for f in forms),
            )
        )
    return aligned


def _common(axes: Sequence[tuple[Axis, int]]) -> tuple[Axis, int] | None:
    """The walk that serves all of (axis, taps), and its number of taps; None if there is none."""
    first = axes[0][0]
    modes = {axis.mode for axis, taps in axes if axis.outside(taps)}
    if len(modes) > 1 or any(
        a.base != first.base or a.size != first.size or (a.stride != first.stride and a.size > 1)
        for a, _ in axes
    ):
        return None
    start = min(axis.start for axis, _ in axes)
    taps = max(axis.start + count for axis, count in axes) - start
    return replace(first, start=start, mode=modes.pop() if modes else ""), taps


def add(a: Form, b: Form, sign: float = 1.0) -> Form | None:
    """a + sign * b, broadcast over the leading dimensions."""
    if a.flat != b.flat:
        return None
    lead = np.broadcast_shapes(a.lead, b.lead)
    wide = [broadcast(a, lead), broadcast(b, lead)]
    if wide[0] is None or wide[1] is None:
        return None
    pair = combine([wide[0], wide[1]])
    if pair is None:
        return None
    left, right = pair
    return replace(left, kernel=left.kernel + sign * right.kernel,
                   bias=left.bias + sign * right.bias)  # fmt: skip


def stack(forms: Sequence[Form], axis: int) -> Form | None:
    """Concatenation along a leading dimension."""
    aligned = combine(forms)
    if aligned is None or len({f.flat for f in forms}) > 1:
        return None
    index, first = [], 0
    for form in aligned:
        index.append(np.arange(first, first + form.rows).reshape(form.lead))
        first += form.rows
    order = np.concatenate(index, axis)
    if order.size > MAX_ROWS:
        return None
    whole = replace(
        aligned[0],
        kernel=np.concatenate([f.kernel for f in aligned]),
        bias=np.concatenate([f.bias for f in aligned]),
        lead=(first,),
    )
    return pick(whole, order.reshape(-1), order.shape)
