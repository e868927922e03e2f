"""Common sub-expressions: what is computed twice is computed once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule

_SMALL = 4096
_RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike",
                     "Multinomial", "Bernoulli", "Dropout"})  # fmt: skip


def operand(editor: Editor, name: str) -> Any:
    """What two operands have in common if they are the same: a name, or a small constant."""
    array = editor.constant(name)
    if array is None or array.nbytes > _SMALL:
        return name
    return array.dtype.str, array.shape, array.tobytes()


def _signature(editor: Editor, node: Node) -> Any:
    """What decides a node's value; None where attributes cannot be compared."""
    attrs: list[tuple[object, ...]] = []
    for name, value in sorted(node.attrs.items()):
        if isinstance(value, np.ndarray):
            attrs.append((name, value.dtype.str, value.shape, value.tobytes()))
        elif isinstance(value, (int, float, str)):
            attrs.append((name, value))
        elif isinstance(value, list):
            attrs.append((name, tuple(value)))
        else:
            return None
    return node.op, node.domain, tuple(attrs), tuple(operand(editor, i) for i in node.inputs)


def find(editor: Editor, node: Node) -> Outcome:
    """A node for which an earlier one has the same operator, attributes and operands."""
    if node.op in _RANDOM or not node.inputs or any(o in editor.outputs for o in node.outputs):
        return None
    first = next((i for i in node.inputs if i and i not in editor.constants), None)
    if first is None:
        return None
    twins = [
        n for n in editor.consumers(first)
        if n is not node and n.op == node.op and len(n.outputs) == len(node.outputs)
    ]  # fmt: skip
    if not twins or (mine := _signature(editor, node)) is None:
        return None
    order = editor.sorted()
    at = order.index(node)
    same = [n for n in twins if order.index(n) < at and _signature(editor, n) == mine]
    if not same:
        return None
    kept = same[0]

    def apply() -> None:
        results = {o: k for o, k in zip(node.outputs, kept.outputs, strict=True) if o}
        Builder(editor, like=node).commit([node], results)

    return Change(apply, nodes=(kept, node))


RULE = Rule(
    name="computed-twice",
    set="faster",
    exactness="exact",
    why="what is computed twice is computed once",
    roots=(),
    find=find,
    order=5,
)
