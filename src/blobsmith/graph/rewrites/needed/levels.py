"""Distances of pixels from levels that FP16 does not hold, measured with a fine ruler.

A soft histogram weighs (pixel - centre) / width. Near 200, FP16 holds a centre to a sixteenth, and
behind the division by a small width that is an error of a per cent. Pixels are whole numbers, so
the distance to the nearest whole number is exact, and the rest is a small number with its digits.
"""

from __future__ import annotations

import numpy as np

from ...bounds import FP16_EXACT_INTEGERS, bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule
from .weights import apart

_LEAST_FACTOR = 1 / 32
_LEAST_ERROR = 2.0**-7


def _magnified(editor: Editor, value: str) -> bool:
    """Whether a reader multiplies by so much that a coarse difference shows."""
    for reader in editor.consumers(value):
        if reader.op in ("Pow", "Mul") and set(reader.inputs) == {value}:
            return True
        if reader.op == "Pow":
            return True
        number = editor.scalar(reader.inputs[1]) if len(reader.inputs) > 1 else None
        if reader.op == "Mul" and number is not None and abs(number) >= _LEAST_FACTOR:
            return True
        if reader.op == "Div" and number is not None and 0 < abs(number) <= 1 / _LEAST_FACTOR:
            return True
    return False


def find(editor: Editor, node: Node) -> Outcome:
    """A whole number minus constants between the numbers that FP16 holds."""
    value, levels = node.inputs[0], editor.constant(node.inputs[1])
    if levels is None or levels.dtype != np.float32 or levels.size < 2:
        return None
    known = bounds(editor, value)
    if not known.exact_in_fp16 or np.abs(levels).max() > FP16_EXACT_INTEGERS:
        return None
    lost = np.abs(levels - levels.astype(np.float16).astype(np.float32))
    inside = (levels >= known.low) & (levels <= known.high)
    if not inside.any() or lost[inside].max() < _LEAST_ERROR or not _magnified(editor, node.output):
        return None
    whole = np.rint(levels)

    def apply() -> None:
        b = Builder(editor, like=node)
        # the compiler would add the two constants up, and round their sum
        near = apart(b, b.op("Sub", value, whole), positive=False)
        rest = b.op("Sub", near, (levels - whole).astype(np.float32))
        b.commit([node], {node.output: rest})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "between-levels", "needed", "reorder",
        "a pixel's distance from levels that FP16 does not hold, in two exact steps",
        ("Sub",), find, order=45,
    ),
)  # fmt: skip
