"""Transposes around elementwise operators that cancel each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule
from .movement import plain_source

_ELEMENTWISE = frozenset({
    "Add", "Sub", "Mul", "Div", "Min", "Max", "Pow", "Greater", "Less", "Equal", "And", "Or", "Xor",
    "Where", "Abs", "Relu", "Sqrt", "Exp", "Log", "Neg", "Reciprocal", "Sigmoid", "Tanh", "Floor",
    "Ceil", "Clip", "Erf", "Softplus", "Cast", "Not",
})  # fmt: skip


_DEEPEST = 20


def _perm(editor: Editor, node: Node) -> list[int]:
    rank = editor.rank(node.inputs[0]) or 0
    return list(node.attrs.get("perm", range(rank)[::-1]))


def _only_renamed(shape: tuple[int, ...] | None, perm: list[int]) -> bool:
    """Whether a Transpose moves nothing but dimensions of length 1."""
    if shape is None or len(shape) != len(perm):
        return False
    moved = [p for p in perm if shape[p] != 1]
    return moved == sorted(moved)


@dataclass
class _Sunk:
    """What a Transpose would have to read if the operators before it worked on its result.

    Attributes:
        old: the nodes that are written again, in topological order.
        gone: how many Transposes are no longer needed.
    """

    perm: list[int]
    old: list[Node] = field(default_factory=list)
    gone: int = 0

    def fits(self, editor: Editor, value: str) -> bool:
        """Whether the value can be had transposed without a Transpose; counts what is needed."""
        constant, maker = editor.constant(value), editor.producer(value)
        rank = len(self.perm)
        if not value or constant is not None:
            return constant is None or constant.size == 1 or constant.ndim <= rank
        source = self._plain(editor, value)
        if source is not None:
            self.gone += 1
            return True
        if maker is None or maker.op not in _ELEMENTWISE or editor.uses(value) != 1:
            return False
        if len(self.old) > _DEEPEST or not all(self.fits(editor, name) for name in maker.inputs):
            return False
        self.old.append(maker)
        return True

    def _plain(self, editor: Editor, value: str) -> str | None:
        """The value that this one, transposed, is but another shape of."""
        if _only_renamed(editor.shape(value), self.perm):
            return value
        return plain_source(editor, value, self.perm)

    def write(self, b: Builder, value: str) -> str | np.ndarray[Any, Any] | None:
        """The value, transposed."""
        constant, maker = b.editor.constant(value), b.editor.producer(value)
        if not value:
            return None
        if constant is not None:
            if constant.size == 1:
                return value
            wide = constant.reshape((1,) * (len(self.perm) - constant.ndim) + constant.shape)
            return np.ascontiguousarray(wide.transpose(self.perm))
        source = self._plain(b.editor, value)
        if source is not None:
            shape = b.shape(value)
            return b.reshape(source, [shape[p] for p in self.perm])
        assert maker is not None
        return b.op(maker.op, *(self.write(b, name) for name in maker.inputs), **maker.attrs)


def find(editor: Editor, node: Node) -> Outcome:
    """A Transpose of an elementwise result whose operands were transposed the other way."""
    inner = editor.producer(node.inputs[0])
    if inner is None or inner.op not in _ELEMENTWISE:
        return None
    sunk = _Sunk(_perm(editor, node))
    if not sunk.fits(editor, node.inputs[0]) or not sunk.gone:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        made = sunk.write(b, node.inputs[0])
        assert isinstance(made, str)
        b.commit([*sunk.old, node], {node.output: made})

    return Change(apply, nodes=(*sunk.old, node))


RULE = Rule(
    name="cancelled-transposes",
    set="faster",
    exactness="exact",
    why="transposes before and behind elementwise operators cancel each other",
    roots=("Transpose",),
    find=find,
    order=16,
)
