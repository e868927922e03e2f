"""Formulas that FP32 forgives and FP16 does not, in the form that keeps its digits."""

from __future__ import annotations

from functools import cache

import numpy as np

from ...bounds import bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Approx, Change, Outcome, Rule
from .forms import axes_of
from .functions import polynomial

_BEARABLE_EXPONENT = 6.0


@cache
def _log1p(top: float) -> tuple[float, ...]:
    """log(1 + u) / u on 0..top as a polynomial in u, lowest first."""
    nodes = (np.cos(np.pi * (np.arange(200) + 0.5) / 200) * 0.5 + 0.5) * top + 1e-9
    values = np.log1p(nodes) / nodes
    for degree in range(1, 8):
        fit = np.polynomial.Chebyshev.fit(nodes, values, degree, domain=[0, top])
        if np.abs(fit(nodes) / values - 1).max() < 1e-4:
            break
    return tuple(float(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef)


_RATIONAL = 0.6  # as far as b + k / (c + u) holds to 1e-4


@cache
def _log1p_rational(top: float) -> tuple[float, float, float]:
    """log(1 + u) / u on 0..top as b + k / (c + u): the three of it, by reweighted least squares."""
    u = (np.cos(np.pi * (np.arange(400) + 0.5) / 400) * 0.5 + 0.5) * top + 1e-9
    wanted, weight = np.log1p(u) / u, np.ones_like(u)
    for _ in range(100):
        columns = np.stack([u, np.ones_like(u), -wanted], 1) * weight[:, None]
        b, m, c = np.linalg.lstsq(columns, wanted * u * weight, rcond=None)[0]
        error = np.abs((b + (m - b * c) / (c + u)) / wanted - 1)
        weight *= 1 + 5 * error / error.max()
        weight /= weight.mean()
    return float(b), float(m - b * c), float(c)


def _log1p_of(b: Builder, u: str, top: float) -> str:
    """log(1 + u) for u in 0..top."""
    if top > _RATIONAL:
        return b.op("Mul", u, polynomial(b, u, _log1p(top)))
    offset, k, c = _log1p_rational(top)
    shrinking = b.op("Reciprocal", b.op("Add", b.op("Mul", u, 1 / k), c / k))
    return b.op("Mul", u, b.op("Add", shrinking, offset))


def find_log1p(editor: Editor, node: Node) -> Outcome:
    """log(u + 1) where u is small: the sum would keep three digits of it."""
    total = editor.producer(node.inputs[0])
    if total is None or total.op != "Add":
        return None
    for index in (0, 1):
        if editor.scalar(total.inputs[index]) == 1:
            u = total.inputs[1 - index]
            known = bounds(editor, u)
            if known.low < 0 or known.nan or known.low >= 0.5:
                return None
            if _RATIONAL < known.high <= 1.0:
                return None  # the digits that the sum loses are few beside such a range
            top = min(known.high, 1.0)

            def apply(u: str = u, top: float = top, high: float = known.high) -> None:
                b = Builder(editor, like=node)
                small = u if high <= 1 else b.op("Min", u, 1.0)
                value = _log1p_of(b, small, top)
                if high > 1:
                    # its own argument, at least 2, is no pattern of this rule any more
                    large = b.op("Log", b.op("Max", total.output, 2.0))
                    value = b.op("Where", b.op("Greater", u, 1.0), large, value)
                b.commit([node], {node.output: value})

            return Change(apply, nodes=(total, node))
    return None


def find_products(editor: Editor, node: Node) -> Outcome:
    """A quotient of two products, which may both be tiny: a product of two quotients."""
    over, under = editor.producer(node.inputs[0]), editor.producer(node.inputs[1])
    if over is None or under is None or over.op != "Mul":
        return None
    spare = under
    if under.op == "Add":
        for index in (0, 1):
            epsilon = editor.scalar(under.inputs[index])
            inner = editor.producer(under.inputs[1 - index])
            if epsilon is not None and 0 < epsilon < 1e-6 and inner is not None:
                spare = inner
    if spare.op != "Mul" or any(editor.constant(i) is not None for i in spare.inputs):
        return None
    if any(editor.constant(i) is not None for i in over.inputs):
        return None
    lows = [bounds(editor, i) for i in spare.inputs]
    if lows[0].low * lows[1].low > 2.0**-10 and all(k.low > 0 for k in lows):
        return None
    if editor.shape(over.output) != editor.shape(spare.output):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        first = b.op("Div", over.inputs[0], spare.inputs[0])
        second = b.op("Div", over.inputs[1], spare.inputs[1])
        b.commit([node], {node.output: b.op("Mul", first, second)})

    return Change(apply, nodes=(over, spare, node))


def find_log_sum_exp(editor: Editor, node: Node) -> Outcome:
    """ReduceLogSumExp, or the logarithm of a sum of exponentials, that may leave FP16's range."""
    nodes, source = [node], node.inputs[0]
    reduction = node
    if node.op == "Log":
        total = editor.producer(node.inputs[0])
        power = editor.producer(total.inputs[0]) if total is not None else None
        if total is None or power is None or total.op != "ReduceSum" or power.op != "Exp":
            return None
        if editor.uses(total.output) != 1:
            return None
        nodes, source, reduction = [power, total, node], power.inputs[0], total
        less = editor.producer(source)
        top = editor.producer(less.inputs[1]) if less is not None and less.op == "Sub" else None
        if top is not None and top.op == "ReduceMax":
            return None  # it is taken out already
    axes = axes_of(editor, reduction)
    if axes is None:
        return None
    known = bounds(editor, source)
    if known.low >= -_BEARABLE_EXPONENT and known.high <= _BEARABLE_EXPONENT:
        return None
    keep = bool(reduction.attrs.get("keepdims", 1))

    def apply() -> None:
        b = Builder(editor, like=node)
        top = b.reduce("ReduceMax", source, axes)
        shares = b.op("Exp", b.op("Sub", source, top))
        result = b.op("Add", b.op("Log", b.reduce("ReduceSum", shares, axes)), top)
        shape = editor.shape(node.output)
        b.commit(nodes, {node.output: result if keep else b.reshape(result, shape or ())})

    return Change(apply, nodes=tuple(nodes))


RULES = (
    Rule(
        "log-sum-exp", "needed", "reorder",
        "the logarithm of a sum of exponentials, with the largest exponent taken out",
        ("ReduceLogSumExp", "Log"), find_log_sum_exp, order=30,
    ),
    Rule(
        "log-of-one-plus", "needed", Approx(1.0, floor=2.0**-10),
        "log(1 + u) of a small u by a polynomial or a quotient", ("Log",), find_log1p, order=36,
    ),
    Rule(
        "quotient-of-products", "needed", Approx(1.0, floor=2.0**-10),
        "a quotient of two products that may be tiny, as a product of two quotients",
        ("Div",), find_products, order=34,
    ),
)  # fmt: skip
