"""Division by a root: a product with the power -1/2, one stage less twice over.

The compiler makes a root, a reciprocal and a product of `a / sqrt(b)`; `b ** -0.5` is one stage. A
lower limit between them moves before the root, squared; one that FP16 takes for 0 is raised to one
that it can hold, so that 0 / 0 stays 0. Where `b` is a sum of squares that does not fit in FP16,
both `a` and the squares are taken of smaller numbers: the quotient is the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...bounds import FP16_MAX, bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import affine, clip_limits
from ..rule import Approx, Change, Outcome, Rule

_SMALLEST_SQUARE = 2.0**-20
_LARGEST_SCALING = 12


@dataclass(frozen=True)
class Root:
    """A divisor: scale * max(sqrt(square), limit / scale).

    Attributes:
        square: the value under the root.
        scale: a positive number.
        limit: the least that the divisor can be; 0: no limit.
        nodes: the nodes between, the root first.
    """

    square: str
    scale: float
    limit: float
    nodes: tuple[Node, ...]


def root_of(editor: Editor, value: str) -> Root | None:
    """A divisor read as a root, perhaps scaled and kept from getting small; None if it is none."""
    node = editor.producer(value)
    limit, nodes = 0.0, []
    if node is not None and node.op in ("Clip", "Max"):
        found = _lower_limit(editor, node)
        if found is None or editor.uses(value) != 1:
            return None
        nodes.append(node)
        value, limit = found
    line = affine(editor, value)
    root = editor.producer(line.source)
    if root is None or root.op != "Sqrt" or line.shift or line.scale <= 0 or limit < 0:
        return None
    if editor.uses(value) != 1:
        return None
    return Root(root.inputs[0], line.scale, limit, (root, *nodes))


def _lower_limit(editor: Editor, node: Node) -> tuple[str, float] | None:
    """(value, limit) of a Clip or Max that only keeps a value from getting small."""
    if node.op == "Clip":
        limits = clip_limits(editor, node)
        return (node.inputs[0], limits[0]) if limits and math.isinf(limits[1]) else None
    if len(node.inputs) != 2:
        return None
    for index in (0, 1):
        number = editor.scalar(node.inputs[index])
        if number is not None:
            return node.inputs[1 - index], number
    return None


def _squared(editor: Editor, value: str) -> tuple[Node, Node] | None:
    """(product, sum) where a value is a sum of squares that nothing else reads."""
    total = editor.producer(value)
    product = editor.producer(total.inputs[0]) if total and total.op == "ReduceSum" else None
    if total is None or product is None or product.op != "Mul":
        return None
    if product.inputs[0] != product.inputs[1] or editor.uses(product.output) != 1:
        return None
    return product, total


def find(editor: Editor, node: Node) -> Outcome:
    """A Div by, or Reciprocal of, a root, perhaps scaled and kept from getting small."""
    root = root_of(editor, node.inputs[-1])
    if root is None:
        return None
    squares = _squared(editor, root.square)
    high = bounds(editor, root.square).high
    smaller = 0
    if node.op == "Div" and squares is not None and FP16_MAX / 2 < high < math.inf:
        smaller = math.ceil(math.log(high / (FP16_MAX / 2), 4))
    if smaller > _LARGEST_SCALING:
        return None
    factor = 2.0**-smaller

    def apply() -> None:
        b = Builder(editor, like=node)
        square, old = root.square, [*root.nodes, node]
        if smaller and squares is not None:
            product, total = squares
            each = b.op("Mul", product.inputs[0], factor)
            operands = [b.op("Mul", each, each), *(i or None for i in total.inputs[1:])]
            square = b.op("ReduceSum", *operands, **total.attrs)
            old = [*squares, *old]
        low = (root.limit / root.scale * factor) ** 2
        if root.limit:
            square = b.clip(square, max(low, _SMALLEST_SQUARE), None)
        made = b.op("Pow", square, -0.5)
        if node.op == "Div":
            dividend = node.inputs[0]
            if factor / root.scale != 1:
                dividend = b.op("Mul", dividend, factor / root.scale)
            made = b.op("Mul", dividend, made)
        elif root.scale != 1:
            made = b.op("Mul", made, 1 / root.scale)
        b.commit(old, {node.output: made})

    return Change(apply, nodes=(*root.nodes, node))


RULE = Rule(
    name="inverse-root",
    set="faster",
    exactness=Approx(0.01, flips=0.005),
    why="dividing by a root is a product with the power -1/2",
    roots=("Div", "Reciprocal"),
    find=find,
    order=20,
)
