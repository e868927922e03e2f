"""log(1 + u) of a small u: FP16 keeps three digits of the sum, and few of them are u's.

Three forms, by what u is and how far it reaches: of a square, d tanh(d), which has the same even
series; of anything small, u (b + k / (c + u)); beyond, a polynomial.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from ...bounds import bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Approx, Change, Outcome, Rule
from .functions import polynomial


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


_RATIONAL = 0.6  # as far as the quotient holds to 1e-4, and d tanh(d) to 6e-4


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


@cache
def _log1p_square(top: float) -> tuple[float, float]:
    """(a, g) with log(1 + d * d) = a d tanh(g d) for d * d in 0..top, to 5e-4 up to 0.5.

    The best a for a g is known; g is searched, between what the series at 0 asks for and less.
    """
    d = np.sqrt(np.linspace(1e-6, top, 2000))
    wanted = np.log1p(d * d)

    def fitted(g: float) -> tuple[float, float, float]:
        ratio = d * np.tanh(g * d) / wanted
        a = 2 / (ratio.max() + ratio.min())
        return float(np.abs(a * ratio - 1).max()), float(a), g

    _, a, g = min(fitted(g) for g in np.linspace(1.15, 1.23, 400))
    return a, float(g)


def _root(editor: Editor, u: str) -> tuple[str, float] | None:
    """(d, k) if u is (k * d) squared."""
    node = editor.producer(u)
    factor = 1.0
    if node is not None and node.op in ("Mul", "Div"):
        for index in (0, 1) if node.op == "Mul" else (1,):
            number = editor.scalar(node.inputs[index])
            if number is not None and number > 0 and math.isfinite(number):
                factor = number if node.op == "Mul" else 1 / number
                node = editor.producer(node.inputs[1 - index])
                break
    if node is None:
        return None
    square = (node.op == "Mul" and node.inputs[0] == node.inputs[1]) or (
        node.op == "Pow" and editor.scalar(node.inputs[1]) == 2
    )
    return (node.inputs[0], math.sqrt(factor)) if square else None


def _log1p_of(b: Builder, u: str, top: float) -> str:
    """log(1 + u) for u in 0..top."""
    root = _root(b.editor, u)
    if root is not None and top <= _RATIONAL:
        a, g = _log1p_square(top)
        d = b.op("Mul", root[0], root[1] * g)
        return b.op("Mul", b.op("Mul", d, b.op("Tanh", d)), a / g)
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


RULES = (
    Rule(
        "log-of-one-plus", "needed", Approx(1.0, floor=2.0**-10),
        "log(1 + u) of a small u by a form that never makes 1 + u", ("Log",), find_log1p, order=36,
    ),
)  # fmt: skip
