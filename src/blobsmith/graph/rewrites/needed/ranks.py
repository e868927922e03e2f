"""Selections between values of fewer dimensions than the result.

The compiler lays a vector along the channels, whatever axis ONNX spreads it over; of sums and
products it knows better, of a selection it does not.
"""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule


def find(editor: Editor, node: Node) -> Outcome:
    """A Where with an operand of several elements and lower rank."""
    out = editor.shape(node.output)
    shapes = [editor.shape(name) for name in node.inputs]
    if out is None or any(shape is None for shape in shapes):
        return Refused("its shapes are not static")
    wide = [(1,) * (len(out) - len(shape or ())) + (shape or ()) for shape in shapes]
    short = [
        len(shape or ()) < len(out) and any(size != 1 for size in shape or ()) for shape in shapes
    ]
    if not any(short):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        inputs = []
        for name, shape, changed in zip(node.inputs, wide, short, strict=True):
            constant = editor.constant(name)
            if not changed:
                inputs.append(name)
            elif constant is not None:
                inputs.append(b.value(constant.reshape(shape)))
            else:
                inputs.append(b.reshape(name, shape))
        b.commit([node], {node.output: b.op("Where", *inputs)})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "where-rank", "needed", "exact",
        "a selection's operands with all dimensions of its result", ("Where",), find, order=40,
    ),
)  # fmt: skip
