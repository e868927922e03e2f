"""Lengths that are divided: sqrt(u^2 + v^2) with all its digits, however small u and v are.

FP16 holds squares of numbers from 2^-7 to 2^8 only. The length itself hardly suffers by it: what is
lost is small beside the longest one. A quotient of two lengths (the coherence of a structure
tensor, the direction of a gradient) is as large for small numbers as for others, so here the
larger part is taken out of the root: max sqrt(1 + (min / max)^2).
"""

from __future__ import annotations

import math

from ...bounds import bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Approx, Change, Outcome, Rule
from .scaling import ROOM, times

_SMALLEST = 2.0**-14
_MOST_LIFT = 10
_LEVELS = 2.0**-6
"""Multiples of this have squares that FP16 holds as normal numbers."""


def _root_of(editor: Editor, value: str) -> tuple[str, float] | None:
    """(u, k) where a value is (k u)^2, written as a power or as a product with numbers in it."""
    node = editor.producer(value)
    if node is None:
        return None
    if node.op == "Pow":
        return (node.inputs[0], 1.0) if editor.scalar(node.inputs[1]) == 2 else None
    if node.op != "Mul":
        return None
    factor, parts = 1.0, list(node.inputs)
    for part in node.inputs:
        inner = editor.producer(part)
        if inner is not None and inner.op == "Mul":
            for index in (0, 1):
                number = editor.scalar(inner.inputs[index])
                if number is not None and number > 0 and len(editor.consumers(part)) == 1:
                    factor *= number
                    parts[parts.index(part)] = inner.inputs[1 - index]
                    break
    numbers = [editor.scalar(p) for p in parts]
    if any(n is not None for n in numbers):
        index = 0 if numbers[0] is not None else 1
        number, root = numbers[index], _root_of(editor, parts[1 - index])
        if number is None or root is None or number <= 0:
            return None
        return root[0], root[1] * math.sqrt(number * factor)
    return (parts[0], math.sqrt(factor)) if parts[0] == parts[1] else None


def find(editor: Editor, node: Node) -> Outcome:
    """The root of a sum of two squares, divided by something."""
    total = editor.producer(node.inputs[0])
    if total is None or total.op != "Add" or not editor.is_float(node.output):
        return None
    roots = [_root_of(editor, value) for value in total.inputs]
    if any(root is None for root in roots):
        return None
    found = [root for root in roots if root is not None]
    shapes = {editor.shape(value) for value, _ in found}
    if shapes != {editor.shape(node.output)} or not _divided(editor, node):
        return None
    known = [bounds(editor, value) for value, _ in found]
    largest = max(k.magnitude * factor for k, (_, factor) in zip(known, found, strict=True))
    if not 0 < largest < math.inf or any(k.step >= _LEVELS for k in known):
        return None
    lift = 2.0 ** min(math.floor(math.log2(ROOM / largest)), _MOST_LIFT)

    def apply() -> None:
        b = Builder(editor, like=node)
        sizes = [b.op("Abs", times(b, value, factor * lift)) for value, factor in found]
        longer, shorter = b.op("Max", *sizes), b.op("Min", *sizes)
        share = b.op("Div", shorter, b.op("Max", longer, _SMALLEST))
        stretch = b.op("Sqrt", b.op("Add", b.op("Mul", share, share), 1.0))
        b.commit([total, node], {node.output: times(b, b.op("Mul", longer, stretch), 1 / lift)})

    return Change(apply, nodes=(total, node))


def _divided(editor: Editor, node: Node) -> bool:
    """Whether the length is divided, or divides, and not by a number alone."""
    return any(
        r.op == "Div" and not any(editor.scalar(i) is not None for i in r.inputs)
        for r in editor.consumers(node.output)
    )


RULES = (
    Rule(
        "length-divided", "needed", Approx(1.0, floor=_SMALLEST),
        "a length that is divided keeps its digits where its squares would not",
        ("Sqrt",), find, order=20,
    ),
)  # fmt: skip
