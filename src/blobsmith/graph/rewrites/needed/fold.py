"""Constants that a rewrite or an exporter left to be computed, and operators that do nothing.

The compiler folds some of this itself, but other rules decide by constants, and an operator that it
lacks (IsNaN) must not survive only because nobody computed it.
"""

from __future__ import annotations

import math

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..check import constant_values
from ..rule import Change, Outcome, Rule

_LARGEST = 1 << 22
_NOT_FOLDED = frozenset(
    [
        "RandomNormal",
        "RandomUniform",
        "RandomNormalLike",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
        "Loop",
        "If",
        "Scan",
        "SequenceConstruct",
        "SequenceEmpty",
        "SplitToSequence",
        "SequenceInsert",
    ]
)


def _small(editor: Editor, node: Node) -> bool:
    shapes = [editor.shape(o) for o in node.outputs if o]
    return all(s is not None and math.prod(s) <= _LARGEST for s in shapes)


def find_constant(editor: Editor, node: Node) -> Outcome:
    """A node all of whose inputs are constants, with all that follow from it."""

    def foldable(candidate: Node) -> bool:
        return (
            candidate.op not in _NOT_FOLDED
            and not candidate.captured
            and not candidate.domain
            and _small(editor, candidate)
        )

    if not foldable(node) or not all(i in editor.constants or not i for i in node.inputs):
        return None
    known: set[str] = set(editor.constants)
    chosen: list[Node] = []
    for candidate in editor.sorted():
        if foldable(candidate) and all(i in known or not i for i in candidate.inputs):
            chosen.append(candidate)
            known.update(candidate.outputs)
    inside = set(chosen)
    results = [
        o
        for n in chosen
        for o in n.outputs
        if o and (o in editor.outputs or any(c not in inside for c in editor.consumers(o)))
    ]

    def apply() -> None:
        kept = [r for r in results if r not in editor.outputs]
        found = constant_values(editor, kept)
        for name in kept:
            editor.redirect(name, editor.add_constant(found[name], name))
        editor.remove(n for n in reversed(chosen) if not any(editor.uses(o) for o in n.outputs))

    if not any(r not in editor.outputs for r in results):
        return None
    return Change(apply, nodes=tuple(chosen))


def find_shape(editor: Editor, node: Node) -> Outcome:
    """Shape or Size of a value with a static shape."""
    shape = editor.shape(node.inputs[0])
    if shape is None or node.output in editor.outputs:
        return None
    if node.op == "Size":
        array = np.array(math.prod(shape), np.int64)
    else:
        array = np.array(shape[node.attrs.get("start", 0) : node.attrs.get("end")], np.int64)
    return Change(
        lambda: Builder(editor, like=node).commit(
            [node], {node.output: editor.add_constant(array, "shape")}
        ),
        nodes=(node,),
    )


def find_nothing(editor: Editor, node: Node) -> Outcome:
    """An operator whose result is its first input."""
    source = node.inputs[0]
    if node.op == "Cast" and editor.dtype(source) != editor.dtype(node.output):
        return None
    if node.op == "Dropout" and len([o for o in node.outputs if editor.uses(o)]) > 1:
        return None
    if node.op in ("Reshape", "Expand", "Tile", "Transpose", "Slice", "Pad", "Squeeze", "Flatten"):
        if editor.shape(source) is None or editor.shape(source) != editor.shape(node.output):
            return None
        if node.op == "Transpose":
            perm = node.attrs.get("perm") or list(reversed(range(editor.rank(source) or 0)))
            moved = [p for p in perm if (editor.shape(source) or ())[p] != 1]
            if moved != sorted(moved):
                return None
        if node.op == "Slice" and any(s < 0 for s in editor.ints(node.input(4)) or (1,)):
            return None
        if node.op == "Pad" and any(editor.ints(node.input(1)) or (1,)):
            return None
    if node.op in ("Concat", "Max", "Min", "Sum", "Mean") and len(node.inputs) > 1:
        return None
    if node.output in editor.outputs and (
        editor.producer(source) is None or source in editor.outputs
    ):
        return None

    def apply() -> None:
        Builder(editor, like=node).commit([node], {node.output: source})

    return Change(apply, nodes=(node,))


def find_where(editor: Editor, node: Node) -> Outcome:
    """A Where whose condition is constant all over, or whose branches are the same."""
    condition, yes, no = node.inputs
    decided = editor.scalar(condition)
    if yes != no and decided is None:
        return None
    chosen = yes if yes == no or decided else no
    shape = editor.shape(node.output)
    if shape is None:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        result = chosen
        if editor.shape(chosen) != shape:
            array = editor.constant(chosen)
            if array is not None:
                result = editor.add_constant(np.broadcast_to(array, shape), "filled")
            else:
                result = b.op("Expand", chosen, b.ints(shape))
        b.commit([node], {node.output: result})

    if node.output in editor.outputs and editor.producer(chosen) is None:
        return None
    return Change(apply, nodes=(node,))


def find_logic(editor: Editor, node: Node) -> Outcome:
    """And, Or, Xor with a constant all over; Not of Not."""
    if node.op == "Not":
        inner = editor.producer(node.inputs[0])
        if inner is None or inner.op != "Not":
            return None
        source = inner.inputs[0]
        return Change(
            lambda: Builder(editor, like=node).commit([inner, node], {node.output: source}),
            nodes=(inner, node),
        )
    for index in (0, 1):
        decided, other = editor.scalar(node.inputs[index]), node.inputs[1 - index]
        if decided is None or editor.shape(other) != editor.shape(node.output):
            continue
        if node.op == "Xor" and decided:
            return Change(lambda v=other: _negate(editor, node, v), nodes=(node,))  # type: ignore[misc]
        keeps = bool(decided) == (node.op == "And")
        if keeps or node.op == "Xor":
            return Change(
                lambda v=other: Builder(editor, like=node).commit([node], {node.output: v}),  # type: ignore[misc]
                nodes=(node,),
            )
        shape = editor.shape(other) or ()
        full = np.broadcast_to(np.array(node.op == "Or"), shape)
        if node.output in editor.outputs:
            return None
        return Change(
            lambda a=full: Builder(editor, like=node).commit(  # type: ignore[misc]
                [node], {node.output: editor.add_constant(a, "decided")}
            ),
            nodes=(node,),
        )
    return None


def _negate(editor: Editor, node: Node, value: str) -> None:
    b = Builder(editor, like=node)
    b.commit([node], {node.output: b.op("Not", value)})


RULES = (
    Rule(
        "fold-constants", "needed", "exact", "what depends on no input is computed now",
        (), find_constant, order=10,
    ),
    Rule(
        "shape-known", "needed", "exact", "a static shape is a constant",
        ("Shape", "Size"), find_shape, order=9,
    ),
    Rule(
        "drop-nothing", "needed", "exact", "an operator that changes nothing is left out",
        ("Identity", "Cast", "Dropout", "Reshape", "Expand", "Tile", "Transpose", "Slice", "Pad",
         "Squeeze", "Flatten", "Concat", "Max", "Min", "Sum", "Mean"),
        find_nothing, order=12,
    ),
    Rule(
        "where-decided", "needed", "exact", "a Where that always chooses the same is that branch",
        ("Where",), find_where, order=11,
    ),
    Rule(
        "logic-decided", "needed", "exact", "logic with a constant is decided now",
        ("And", "Or", "Xor", "Not"), find_logic, order=11,
    ),
)  # fmt: skip
