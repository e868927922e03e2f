"""Outputs that are an input, or another output, as they stand.

The compiler drops an operator that does nothing and, with it, the input's or the output's name
(docs/compiler.md, trap 3). A Reshape to the same shape survives as the conversion of the input.
"""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule


def find(editor: Editor, node: Node) -> Outcome:
    """An Identity between an input or output and an output."""
    source, shape = node.inputs[0], editor.shape(node.inputs[0])
    if node.output not in editor.outputs or not shape or source in editor.constants:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        b.commit([node], {node.output: b.op("Reshape", source, b.ints(shape))})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "output-of-its-own", "needed", "exact", "an output that copies a value keeps its name",
        ("Identity",), find, order=60,
    ),
)  # fmt: skip
