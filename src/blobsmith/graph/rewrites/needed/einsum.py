"""Einsum: a 1x1 convolution where a constant matrix mixes channels, otherwise one MatMul a pair.

The compiler has no Einsum worth the name: it takes some equations apart into a hundred stages and
refuses others. A colour matrix on an image is a 1x1 convolution on the engine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class _Term:
    """An operand with the label of each of its axes."""

    value: str
    labels: str


def _terms(editor: Editor, node: Node) -> tuple[list[_Term], str] | str:
    """Operands and result with all labels spelled out, or why that cannot be done."""
    equation = str(node.attrs["equation"]).replace(" ", "")
    left, _, right = equation.partition("->")
    parts = left.split(",")
    ranks = [editor.rank(i) for i in node.inputs]
    terms = []
    widest = ""
    for value, labels, rank in zip(node.inputs, parts, ranks, strict=True):
        if rank is None:
            return "an operand's rank is not known"
        if "..." in labels:
            count = rank - len(labels) + 3
            dots = _LETTERS[len(_LETTERS) - count :] if count else ""
            widest = max(widest, dots, key=len)
            labels = labels.replace("...", dots)
        if len(set(labels)) != len(labels):
            return "an operand repeats an index (a diagonal)"
        terms.append(_Term(value, labels))
    if "->" not in equation:
        every = "".join(t.labels for t in terms)
        once = sorted(c for c in set(every) if every.count(c) == 1 and c not in widest)
        right = "..." + "".join(once)
    result = right.replace("...", widest)
    return terms, result


def find(editor: Editor, node: Node) -> Outcome:
    """Any Einsum without diagonals."""
    found = _terms(editor, node)
    if isinstance(found, str):
        return Refused(found)
    terms, result = found
    if editor.shape(node.output) is None or any(editor.shape(t.value) is None for t in terms):
        return Refused("its shapes are not static")

    def apply() -> None:
        b = Builder(editor, like=node)
        rest = list(terms)
        while len(rest) > 1:
            first, second = rest.pop(0), rest.pop(0)
            later = set(result).union(*(t.labels for t in rest))
            rest.insert(0, _pair(b, first, second, later, result if not rest else ""))
        last = _only(b, rest[0], set(result))
        order = [last.labels.index(c) for c in result]
        b.commit([node], {node.output: b.transpose(last.value, order)})

    return Change(apply, nodes=(node,))


def _only(b: Builder, term: _Term, kept: set[str]) -> _Term:
    """Sums over the labels that nobody needs any more."""
    gone = [i for i, c in enumerate(term.labels) if c not in kept]
    if not gone:
        return term
    value = b.reduce("ReduceSum", term.value, gone, keepdims=False)
    return _Term(value, "".join(c for c in term.labels if c in kept))


def _sizes(b: Builder, *terms: _Term) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for term in terms:
        for label, size in zip(term.labels, b.shape(term.value), strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    return sizes


def _pair(b: Builder, x: _Term, y: _Term, later: set[str], result: str) -> _Term:
    """Contracts two operands, keeping the labels that are needed later."""
    x = _only(b, x, later | set(y.labels))
    y = _only(b, y, later | set(x.labels))
    mixed = _mix(b, x, y, result) or _mix(b, y, x, result)
    if mixed is not None:
        return mixed
    sizes = _sizes(b, x, y)
    shared = [c for c in x.labels if c in y.labels]
    batch = [c for c in shared if c in later]
    summed = [c for c in shared if c not in later]
    rows = [c for c in x.labels if c not in shared]
    columns = [c for c in y.labels if c not in shared]
    if not summed:
        labels = [*batch, *rows, *columns]
        product = b.op("Mul", _spread(b, x, labels), _spread(b, y, labels))
        return _Term(product, "".join(labels))
    left = _grouped(b, x, [batch, rows, summed], sizes)
    right = _grouped(b, y, [batch, summed, columns], sizes)
    product = b.op("MatMul", left, right)
    labels = [*batch, *rows, *columns]
    return _Term(b.reshape(product, [sizes[c] for c in labels]), "".join(labels))


def _grouped(
    b: Builder, term: _Term, groups: Sequence[Sequence[str]], sizes: dict[str, int]
) -> str:
    """The operand with its axes gathered into three: batch, and the two of a matrix."""
    labels = [c for group in groups for c in group]
    own = b.shape(term.value)
    value = term.value
    if any(own[term.labels.index(c)] != sizes[c] for c in labels):
        value = b.op("Expand", value, b.ints([sizes[c] for c in term.labels]))
    value = b.transpose(value, [term.labels.index(c) for c in labels])
    return b.reshape(value, [math.prod(sizes[c] for c in group) for group in groups])


def _spread(b: Builder, term: _Term, labels: Sequence[str]) -> str:
    """The operand with an axis of length 1 for every label that it has not."""
    order = [term.labels.index(c) for c in labels if c in term.labels]
    value = b.transpose(term.value, order)
    own = dict(zip(term.labels, b.shape(term.value), strict=True))
    return b.reshape(value, [own.get(c, 1) for c in labels])


def _mix(b: Builder, x: _Term, matrix: _Term, result: str) -> _Term | None:
    """A constant matrix that mixes the channels of an image: a 1x1 convolution."""
    array = b.editor.constant(matrix.value)
    shape = b.shape(x.value)
    if array is None or array.ndim != 2 or len(x.labels) not in (3, 4) or not result:
        return None
    inner = [c for c in matrix.labels if c in x.labels]
    outer = [c for c in matrix.labels if c not in x.labels]
    if len(inner) != 1 or len(outer) != 1:
        return None
    at = len(x.labels) - 3
    if x.labels[at] != inner[0] or result != x.labels[:at] + outer[0] + x.labels[at + 1 :]:
        return None
    weights = array if matrix.labels[0] == outer[0] else array.T
    image = b.reshape(x.value, [1] * (4 - len(shape)) + list(shape))
    kernel = np.ascontiguousarray(weights, np.float32)[:, :, None, None]
    mixed = b.op("Conv", image, kernel, kernel_shape=[1, 1])
    made = b.shape(mixed)
    return _Term(b.reshape(mixed, made[4 - len(shape) :]), result)


RULES = (
    Rule(
        "einsum", "needed", "reorder", "Einsum as 1x1 convolution or MatMul",
        ("Einsum",), find, order=30,
    ),
)  # fmt: skip
