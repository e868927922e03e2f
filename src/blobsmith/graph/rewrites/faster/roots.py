"""Division by a root: a product with the power -1/2, one stage less twice over.

The compiler makes a root, a reciprocal and a product of `a / sqrt(b)`; `b ** -0.5` is one stage.
A Clip between them moves before the root, with its limits squared; a lower limit that FP16 takes
for 0 is raised to one that it can hold, so that 0 / 0 stays 0.
"""

from __future__ import annotations

import math

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Approx, Change, Outcome, Rule
from .patterns import clip_limits

_SMALLEST_SQUARE = 2.0**-20


def find(editor: Editor, node: Node) -> Outcome:
    """A Div by, or Reciprocal of, a Sqrt or the Clip of one."""
    divisor = node.inputs[1] if node.op == "Div" else node.inputs[0]
    root = editor.producer(divisor)
    clip = None
    if root is not None and root.op == "Clip":
        clip, root = root, editor.producer(root.inputs[0])
    if root is None or root.op != "Sqrt" or editor.uses(divisor) != 1:
        return None
    if clip is not None and editor.uses(root.output) != 1:
        return None
    limits = clip_limits(editor, clip) if clip is not None else (0.0, math.inf)
    if limits is None or limits[0] < 0:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        value = root.inputs[0]
        if clip is not None:
            high = None if math.isinf(limits[1]) else limits[1] ** 2
            low = max(limits[0] ** 2, _SMALLEST_SQUARE) if limits[0] else None
            value = b.clip(value, low, high)
        inverse = b.op("Pow", value, -0.5)
        made = b.op("Mul", node.inputs[0], inverse) if node.op == "Div" else inverse
        old = [n for n in (root, clip, node) if n is not None]
        b.commit(old, {node.output: made})

    return Change(apply, nodes=tuple(n for n in (root, clip, node) if n is not None))


RULE = Rule(
    name="inverse-root",
    set="faster",
    exactness=Approx(0.01),
    why="dividing by a root is a product with the power -1/2",
    roots=("Div", "Reciprocal"),
    find=find,
    order=20,
)
