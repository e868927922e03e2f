"""The same operator on neighbouring channels of one value: once, on all of them.

Gradients are computed together by one convolution; squaring them apart is a stage for each.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule
from .shared import operand

_UNARY = frozenset({
    "Abs", "Relu", "Sqrt", "Exp", "Log", "Neg", "Reciprocal", "Sigmoid", "Tanh", "Floor", "Ceil",
    "Clip", "Erf", "Softplus", "HardSwish", "LeakyRelu", "Elu",
})  # fmt: skip
_BINARY = frozenset({"Mul", "Add", "Sub", "Div", "Pow", "Max", "Min"})


@dataclass(frozen=True)
class _Part:
    """Channels first..last (exclusive) of a value (1, channels, H, W)."""

    whole: str
    first: int
    last: int


def _part(editor: Editor, value: str) -> _Part | None:
    """A value as a Slice of channels of another."""
    node = editor.producer(value)
    shape = editor.shape(value)
    if node is None or node.op != "Slice" or shape is None or len(shape) != 4:
        return None
    whole = editor.shape(node.inputs[0])
    starts, ends, axes, steps = (
        editor.ints(node.input(i)) if node.input(i) else None for i in range(1, 5)
    )
    if whole is None or starts is None or ends is None or axes != (1,) or steps not in (None, (1,)):
        return None
    first, last, _ = slice(starts[0], ends[0]).indices(whole[1])
    return _Part(node.inputs[0], first, last)


def _pattern(editor: Editor, node: Node) -> tuple[object, _Part] | None:
    """What a node does (operator, constants, how its part is used), and to which part."""
    if node.op not in _UNARY | _BINARY or node.domain or len(node.outputs) != 1:
        return None
    parts: dict[str, _Part] = {}
    uses: list[object] = []
    for name in node.inputs:
        if not name or name in editor.constants:
            number = editor.scalar(name) if name else None
            if name and (number is None or editor.constants[name].size != 1):
                return None
            uses.append(operand(editor, name) if name else "")
            continue
        part = _part(editor, name)
        if part is None:
            return None
        parts[name] = part
        uses.append(len(parts))
    if len(set(parts.values())) != 1:
        return None
    part = next(iter(parts.values()))
    attrs = tuple(sorted((k, str(v)) for k, v in node.attrs.items()))
    return (node.op, tuple(1 if isinstance(u, int) else u for u in uses), attrs), part


def find(editor: Editor, node: Node) -> Outcome:
    """The last of several nodes that do the same to neighbouring channels."""
    mine = _pattern(editor, node)
    if mine is None:
        return None
    pattern, part = mine
    alike: dict[Node, _Part] = {}
    for cut in editor.consumers(part.whole):
        for reader in editor.consumers(cut.output) if cut.op == "Slice" else ():
            other = _pattern(editor, reader)
            if other is not None and other[0] == pattern and other[1].whole == part.whole:
                alike[reader] = other[1]
    found = sorted(alike.items(), key=lambda item: item[1].first)
    if len(found) < 2 or found[-1][0] is not node:
        return None
    if any(a.last != b.first for (_, a), (_, b) in itertools.pairwise(found)):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        first, last = found[0][1].first, found[-1][1].last
        whole = part.whole
        if (first, last) != (0, b.shape(whole)[1]):
            whole = b.slice(whole, 1, first, last)
        operands = [name if not name or name in editor.constants else whole for name in node.inputs]
        made = b.op(node.op, *(o or None for o in operands), **node.attrs)
        results = {n.output: b.slice(made, 1, p.first - first, p.last - first) for n, p in found}
        b.commit([n for n, _ in found], results)

    return Change(apply, nodes=tuple(n for n, _ in found), by_cost=True, signature=node.output)


RULE = Rule(
    name="same-on-channels",
    set="faster",
    exactness="exact",
    why="the same operator on neighbouring channels is one stage on all of them",
    roots=tuple(sorted(_UNARY | _BINARY)),
    find=find,
    order=45,
)
