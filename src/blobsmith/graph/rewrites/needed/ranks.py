"""Values of fewer dimensions than what they are spread over.

The compiler lays a vector along the channels and a plane of a single image along batch and
channels, whatever axes ONNX spreads them over. It knows better of constants, except in a selection,
and of three dimensions among four.
"""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule

_SPREADING = (
    "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mod", "Sum", "Mean", "Greater", "Less",
    "GreaterOrEqual", "LessOrEqual", "Equal", "And", "Or", "Xor", "Where",
)  # fmt: skip


def _misread(editor: Editor, node: Node, name: str, rank: int) -> bool:
    """Whether the compiler spreads an operand over other axes than ONNX does."""
    shape = editor.shape(name) or ()
    if len(shape) >= rank or all(size == 1 for size in shape):
        return False
    if editor.constant(name) is not None:
        return node.op == "Where"
    return (len(shape), rank) != (3, 4) or node.op == "Where"


def find(editor: Editor, node: Node) -> Outcome:
    """An operand of several elements and lower rank than the result."""
    out = editor.shape(node.output)
    if out is None or any(editor.shape(name) is None for name in node.inputs):
        return Refused("its shapes are not static")
    wrong = [_misread(editor, node, name, len(out)) for name in node.inputs]
    if not any(wrong):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        inputs = []
        for name, changed in zip(node.inputs, wrong, strict=True):
            shape, constant = b.shape(name), editor.constant(name)
            full = (1,) * (len(out) - len(shape)) + shape
            if not changed:
                inputs.append(name)
            elif constant is not None:
                inputs.append(b.value(constant.reshape(full)))
            else:
                inputs.append(b.reshape(name, full))
        b.commit([node], {node.output: b.op(node.op, *inputs, **node.attrs)})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "full-rank", "needed", "exact",
        "an operand with all dimensions of what it is spread over", _SPREADING, find, order=40,
    ),
)  # fmt: skip
