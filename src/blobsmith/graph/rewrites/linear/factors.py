"""Kernels as two one-dimensional passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .form import Array


@dataclass(frozen=True)
class Factors:
    """A kernel as a pass along one axis, then one along the other.

    Attributes:
        first: (middle rows, inputs, 1, taps along W).
        second: (rows, middle rows, taps along H, 1).
    """

    first: Array
    second: Array


def factorize(kernel: Array, most: int = 64) -> Factors | None:
    """The kernel as two one-dimensional passes, exactly (to 1e-9), or None.

    The middle rows belong to one input each or to one output each, whichever are fewer, so that
    channels that were apart stay apart in FP16.
    """
    rows, inputs, kh, kw = kernel.shape
    if min(kh, kw) == 1:
        return None
    best: Factors | None = None
    by_input = [_rank(kernel[:, i].reshape(rows * kh, kw)) for i in range(inputs)]
    count = sum(len(v) for _, v in by_input)
    if 0 < count <= most:
        first, second = np.zeros((count, inputs, 1, kw)), np.zeros((rows, count, kh, 1))
        at = 0
        for i, (u, v) in enumerate(by_input):
            first[at : at + len(v), i, 0] = v
            second[:, at : at + len(v), :, 0] = u.reshape(rows, kh, -1).transpose(0, 2, 1)
            at += len(v)
        best = Factors(first, second)
    by_output = [_rank(kernel[o].transpose(1, 0, 2).reshape(kh, -1)) for o in range(rows)]
    other = sum(len(v) for _, v in by_output)
    if 0 < other <= most and (best is None or other < count):
        first, second = np.zeros((other, inputs, 1, kw)), np.zeros((rows, other, kh, 1))
        at = 0
        for o, (u, v) in enumerate(by_output):
            first[at : at + len(v), :, 0] = v.reshape(-1, inputs, kw)
            second[o, at : at + len(v), :, 0] = u.T
            at += len(v)
        best = Factors(first, second)
    return best


def _rank(matrix: Array) -> tuple[Array, Array]:
    """u and v with matrix = u @ v, of as few columns as it takes; u's columns are of weight 1."""
    left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    keep = sizes > 1e-9 * max(float(sizes[0]), 1e-30)
    u, v = left[:, keep], right[keep] * sizes[keep, None]
    totals = np.abs(u).sum(axis=0) * np.where(u.sum(axis=0) < 0, -1.0, 1.0)
    return _clean(u / totals), _clean(v * totals[:, None])


def _clean(matrix: Array) -> Array:
    """Without the 1e-17 that stand for zeros."""
    return np.where(np.abs(matrix) < 1e-12 * np.abs(matrix).max(initial=0.0), 0.0, matrix)
