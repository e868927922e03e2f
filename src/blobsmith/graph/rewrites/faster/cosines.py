"""Cosines of two vectors: the inner product times both inverse norms.

`dot / max(sqrt(|a|^2 |b|^2), eps)` squares the norms once more: of images, that is far beyond FP16
before the root is taken. The cosine does not change if both vectors are taken smaller, and each
norm can be inverted by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...bounds import FP16_MAX, bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Approx, Change, Outcome, Rule
from .roots import root_of

_SMALLEST_SQUARE = 2.0**-20
_LARGEST_SCALING = 12


@dataclass(frozen=True)
class _Sum:
    """A sum of products: its two factors, and the nodes that make it."""

    factors: tuple[str, str]
    product: Node
    total: Node

    def again(self, b: Builder, left: str, right: str) -> str:
        """The same sum of other factors."""
        operands = [b.op("Mul", left, right), *(i or None for i in self.total.inputs[1:])]
        return b.op("ReduceSum", *operands, **self.total.attrs)


def _sum(editor: Editor, value: str) -> _Sum | None:
    total = editor.producer(value)
    product = editor.producer(total.inputs[0]) if total and total.op == "ReduceSum" else None
    if total is None or product is None or product.op != "Mul":
        return None
    return _Sum((product.inputs[0], product.inputs[1]), product, total)


def find(editor: Editor, node: Node) -> Outcome:
    """An inner product over the root of the product of both sums of squares."""
    root = root_of(editor, node.inputs[1])
    both = editor.producer(root.square) if root is not None else None
    dot = _sum(editor, node.inputs[0])
    if root is None or both is None or dot is None or both.op != "Mul":
        return None
    sums = [_sum(editor, name) for name in both.inputs]
    if any(s is None or s.factors[0] != s.factors[1] for s in sums):
        return None
    squares = {s.factors[0]: s for s in sums if s is not None}
    if set(squares) != set(dot.factors) or len(squares) != 2:
        return None
    if any(s.total.attrs != dot.total.attrs for s in squares.values()):
        return None
    high = max(bounds(editor, s.total.output).high for s in squares.values())
    smaller = math.ceil(math.log(high / (FP16_MAX / 2), 4)) if FP16_MAX / 2 < high < math.inf else 0
    if smaller > _LARGEST_SCALING:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        vectors = {name: b.op("Mul", name, 2.0**-smaller) if smaller else name for name in squares}
        made = dot.again(b, *(vectors[name] for name in dot.factors))
        for name, square in squares.items():
            norm = square.again(b, vectors[name], vectors[name])
            made = b.op("Mul", made, b.op("Pow", b.clip(norm, _SMALLEST_SQUARE, None), -0.5))
        if root.scale != 1:
            made = b.op("Mul", made, 1 / root.scale)
        b.commit([both, *root.nodes, node], {node.output: made})
        editor.drop_dead()

    return Change(apply, nodes=(both, *root.nodes, node))


RULE = Rule(
    name="cosine",
    set="faster",
    exactness=Approx(0.05, floor=1.0, flips=0.005),
    why="a cosine is the inner product times both inverse norms, each within FP16",
    roots=("Div",),
    find=find,
    order=19,
)
