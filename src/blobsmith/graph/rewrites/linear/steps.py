"""What one node does to linear forms: the operators that keep a value linear in its sources.

`step(editor, node, output, get)` gives the form of a node's output from the forms of its inputs,
or None where the node is not linear, mixes space in another way, or has operands that are not
constant. Nothing is changed here.
"""

from __future__ import annotations

from ...editor import Editor
from ...node import Node
from . import step_rows, step_space, step_values
from .form import Form
from .step import Get, Step, parted

VIEWS = step_rows.VIEWS

STEPS: dict[str, Step] = {**step_values.STEPS, **step_rows.STEPS, **step_space.STEPS}
"""Operator -> how it acts on forms."""


def step(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    """The form of one output of a node, from those of its inputs.

    Args:
        editor: the graph.
        node: the node to read.
        output: one of its outputs.
        get: the form of an input value; None if it has none.
    """
    known = STEPS.get(node.op)
    shape = editor.shape(output)
    if known is None or parted(editor, node):
        return None
    if node.domain or shape is None or not editor.is_float(output):
        return None
    found = known(editor, node, output, get)
    return found if found is None or found.shape == shape else None
