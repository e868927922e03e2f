"""Affine forms: a tensor as a known linear combination of earlier tensors.

A chain of linear operators taken one by one loses what its steps have in common: x - blur(x) of
levels 0..255 seems to reach +-255. Written as one kernel on x, its bounds are exact.

A `Form` describes a tensor with two trailing spatial dimensions and flattened leading ones
("rows": batch and channels). Its element at row r and position p is

    bias[r] + sum over terms, root rows q, offsets o of  kernel[r, q, o] * root[q, stride * p + o]

within `error[r]`, which collects what rounding adds on the way. A root is an earlier tensor,
taken as continued beyond its border by some padding: the continued values stay within the root's
own bounds (or are 0), so that bounds hold at the border too. Terms of different stride or padding
are treated as independent of each other, which is sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..fp16 import Array
from .interval import Interval, make

MAX_ROWS = 64
MAX_KERNEL = 1 << 18
MAX_TERMS = 8

Pair = tuple[int, int]


@dataclass(frozen=True)
class Key:
    """What a term reads: a tensor, how it goes on beyond its border, and the step in it."""

    tensor: str
    border: str
    stride: Pair


@dataclass(frozen=True)
class Term:
    """One root's share of a form.

    Attributes:
        kernel: (rows, root rows, height, width).
        origin: offset of kernel[..., 0, 0].
        low, high: bounds of the root's rows, the continuation included.
        size: height and width of the root.
    """

    kernel: Array
    origin: Pair
    low: Array
    high: Array
    size: Pair


@dataclass(frozen=True)
class Form:
    """A tensor as a linear combination of roots; see the module.

    Attributes:
        leading: the leading dimensions; their product is the number of rows.
        spatial: height and width.
        terms: the roots' shares.
        bias: one value a row.
        error: one value a row: how far the tensor may be from the exact combination.
        depth: how many linear operators are taken together.
    """

    leading: tuple[int, ...]
    spatial: Pair
    terms: Mapping[Key, Term]
    bias: Array
    error: Array
    depth: int = 0

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.bias.size)

    @property
    def pointwise(self) -> bool:
        """Whether every element depends on the roots' elements at its own position alone."""
        return all(
            t.kernel.shape[2:] == (1, 1) and t.origin == (0, 0) and k.stride == (1, 1)
            for k, t in self.terms.items()
        )

    def bounds(self) -> Interval:
        """Bounds of every row, shape leading + (1, 1)."""
        low, high = self.bias - self.error, self.bias + self.error
        weight = np.zeros_like(low)
        for term in self.terms.values():
            up = np.maximum(term.kernel, 0).sum(axis=(2, 3))
            down = np.minimum(term.kernel, 0).sum(axis=(2, 3))
            low = low + up @ term.low + down @ term.high
            high = high + up @ term.high + down @ term.low
            weight = weight + (up - down) @ np.maximum(np.abs(term.low), np.abs(term.high))
        slack = weight * 1e-12  # this module's own float64 arithmetic
        shape = (*self.leading, 1, 1)
        return make((low - slack).reshape(shape), (high + slack).reshape(shape))

    def with_error(self, extra: Array) -> Form:
        """The form with rounding added: `extra` broadcasts to leading + (1, 1)."""
        rows = np.broadcast_to(extra, (*self.leading, 1, 1)).reshape(-1)
        return replace(self, error=self.error + rows)


def fits(rows: int, root_rows: int, height: int, width: int) -> bool:
    """Whether a kernel of this size is worth keeping."""
    return rows <= MAX_ROWS * 4 and rows * root_rows * height * width <= MAX_KERNEL


def identity(name: str, shape: tuple[int, ...], value: Interval) -> Form | None:
    """A tensor as its own root; None if it has no two spatial dimensions or too many rows."""
    if len(shape) < 3 or not value.finite or value.nan:
        return None
    leading = shape[:-2]
    rows = int(np.prod(leading, dtype=np.int64))
    if not 0 < rows <= MAX_ROWS:
        return None
    lo, hi = value.lo, value.hi
    if not value.uniform:
        lo, hi = lo.min(axis=(-2, -1), keepdims=True), hi.max(axis=(-2, -1), keepdims=True)
    low = np.broadcast_to(lo, (*leading, 1, 1)).reshape(-1)
    high = np.broadcast_to(hi, (*leading, 1, 1)).reshape(-1)
    size = (shape[-2], shape[-1])
    term = Term(np.eye(rows)[:, :, None, None], (0, 0), low, high, size)
    zero = np.zeros(rows)
    return Form(leading, size, {Key(name, "", (1, 1)): term}, zero, zero)


def bordered(form: Form, border: str, fill: float = 0.0) -> Form | None:
    """The form of the tensor continued beyond its border; None if it is no longer linear there.

    Args:
        form: the tensor.
        border: "zero" for a constant `fill`, or the name of a mode that copies elements.
        fill: the constant; the form must give it for roots that are 0 everywhere.
    """
    if not form.pointwise:
        return None
    if border == "zero" and (fill != 0.0 or np.any(form.bias != 0)):
        return None
    terms: dict[Key, Term] = {}
    for key, term in form.terms.items():
        if key.border not in ("", border) or term.size != form.spatial:
            return None
        if border == "zero":
            low, high = np.minimum(term.low, 0), np.maximum(term.high, 0)
            term = replace(term, low=low, high=high)
        terms[replace(key, border=border)] = term
    return replace(form, terms=terms)


def combine(a: Form, b: Form, sign: float) -> Form | None:
    """a + sign * b for forms of the same rows and positions; None if it grows too large."""
    if a.leading != b.leading or a.spatial != b.spatial:
        return None
    left, right = dict(a.terms), dict(b.terms)
    _same_border(left, right)
    _same_border(right, left)
    terms = dict(left)
    for key, term in right.items():
        other = terms.get(key)
        merged = _sum(other, term, sign) if other else replace(term, kernel=sign * term.kernel)
        if merged is None:
            return None
        terms[key] = merged
    if len(terms) > MAX_TERMS:
        return None
    bias = a.bias + sign * b.bias
    return Form(a.leading, a.spatial, terms, bias, a.error + b.error, max(a.depth, b.depth) + 1)


def _same_border(mine: dict[Key, Term], others: Mapping[Key, Term]) -> None:
    """A term inside the tensor is also one of the continued tensor, if only one is meant."""
    for key in [k for k in mine if not k.border]:
        modes = {k.border for k in (*others, *mine) if k.tensor == key.tensor and k.border}
        wanted = [k for k in others if k.tensor == key.tensor and k.border]
        if len(modes) == 1 and wanted:
            new = replace(key, border=modes.pop())
            if new not in mine:
                bounds = others[wanted[0]]
                term = mine.pop(key)
                mine[new] = replace(term, low=bounds.low, high=bounds.high)


def _sum(a: Term, b: Term, sign: float) -> Term | None:
    top, left = min(a.origin[0], b.origin[0]), min(a.origin[1], b.origin[1])
    bottom = max(t.origin[0] + t.kernel.shape[2] for t in (a, b))
    right = max(t.origin[1] + t.kernel.shape[3] for t in (a, b))
    rows, root_rows = a.kernel.shape[:2]
    if not fits(rows, root_rows, bottom - top, right - left):
        return None
    kernel = np.zeros((rows, root_rows, bottom - top, right - left))
    for term, factor in ((a, 1.0), (b, sign)):
        y, x = term.origin[0] - top, term.origin[1] - left
        h, w = term.kernel.shape[2:]
        kernel[:, :, y : y + h, x : x + w] += factor * term.kernel
    low, high = np.minimum(a.low, b.low), np.maximum(a.high, b.high)
    return Term(kernel, (top, left), low, high, a.size)


def mix_rows(form: Form, matrix: Array, leading: tuple[int, ...]) -> Form | None:
    """New rows, each a linear combination of the old ones: matrix (new rows, rows)."""
    terms: dict[Key, Term] = {}
    for key, term in form.terms.items():
        _, roots, h, w = term.kernel.shape
        if not fits(matrix.shape[0], roots, h, w):
            return None
        kernel = (matrix @ term.kernel.reshape(form.rows, -1)).reshape(-1, roots, h, w)
        terms[key] = replace(term, kernel=kernel)
    error = np.abs(matrix) @ form.error
    return replace(
        form, leading=leading, terms=terms, bias=matrix @ form.bias, error=error,
        depth=form.depth + 1,
    )  # fmt: skip


def take_rows(form: Form, index: npt.NDArray[np.int64], leading: tuple[int, ...]) -> Form | None:
    """Rows moved, repeated or dropped: new row i is old row index[i]."""
    if index.size > MAX_ROWS * 4:
        return None
    terms: dict[Key, Term] = {}
    for key, term in form.terms.items():
        if not fits(index.size, *term.kernel.shape[1:]):
            return None
        terms[key] = replace(term, kernel=term.kernel[index])
    return replace(
        form, leading=leading, terms=terms, bias=form.bias[index], error=form.error[index]
    )


def scale_rows(form: Form, factor: Array, offset: Array) -> Form:
    """Every row times its factor, plus its offset."""
    terms = {
        key: replace(term, kernel=term.kernel * factor[:, None, None, None])
        for key, term in form.terms.items()
    }
    return replace(
        form, terms=terms, bias=form.bias * factor + offset,
        error=form.error * np.abs(factor), depth=form.depth + 1,
    )  # fmt: skip


def shift(form: Form, start: Pair, step: Pair, spatial: Pair) -> Form:
    """The element at position p becomes that of start + step * p."""
    terms: dict[Key, Term] = {}
    for key, term in form.terms.items():
        sy, sx = key.stride
        origin = (term.origin[0] + start[0] * sy, term.origin[1] + start[1] * sx)
        terms[replace(key, stride=(sy * step[0], sx * step[1]))] = replace(term, origin=origin)
    return replace(form, terms=terms, spatial=spatial)
