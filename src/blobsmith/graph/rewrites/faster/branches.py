"""Choices by a comparison that are no choices: the larger or smaller of two, and guarded roots.

`where(x < c, f(x), g(x))` with straight f and g that meet at c is the smaller or larger of the two:
abs, hinge, solarize. `where(x > 0, sqrt(where(x > 0, x, 1)), 0)`, which keeps a gradient finite,
is the root of the larger of x and 0.
"""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import Affine, affine
from ..rule import Change, Outcome, Rule

_CLOSE = 1e-5


def _condition(editor: Editor, name: str) -> tuple[str, bool, float] | None:
    """(value, whether it is "greater than", number) of a comparison with a number."""
    node = editor.producer(name)
    if node is None or node.op not in ("Greater", "Less"):
        return None
    number = editor.scalar(node.inputs[1])
    if number is not None:
        return node.inputs[0], node.op == "Greater", number
    number = editor.scalar(node.inputs[0])
    return None if number is None else (node.inputs[1], node.op == "Less", number)


def _straight(editor: Editor, value: str, source: str) -> Affine | None:
    """A value as a straight line over a source, or a number as a flat one."""
    number = editor.scalar(value)
    if number is not None:
        return Affine(source, 0.0, number)
    found = affine(editor, value)
    return found if found.source == source else None


def find_lines(editor: Editor, node: Node) -> Outcome:
    """A choice between two straight lines that meet where the choice changes."""
    condition = _condition(editor, node.inputs[0])
    if condition is None:
        return None
    value, greater, number = condition
    base = affine(editor, value)
    lines = [_straight(editor, name, base.source) for name in node.inputs[1:]]
    if lines[0] is None or lines[1] is None or base.scale == 0:
        return None
    above, below = (lines[0], lines[1]) if greater == (base.scale > 0) else (lines[1], lines[0])
    at = (number - base.shift) / base.scale
    ends = [line.scale * at + line.shift for line in (above, below)]
    size = max(abs(at) * max(abs(above.scale), abs(below.scale)), *(abs(e) for e in ends), 1e-30)
    if abs(ends[0] - ends[1]) > _CLOSE * size or above.scale == below.scale:
        return None
    if not any(editor.shape(n) == editor.shape(node.output) for n in node.inputs[1:]):
        return None
    op = "Max" if above.scale > below.scale else "Min"

    def apply() -> None:
        b = Builder(editor, like=node)
        b.commit([node], {node.output: b.op(op, node.inputs[1], node.inputs[2])})

    return Change(apply, nodes=(node,))


def find_root(editor: Editor, node: Node) -> Outcome:
    """A choice between 0 and the root of a value that the same comparison made positive."""
    root = editor.producer(node.inputs[1])
    inner = editor.producer(root.inputs[0]) if root is not None and root.op == "Sqrt" else None
    condition = _condition(editor, node.inputs[0])
    if root is None or inner is None or inner.op != "Where" or condition is None:
        return None
    value, greater, number = condition
    if inner.inputs[0] != node.inputs[0] or inner.inputs[1] != value or not greater:
        return None
    if number != 0 or editor.scalar(node.inputs[2]) != 0:
        return None
    if editor.shape(value) != editor.shape(node.output):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        b.commit([inner, root, node], {node.output: b.op("Sqrt", b.op("Relu", value))})

    return Change(apply, nodes=(inner, root, node))


RULES = (
    Rule(
        "guarded-root", "faster", "exact",
        "a root that is guarded against negative values is the root of the larger of them and 0",
        ("Where",), find_root, order=20,
    ),
    Rule(
        "meeting-lines", "faster", "reorder",
        "a choice between two straight lines that meet is their maximum or minimum",
        ("Where",), find_lines, order=21,
    ),
)  # fmt: skip
