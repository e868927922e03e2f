"""Steps that scale, shift and add up rows, or mix them by a constant matrix."""

from __future__ import annotations

import numpy as np

from ...editor import Editor
from ...node import Node
from . import form as fm
from . import join
from .form import Form
from .step import Constant, Get, Step, count


def _per_row(form: Form, constant: Constant) -> tuple[Form, fm.Array] | None:
    """The form, broadcast to what the constant asks for, and the constant's value for each row."""
    if constant.dtype.kind != "f":
        return None
    spatial = 1 if form.flat else 2
    rank = max(len(form.lead) + spatial, constant.ndim)
    wide: fm.Array = constant.reshape((1,) * (rank - constant.ndim) + constant.shape).astype(
        np.float64
    )
    if max(wide.shape[rank - spatial :]) > 1:
        first = wide[..., :1] if form.flat else wide[..., :1, :1]
        if not np.all(wide == first):
            return None
        wide = first
    rows = wide.reshape(wide.shape[: rank - spatial])
    lead = np.broadcast_shapes(form.lead, rows.shape)
    whole = fm.broadcast(form, lead)
    return None if whole is None else (whole, np.broadcast_to(rows, lead).reshape(-1))


def _binary(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    left, right = node.inputs
    constant = editor.constant(right)
    if constant is not None:
        return _with_constant(get(left), constant, node.op)
    constant = editor.constant(left)
    if constant is not None:
        return _constant_first(get(right), constant, node.op)
    if node.op not in ("Add", "Sub"):
        return None
    a, b = get(left), get(right)
    return join.add(a, b, 1.0 if node.op == "Add" else -1.0) if a and b else None


def _with_constant(form: Form | None, constant: Constant, op: str) -> Form | None:
    found = form and _per_row(form, constant)
    if not found:
        return None
    whole, value = found
    one, zero = np.ones_like(value), np.zeros_like(value)
    if op == "Add":
        return fm.affine(whole, one, value)
    if op == "Sub":
        return fm.affine(whole, one, -value)
    if op == "Mul":
        return fm.affine(whole, value, zero)
    return None if np.any(value == 0) else fm.affine(whole, 1.0 / value, zero)


def _constant_first(form: Form | None, constant: Constant, op: str) -> Form | None:
    if op == "Div":
        return None
    if op != "Sub":
        return _with_constant(form, constant, op)
    found = form and _per_row(form, constant)
    return fm.affine(found[0], -np.ones_like(found[1]), found[1]) if found else None


def _neg(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form = get(node.inputs[0])
    return form and fm.affine(form, -np.ones(form.rows), np.zeros(form.rows))


def _sum(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    total = get(node.inputs[0])
    for name in node.inputs[1:]:
        other = get(name)
        total = join.add(total, other) if total and other else None
    return total


def _matmul(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    matrix, form = editor.constant(node.inputs[0]), get(node.inputs[1])
    if matrix is None or matrix.ndim != 2 or form is None or not form.flat or not form.lead:
        return None
    outer, rows = form.lead[:-1], form.lead[-1]
    if matrix.shape[1] != rows:
        return None
    whole: fm.Array = np.kron(np.eye(count(outer)), matrix.astype(np.float64)).astype(np.float64)
    return fm.mix(form, whole, (*outer, matrix.shape[0]))


STEPS: dict[str, Step] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _binary),
    "Neg": _neg,
    "Sum": _sum,
    "MatMul": _matmul,
}
