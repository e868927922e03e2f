"""Linear maps along rows and columns: the common form of resizing, cropping and shifting.

A map of H x W onto h x w that treats the axes apart is `rows @ image @ columns.T` with constant
matrices. What the matrices only move is a Slice or a Pad; the rest is one GEMM stage each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...builder import Builder
from ...editor import Array
from .forms import times
from .pads import padded

_TINY = 1e-7


@dataclass(frozen=True)
class _Move:
    """A matrix that only takes every `step`-th element from `start`, with zeros at the ends."""

    start: int
    step: int
    count: int
    before: int
    after: int


def _as_move(matrix: Array) -> _Move | None:
    """The matrix as a strided slice with zeros around it, if it is one."""
    used = np.flatnonzero(np.abs(matrix).sum(1) > _TINY)
    if not used.size or not np.array_equal(used, np.arange(used[0], used[-1] + 1)):
        return None
    rows = matrix[used]
    columns = rows.argmax(1)
    if np.abs(rows[np.arange(len(rows)), columns] - 1).max() > _TINY:
        return None
    if np.abs(rows).sum() - len(rows) > _TINY * rows.size:
        return None
    steps = np.diff(columns)
    step = int(steps[0]) if steps.size else 1
    if step == 0 or (steps.size and (steps != step).any()):
        return None
    return _Move(
        int(columns[0]), step, len(columns), int(used[0]), int(matrix.shape[0] - used[-1] - 1)
    )


def along(b: Builder, value: str, axis: int, matrix: Array) -> str:
    """Applies a constant matrix [out, in] along axis 2 or 3 of an NCHW value.

    Weights below FP16's normal range are left out; they are not worth a unit in the last place.
    """
    shape = b.shape(value)
    matrix = np.where(np.abs(matrix) < 2.0**-14, 0.0, matrix)
    if matrix.shape[0] == matrix.shape[1] and np.allclose(matrix, np.eye(len(matrix)), atol=_TINY):
        return value
    move = _as_move(matrix)
    if move is not None:
        return _moved(b, value, axis, move)
    matrix = matrix.astype(np.float32)
    if axis == 2:
        return b.op("MatMul", matrix, value)
    rows = math.prod(shape[:3])
    product = times(b, b.reshape(value, [rows, shape[3]]), np.ascontiguousarray(matrix.T))
    return b.reshape(product, [*shape[:3], matrix.shape[0]])


def _moved(b: Builder, value: str, axis: int, move: _Move) -> str:
    size = b.shape(value)[axis]
    last = move.start + move.step * (move.count - 1)
    if (move.start, move.step, move.count) != (0, 1, size):
        stop = last + 1 if move.step > 0 else (last - 1 if last > 0 else -(10**9))
        value = b.slice(value, axis, move.start, stop, move.step)
    low, high = [0] * b.rank(value), [0] * b.rank(value)
    low[axis], high[axis] = move.before, move.after
    return padded(b, value, low, high)
