"""How each linear operator changes an affine form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..fp16 import Array
from . import affine
from .affine import Form
from .affine_conv import average_pool, conv
from .movement import slice_ranges
from .normalise import batch_norm_factors
from .registry import Step

FormOf = Callable[[str], "Form | None"]
Rule = Callable[[Step, FormOf], "Form | None"]

_RULES: dict[str, Rule] = {"Conv": conv, "AveragePool": average_pool}


def _rule(*ops: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for op in ops:
            _RULES[op] = function
        return function

    return register


def propagate(step: Step, form_of: FormOf) -> Form | None:
    """The form of an operator's first output; None where it is not linear or grows too large."""
    rule = _RULES.get(step.node.op)
    return rule(step, form_of) if rule else None


def _row_values(value: npt.ArrayLike, form: Form) -> Array | None:
    """A constant as one value a row; None if it changes over the positions."""
    array = np.asarray(value, np.float64)
    full = (*form.leading, 1, 1)
    if array.ndim > len(full) or any(s != 1 for s in array.shape[-2:]):
        return None
    try:
        return np.broadcast_to(array, full).reshape(-1)
    except ValueError:
        return None


@_rule("Add", "Sub")
def _add(step: Step, form_of: FormOf) -> Form | None:
    sign = -1.0 if step.node.op == "Sub" else 1.0
    for index in (0, 1):
        constant = step.constant(index)
        if constant is None:
            continue
        form = form_of(step.node.input(1 - index))
        offset = None if form is None else _row_values(constant, form)
        if form is None or offset is None or step.out_shape() != (*form.leading, *form.spatial):
            return None
        factor = np.full(form.rows, sign if index == 0 else 1.0)
        return affine.scale_rows(form, factor, offset * (sign if index == 1 else 1.0))
    a, b = form_of(step.node.input(0)), form_of(step.node.input(1))
    if a is None or b is None:
        return None
    shape = step.out_shape()
    left, right = _broadcast(a, shape), _broadcast(b, shape)
    return None if left is None or right is None else affine.combine(left, right, sign)


def _broadcast(form: Form, shape: tuple[int, ...] | None) -> Form | None:
    if shape is None or len(shape) < 2 or form.spatial != shape[-2:]:
        return None
    if form.leading == shape[:-2]:
        return form
    rows = np.arange(form.rows).reshape(form.leading)
    return affine.take_rows(form, np.broadcast_to(rows, shape[:-2]).reshape(-1), shape[:-2])


@_rule("Mul", "Div")
def _scale(step: Step, form_of: FormOf) -> Form | None:
    for index in (1, 0) if step.node.op == "Mul" else (1,):
        constant = step.constant(index)
        if constant is None:
            continue
        form = form_of(step.node.input(1 - index))
        factor = None if form is None else _row_values(constant, form)
        if form is None or factor is None or step.out_shape() != (*form.leading, *form.spatial):
            return None
        with np.errstate(divide="ignore"):
            factor = 1 / factor if step.node.op == "Div" else factor
        return affine.scale_rows(form, factor, np.zeros(1)) if np.isfinite(factor).all() else None
    return None


@_rule("Neg", "Identity")
def _unary(step: Step, form_of: FormOf) -> Form | None:
    form = form_of(step.node.input(0))
    if form is None or step.node.op == "Identity":
        return form
    return affine.scale_rows(form, np.full(form.rows, -1.0), np.zeros(1))


@_rule("BatchNormalization")
def _batch_norm(step: Step, form_of: FormOf) -> Form | None:
    form, factors = form_of(step.node.input(0)), batch_norm_factors(step)
    if form is None or factors is None or len(form.leading) != 2:
        return None
    factor, offset = (np.tile(f, form.leading[0]) for f in factors)
    return affine.scale_rows(form, factor, offset)


@_rule("ReduceSum", "ReduceMean")
def _reduce(step: Step, form_of: FormOf) -> Form | None:
    form, axes, out = form_of(step.node.input(0)), step.axes(), step.out_shape()
    if form is None or not axes or out is None or max(axes) >= len(form.leading):
        return None
    keep = bool(step.attr("keepdims", 1))
    rows = np.arange(form.rows).reshape(form.leading)
    moved = np.moveaxis(rows, sorted(axes), range(-len(axes), 0))
    flat = moved.reshape(-1, int(np.prod([form.leading[a] for a in axes])))
    matrix = np.zeros((flat.shape[0], form.rows))
    weight = 1.0 / flat.shape[1] if step.node.op == "ReduceMean" else 1.0
    for i, members in enumerate(flat):
        matrix[i, members] = weight
    leading = tuple(
        1 if i in axes else s for i, s in enumerate(form.leading) if keep or i not in axes
    )
    return affine.mix_rows(form, matrix, leading)


@_rule("Reshape", "Squeeze", "Unsqueeze")
def _reshape(step: Step, form_of: FormOf) -> Form | None:
    form, out = form_of(step.node.input(0)), step.out_shape()
    if form is None or out is None or len(out) < 2 or out[-2:] != form.spatial:
        return None
    if int(np.prod(out[:-2], dtype=np.int64)) != form.rows:
        return None
    return affine.take_rows(form, np.arange(form.rows), out[:-2])


@_rule("Transpose")
def _transpose(step: Step, form_of: FormOf) -> Form | None:
    form, perm = form_of(step.node.input(0)), step.attr("perm")
    if form is None or perm is None or list(perm[-2:]) != [len(perm) - 2, len(perm) - 1]:
        return None
    rows = np.arange(form.rows).reshape(form.leading).transpose(perm[:-2])
    return affine.take_rows(form, rows.reshape(-1), rows.shape)


@_rule("Expand")
def _expand(step: Step, form_of: FormOf) -> Form | None:
    form = form_of(step.node.input(0))
    return None if form is None else _broadcast(form, step.out_shape())


@_rule("Gather")
def _gather(step: Step, form_of: FormOf) -> Form | None:
    form, indices, axis = form_of(step.node.input(0)), step.constant(1), step.axis(0)
    if form is None or indices is None or axis >= len(form.leading):
        return None
    rows = np.arange(form.rows).reshape(form.leading).take(indices, axis)
    return affine.take_rows(form, rows.reshape(-1), rows.shape)


@_rule("Slice")
def _slice(step: Step, form_of: FormOf) -> Form | None:
    form, ranges = form_of(step.node.input(0)), slice_ranges(step)
    if form is None or ranges is None:
        return None
    rank = len(form.leading)
    rows = np.arange(form.rows).reshape(form.leading)
    rows = rows[tuple(ranges.get(axis, slice(None)) for axis in range(rank))]
    picked = affine.take_rows(form, rows.reshape(-1), rows.shape)
    if picked is None:
        return None
    start, stride, size = [0, 0], [1, 1], list(form.spatial)
    for i in (0, 1):
        where = ranges.get(rank + i)
        if where is not None:
            indices = range(form.spatial[i])[where]
            start[i], stride[i], size[i] = where.start, where.step, len(indices)
    return affine.shift(picked, (start[0], start[1]), (stride[0], stride[1]), (size[0], size[1]))


@_rule("Concat")
def _concat(step: Step, form_of: FormOf) -> Form | None:
    forms = [form_of(name) for name in step.node.inputs]
    found = [f for f in forms if f is not None]
    axis, out = step.axis(0), step.out_shape()
    if len(found) != len(forms) or out is None or axis >= len(out) - 2:
        return None
    total: Form | None = None
    offset = 0
    for form in found:
        rows = np.zeros(out[:-2], np.bool_)
        rows[(slice(None),) * axis + (slice(offset, offset + form.leading[axis]),)] = True
        at = np.flatnonzero(rows.reshape(-1))
        offset += form.leading[axis]
        matrix = np.zeros((rows.size, form.rows))
        matrix[at, np.arange(form.rows)] = 1.0
        placed = affine.mix_rows(form, matrix, out[:-2])
        if placed is None:
            return None
        total = placed if total is None else affine.combine(total, placed, 1.0)
        if total is None:
            return None
    return total


@_rule("Pad")
def _pad(step: Step, form_of: FormOf) -> Form | None:
    form, pads, out = form_of(step.node.input(0)), step.integers(1, "pads"), step.out_shape()
    if form is None or pads is None or out is None or step.has(3):
        return None
    rank = len(pads) // 2
    if any(pads[i] or pads[i + rank] for i in range(rank - 2)):
        return None
    mode = step.attr("mode", "constant")
    value = step[2].low if step.has(2) else float(step.attr("value", 0.0))
    grown = affine.bordered(form, "zero" if mode == "constant" else mode, value)
    if grown is None:
        return None
    return affine.shift(grown, (-pads[rank - 2], -pads[rank - 1]), (1, 1), (out[-2], out[-1]))
