"""IsNaN and IsInf: decided where bounds show that a value is finite, else by comparison.

The compiler reads neither operator. A NaN is the only value that differs from itself; an infinity
is the only one beyond FP16's largest number.
"""

from __future__ import annotations

import numpy as np

from ...bounds import FP16_MAX, certain
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule


def find(editor: Editor, node: Node) -> Outcome:
    """IsNaN or IsInf of anything with a static shape."""
    source = node.inputs[0]
    shape = editor.shape(source)
    if shape is None:
        return None
    known = certain(editor, source)
    possible = known.nan if node.op == "IsNaN" else not (abs(known.magnitude) <= FP16_MAX)
    if not possible:
        never = np.broadcast_to(np.array(False), shape)
        return Change(
            lambda: Builder(editor, like=node).commit(
                [node], {node.output: editor.add_constant(never, "never")}
            ),
            nodes=(node,),
        )

    def apply() -> None:
        b = Builder(editor, like=node)
        if node.op == "IsNaN":
            result = b.op("Not", b.op("Equal", source, source))
        elif not node.attrs.get("detect_negative", 1):
            result = b.op("Greater", source, FP16_MAX)
        elif not node.attrs.get("detect_positive", 1):
            result = b.op("Less", source, -FP16_MAX)
        else:
            result = b.op("Greater", b.op("Abs", source), FP16_MAX)
        b.commit([node], {node.output: result})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "finite", "needed", "exact", "IsNaN and IsInf by comparison, or decided by bounds",
        ("IsNaN", "IsInf"), find, order=15,
    ),
)  # fmt: skip
