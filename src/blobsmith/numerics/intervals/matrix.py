"""Matrix products and Einsum: exact for one constant operand."""

from __future__ import annotations

import numpy as np

from ..fp16 import Array
from . import arithmetic as ar
from .interval import UNBOUNDED, Interval, make
from .linear import tame, wild
from .registry import Step, transfer


@transfer("Gemm")
def _gemm(step: Step) -> Interval:
    a, b = step[0], step[1]
    if step.attr("transA", 0):
        a = _transposed(a)
    if step.attr("transB", 0):
        b = _transposed(b)
    shape_a, shape_b = step.shape(0), step.shape(1)
    if shape_a is None or shape_b is None:
        return UNBOUNDED
    inner = shape_a[0] if step.attr("transA", 0) else shape_a[1]
    result = ar.scale(matrix_product(step, a, b, inner), float(step.attr("alpha", 1.0)))
    if step.has(2):
        result = ar.add(result, ar.scale(step[2], float(step.attr("beta", 1.0))))
    return result


def _transposed(x: Interval) -> Interval:
    return x if x.uniform else Interval(x.lo.T, x.hi.T, x.nan)


@transfer("MatMul")
def _matmul(step: Step) -> Interval:
    shape_a, shape_b = step.shape(0), step.shape(1)
    if not shape_a or not shape_b:
        return UNBOUNDED
    a, b = step[0], step[1]
    if len(shape_a) == 1 and not a.uniform:
        a = Interval(a.lo[None, :], a.hi[None, :], a.nan)
    if len(shape_b) == 1 and not b.uniform:
        b = Interval(b.lo[:, None], b.hi[:, None], b.nan)
    result = matrix_product(step, a, b, shape_a[-1])
    if result.uniform:
        return result
    if len(shape_a) == 1:
        result = Interval(result.lo[..., 0, :], result.hi[..., 0, :], result.nan)
    if len(shape_b) == 1:
        result = Interval(result.lo[..., 0], result.hi[..., 0], result.nan)
    return result


_MATRIX_LIMIT = 1 << 21


def matrix_product(step: Step, a: Interval, b: Interval, inner: int) -> Interval:
    """Bounds of a @ b for operands of at least two dimensions (or 0-d bounds)."""
    nan = a.nan or b.nan or not a.finite or not b.finite
    (al, ah), (bl, bh) = tame(a), tame(b)
    al, ah = _spread(al, -1, inner), _spread(ah, -1, inner)
    bl, bh = _spread(bl, -2, inner), _spread(bh, -2, inner)
    if al.size * bl.shape[-1] > _MATRIX_LIMIT * 16:
        al, ah = al.min(axis=-2, keepdims=True), ah.max(axis=-2, keepdims=True)
    if np.array_equal(bl, bh):
        low = al @ np.maximum(bl, 0) + ah @ np.minimum(bl, 0)
        high = ah @ np.maximum(bl, 0) + al @ np.minimum(bl, 0)
    elif np.array_equal(al, ah):
        low = np.maximum(al, 0) @ bl + np.minimum(al, 0) @ bh
        high = np.maximum(al, 0) @ bh + np.minimum(al, 0) @ bl
    else:
        if al.size * bl.shape[-1] > _MATRIX_LIMIT:
            al, ah = al.min(axis=-2, keepdims=True), ah.max(axis=-2, keepdims=True)
            bl, bh = bl.min(axis=-1, keepdims=True), bh.max(axis=-1, keepdims=True)
        left = make(al[..., :, :, None], ah[..., :, :, None])
        right = make(bl[..., None, :, :], bh[..., None, :, :])
        terms = ar.multiply(left, right)
        low, high = terms.lo.sum(axis=-2), terms.hi.sum(axis=-2)
    weight = np.maximum(np.abs(al), np.abs(ah)) @ np.maximum(np.abs(bl), np.abs(bh))
    result = ar.widen(wild(low, high, nan), step.slack(inner, weight))
    return ar.not_negative(result) if a.low >= 0 and b.low >= 0 else result


def _spread(values: Array, axis: int, size: int) -> Array:
    """The array with a full inner dimension and at least two dimensions."""
    if values.ndim == 0:
        values = values.reshape(1, 1)
    shape = list(values.shape)
    shape[axis] = size
    return np.broadcast_to(values, shape)


def _terms(step: Step) -> tuple[list[str], str] | None:
    """The labels of two operands and of the result, ellipses written out; None if implicit."""
    equation = str(step.attr("equation", "")).replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if len(terms) != 2 or not arrow:
        return None
    spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in equation]
    longest = ""
    for index, term in enumerate(terms):
        shape = step.shape(index)
        if "..." not in term:
            continue
        if shape is None:
            return None
        count = len(shape) - len(term.replace("...", ""))
        hidden = "".join(spare[len(spare) - count :]) if count else ""
        terms[index] = term.replace("...", hidden)
        longest = max(longest, hidden, key=len)
    return terms, result.replace("...", longest)


@transfer("Einsum")
def _einsum(step: Step) -> Interval:
    """Two operands, one of them constant: positive and negative weights taken apart."""
    constant = next((i for i in (0, 1) if step.constant(i) is not None), None)
    parsed = _terms(step)
    if constant is None or parsed is None:
        return UNBOUNDED
    terms, result = parsed
    inputs = ",".join(terms)
    weights = np.asarray(step.constant(constant), np.float64)
    other = 1 - constant
    x, labels, shape = step[other], terms[other], step.shape(other)
    repeated = any(len(set(t)) != len(t) for t in (*terms, result))
    if shape is None or repeated:
        return UNBOUNDED
    summed = [label not in result for label in labels]
    lo, hi = tame(x)
    full = [n if gone else 1 for n, gone in zip(shape, summed, strict=True)]
    if not x.uniform:
        full = [max(a, b) for a, b in zip(full, lo.shape, strict=True)]
    lo, hi = np.broadcast_to(lo, full), np.broadcast_to(hi, full)

    def apply(part: Array, values: Array) -> Array:
        pair = (part, values) if constant == 0 else (values, part)
        return np.asarray(np.einsum(f"{inputs}->{result}", *pair))

    up, down = np.maximum(weights, 0), np.minimum(weights, 0)
    low = apply(up, lo) + apply(down, hi)
    high = apply(up, hi) + apply(down, lo)
    weight = apply(up - down, np.maximum(np.abs(lo), np.abs(hi)))
    sizes = {**dict(zip(terms[constant], weights.shape, strict=True)),
             **dict(zip(labels, shape, strict=True))}  # fmt: skip
    count = int(np.prod([n for label, n in sizes.items() if label not in result]))
    product = ar.widen(wild(low, high, x.nan or not x.finite), step.slack(count, weight))
    return ar.not_negative(product) if x.low >= 0 and weights.min() >= 0 else product
