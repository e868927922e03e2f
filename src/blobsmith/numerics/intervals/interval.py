"""An interval for every element of a tensor, stored as coarsely as the tensor allows.

`lo` and `hi` are float64 arrays of one shape. A 0-d array bounds every element alike; otherwise
the array has the tensor's rank, and a dimension of size 1 means that the bound does not change
along it: an image of known channels has bounds of shape (1, C, 1, 1). Bounds of +-inf mean that
the value may be infinite (in FP16: may overflow). `nan` says that some element may be NaN; the
bounds then hold for the elements that are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..fp16 import Array

LIMIT = 1 << 17
"""Bounds with more elements than this are widened to coarser ones."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Interval:
    """Bounds of a tensor's elements; see the module.

    Attributes:
        lo, hi: lower and upper bounds, lo <= hi, one shape.
        nan: whether an element may be NaN.
    """

    lo: Array
    hi: Array
    nan: bool = False

    @property
    def low(self) -> float:
        """The lowest bound of all elements."""
        return float(self.lo.min()) if self.lo.size else 0.0

    @property
    def high(self) -> float:
        """The highest bound of all elements."""
        return float(self.hi.max()) if self.hi.size else 0.0

    @property
    def magnitude(self) -> float:
        """The largest absolute value that the bounds allow."""
        return max(abs(self.low), abs(self.high))

    @property
    def finite(self) -> bool:
        """Whether no element can be infinite."""
        return bool(np.isfinite(self.lo).all() and np.isfinite(self.hi).all())

    @property
    def uniform(self) -> bool:
        """Whether one pair of bounds holds for all elements."""
        return self.lo.ndim == 0

    def has_zero(self) -> bool:
        """Whether 0 may occur."""
        return bool(np.any((self.lo <= 0) & (self.hi >= 0)))

    def with_nan(self, nan: bool) -> Interval:
        """The same bounds, NaN possible if it was or if `nan`."""
        return replace(self, nan=True) if nan and not self.nan else self

    def flat(self) -> Interval:
        """One pair of bounds for all elements."""
        if self.uniform:
            return self
        return make(self.low, self.high, self.nan)

    def full(self, shape: Sequence[int]) -> tuple[Array, Array]:
        """The bounds of every element (a broadcast view, not a copy)."""
        return np.broadcast_to(self.lo, shape), np.broadcast_to(self.hi, shape)


def make(lo: Any, hi: Any, nan: bool = False) -> Interval:
    """An interval of two numbers or two arrays that broadcast to each other."""
    low, high = np.asarray(lo, np.float64), np.asarray(hi, np.float64)
    if low.shape != high.shape:
        low, high = (np.array(a) for a in np.broadcast_arrays(low, high))
    return Interval(low, high, nan)


UNBOUNDED = make(-np.inf, np.inf, True)
"""What is known of the result of an unknown operator."""


def point(values: npt.ArrayLike) -> Interval:
    """The interval of a constant: every element its own value."""
    array = np.asarray(values, np.float64)
    bad = bool(np.isnan(array).any())
    if bad:
        array = np.where(np.isnan(array), 0.0, array)
    return tidy(Interval(array, array, bad), array.ndim)


def hull(first: Interval, *others: Interval) -> Interval:
    """The smallest interval that holds all of these, element by element."""
    lo, hi, nan = first.lo, first.hi, first.nan
    for other in others:
        lo, hi = np.minimum(lo, other.lo), np.maximum(hi, other.hi)
        nan = nan or other.nan
    return make(lo, hi, nan)


def intersect(first: Interval, second: Interval) -> Interval:
    """What both allow. Rounding may leave nothing: then the first is kept."""
    lo, hi = np.maximum(first.lo, second.lo), np.minimum(first.hi, second.hi)
    if np.any(lo > hi):
        return first
    return make(lo, hi, first.nan and second.nan)


def tidy(value: Interval, rank: int | None) -> Interval:
    """The interval with arrays of the tensor's rank, or 0-d, and not too many elements."""
    lo, hi = value.lo, value.hi
    if lo.ndim == 0:
        return value
    if rank is None or lo.ndim > rank or lo.size == 0:
        return value.flat()
    if lo.ndim < rank:
        shape = (1,) * (rank - lo.ndim) + lo.shape
        lo, hi = lo.reshape(shape), hi.reshape(shape)
    axis = lo.ndim - 1
    while lo.size > LIMIT and axis >= 0:
        lo, hi = lo.min(axis=axis, keepdims=True), hi.max(axis=axis, keepdims=True)
        axis -= 1
    if lo.size == 1:
        return make(lo.reshape(()), hi.reshape(()), value.nan)
    if lo is value.lo:
        return value
    return Interval(lo, hi, value.nan)


def collapse(value: Interval, axes: Sequence[int]) -> Interval:
    """Bounds that do not change along these axes (of the tensor's rank)."""
    if value.uniform:
        return value
    at = tuple(axes)
    return Interval(
        value.lo.min(axis=at, keepdims=True), value.hi.max(axis=at, keepdims=True), value.nan
    )


def uniformise(value: Interval) -> Interval:
    """0-d bounds if all elements have the same ones."""
    if value.uniform or not value.lo.size:
        return value
    if value.lo.min() == value.lo.max() and value.hi.min() == value.hi.max():
        return value.flat()
    return value


def reshape(value: Interval, before: Shape | None, after: Shape | None) -> Interval:
    """The bounds of a reshaped tensor.

    Groups of dimensions that are merged or split are expanded only as far as they differ.
    """
    if value.uniform:
        return value
    if before is None or after is None or len(before) != value.lo.ndim:
        return value.flat()
    lo, hi = value.lo, value.hi
    shape: list[int] = []
    expanded: list[int] = []
    for old, new in groups(before, after):
        sizes = [lo.shape[i] for i in old]
        if all(s == 1 for s in sizes):
            expanded.extend(sizes)
            shape.extend(1 for _ in new)
        else:
            expanded.extend(before[i] for i in old)
            shape.extend(after[i] for i in new)
    if int(np.prod(expanded, dtype=np.int64)) > LIMIT:
        return value.flat()
    lo = np.broadcast_to(lo, expanded).reshape(shape)
    hi = np.broadcast_to(hi, expanded).reshape(shape)
    return tidy(Interval(lo, hi, value.nan), len(after))


def groups(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """Runs of dimensions of two shapes with equal products, as short as possible."""
    found: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        old, new = [], []
        a = b = 1
        if i < len(before):
            old.append(i)
            a *= before[i]
            i += 1
        if j < len(after):
            new.append(j)
            b *= after[j]
            j += 1
        while a != b:
            if a < b and i < len(before):
                a *= before[i]
                old.append(i)
                i += 1
            elif b < a and j < len(after):
                b *= after[j]
                new.append(j)
                j += 1
            else:
                rest = list(range(i, len(before))), list(range(j, len(after)))
                return [*found, (old + rest[0], new + rest[1])]
        found.append((old, new))
    return found
