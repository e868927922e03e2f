"""Transposes around an elementwise operator that cancel each other."""

from __future__ import annotations

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule

_ELEMENTWISE = frozenset({
    "Add", "Sub", "Mul", "Div", "Min", "Max", "Pow", "Greater", "Less", "Equal", "And", "Or", "Xor",
    "Where", "Abs", "Relu", "Sqrt", "Exp", "Log", "Neg", "Reciprocal", "Sigmoid", "Tanh", "Floor",
    "Ceil", "Clip", "Erf", "Softplus", "Cast", "Not",
})  # fmt: skip


def _perm(editor: Editor, node: Node) -> list[int]:
    rank = editor.rank(node.inputs[0]) or 0
    return list(node.attrs.get("perm", range(rank)[::-1]))


def _only_renamed(shape: tuple[int, ...] | None, perm: list[int]) -> bool:
    """Whether a Transpose moves nothing but dimensions of length 1."""
    if shape is None or len(shape) != len(perm):
        return False
    moved = [p for p in perm if shape[p] != 1]
    return moved == sorted(moved)


def find(editor: Editor, node: Node) -> Outcome:
    """A Transpose of an elementwise result whose operands were transposed the other way."""
    inner = editor.producer(node.inputs[0])
    if inner is None or inner.op not in _ELEMENTWISE or editor.uses(inner.output) != 1:
        return None
    perm, rank = _perm(editor, node), editor.rank(node.inputs[0])
    back = [int(i) for i in np.argsort(perm)]
    operands: list[str | np.ndarray] = []
    before: list[Node] = []
    renamed: dict[int, str] = {}
    for name in inner.inputs:
        maker, constant = editor.producer(name), editor.constant(name)
        if not name or (constant is not None and constant.size == 1):
            operands.append(name)
        elif constant is not None and constant.ndim <= (rank or 0):
            wide = constant.reshape((1,) * ((rank or 0) - constant.ndim) + constant.shape)
            operands.append(np.ascontiguousarray(wide.transpose(perm)))
        elif maker is not None and maker.op == "Transpose" and _perm(editor, maker) == back:
            operands.append(maker.inputs[0])
            before.append(maker)
        elif _only_renamed(editor.shape(name), perm):
            renamed[len(operands)] = name
            operands.append(name)
        else:
            return None
    if not before and not renamed:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        for index, name in renamed.items():
            operands[index] = b.reshape(name, [b.shape(name)[p] for p in perm])
        made = b.op(inner.op, *(o if not isinstance(o, str) or o else None for o in operands),
                    **inner.attrs)  # fmt: skip
        b.commit([*before, inner, node], {node.output: made})

    return Change(apply, nodes=(*before, inner, node))


RULE = Rule(
    name="cancelled-transposes",
    set="faster",
    exactness="exact",
    why="transposes before and behind an elementwise operator cancel each other",
    roots=("Transpose",),
    find=find,
    order=16,
)
