"""Comparisons and logic that the compiler lacks.

It takes Greater, Less, Equal, Not and And, and refuses GreaterOrEqual, LessOrEqual, Or and Xor
(docs/blob-format.md section 8). Masks are S32 on the chip, so a cast to int32 and back costs no
stage and a maximum of two masks is one.
"""

from __future__ import annotations

import math

import numpy as np

from ...bounds import certain
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule

_OPPOSITE = {"GreaterOrEqual": "Less", "LessOrEqual": "Greater"}


def find_not_strict(editor: Editor, node: Node) -> Outcome:
    """a >= b is 1 - (a < b); with a NaN the one is false and the other true."""

    def apply() -> None:
        b = Builder(editor, like=node)
        strict = b.op(_OPPOSITE[node.op], *node.inputs)
        b.commit([node], {node.output: b.op("Not", strict)})

    return Change(apply, nodes=(node,))


def find_or(editor: Editor, node: Node) -> Outcome:
    """Or is the maximum of two masks; Xor is that they differ."""

    def apply() -> None:
        b = Builder(editor, like=node)
        if node.op == "Xor":
            result = b.op("Not", b.op("Equal", *node.inputs))
        else:
            masks = [b.cast(i, np.int32) for i in node.inputs]
            result = b.cast(b.op("Max", *masks), np.bool_)
        b.commit([node], {node.output: result})

    return Change(apply, nodes=(node,))


def find_infinite(editor: Editor, node: Node) -> Outcome:
    """A comparison with an infinity or NaN that bounds decide."""
    for index in (0, 1):
        limit, other = editor.scalar(node.inputs[index]), node.inputs[1 - index]
        constant = editor.constant(node.inputs[index])
        if constant is not None and constant.size and np.isnan(constant.astype(float)).all():
            limit = math.nan
        shape = editor.shape(node.output)
        if limit is None or math.isfinite(limit) or shape is None:
            continue
        if not math.isnan(limit) and not certain(editor, other).finite:
            continue
        # with the constant second: x > inf, x < inf, x == inf
        greater = {"Greater": limit < 0, "Less": limit > 0, "Equal": False}[node.op]
        answer = greater if index == 1 or node.op == "Equal" else not greater
        decided = np.broadcast_to(np.array(answer and not math.isnan(limit)), shape)
        if node.output in editor.outputs:
            return None
        return Change(
            lambda a=decided: Builder(editor, like=node).commit(  # type: ignore[misc]
                [node], {node.output: editor.add_constant(a, "decided")}
            ),
            nodes=(node,),
        )
    return None


RULES = (
    Rule(
        "compare-not-strict", "needed", "exact",
        "the compiler has no >= and <=: the strict comparison, negated",
        tuple(_OPPOSITE), find_not_strict, order=20,
    ),
    Rule(
        "logic-or", "needed", "exact", "the compiler has no Or and Xor: maximum and inequality",
        ("Or", "Xor"), find_or, order=40,
    ),
    Rule(
        "compare-infinite", "needed", "exact", "a comparison with infinity, decided by bounds",
        ("Greater", "Less", "Equal"), find_infinite, order=16,
    ),
)  # fmt: skip
