"""Integers of 8 and 16 bits, which the compiler knows at a blob's inputs only: as S32.

`mask.to(torch.uint8) * 255` and lookup tables of bytes are written as they are for a host. The
exporters put a Cast to S32 before arithmetic and one back behind it, where the value wraps around.
Bounds say whether it can; where it can, and FP16 holds it, the remainder is taken.
"""

from __future__ import annotations

import numpy as np

from ...bounds import FP16_EXACT_INTEGERS, bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule

_OPERATORS = (
    "Abs", "Add", "Clip", "Concat", "DepthToSpace", "Div", "Equal", "Expand", "Flatten", "Gather",
    "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "MaxPool", "Min", "Mul",
    "Neg", "Pad", "ReduceMax", "ReduceMin", "ReduceSum", "Relu", "Reshape", "Slice", "SpaceToDepth",
    "Split", "Squeeze", "Sub", "Sum", "Tile", "Transpose", "Unsqueeze", "Where",
)  # fmt: skip
"""Operators that compute the same on S32, apart from wrapping around."""


def _is_narrow(editor: Editor, value: str) -> bool:
    dtype = editor.dtype(value) if value else None
    return dtype is not None and dtype.kind in "iu" and dtype.itemsize < 4


def find_operator(editor: Editor, node: Node) -> Outcome:
    """An operator on narrow integers, on S32 with casts around it."""
    if not any(_is_narrow(editor, value) for value in (*node.inputs, *node.outputs)):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        inputs: list[str | None] = [
            b.cast(name, np.int32) if _is_narrow(editor, name) else (name or None)
            for name in node.inputs
        ]
        b.op(node.op, *inputs, outputs=len(node.outputs), **node.attrs)
        made = b.outputs_of_last()
        results = {
            old: b.cast(new, editor.dtype(old)) if _is_narrow(editor, old) else new
            for old, new in zip(node.outputs, made, strict=True)
            if old
        }
        b.commit([node], results)

    return Change(apply, nodes=(node,))


def find_cast(editor: Editor, node: Node) -> Outcome:
    """A cast of a cast to narrow integers, without the one between."""
    inner = editor.producer(node.inputs[0])
    if inner is None or inner.op != "Cast" or not _is_narrow(editor, inner.output):
        return None
    source = inner.inputs[0]
    kind, narrow, wanted = (editor.dtype(v) for v in (source, inner.output, node.output))
    if kind is None or narrow is None or wanted is None:
        return None
    if kind.kind == "f" and wanted.kind == "f":
        return None  # a truncation, which has a rule of its own
    known, limits = bounds(editor, source), np.iinfo(narrow)
    wraps = known.low < limits.min or known.high >= limits.max + 1
    if wraps and kind.kind == "f":
        return Refused(f"its values may leave {narrow}")
    if wraps and (limits.min < 0 or known.magnitude > FP16_EXACT_INTEGERS):
        return Refused(f"its values may wrap around in {narrow}")

    def apply() -> None:
        b = Builder(editor, like=node)
        value = source
        if wraps:
            size = np.array(limits.max + 1, np.int32)
            value = b.op("Mod", b.cast(source, np.int32), size)
        b.commit([node], {node.output: b.cast(value, wanted)})

    return Change(apply, nodes=(inner, node))


RULES = (
    Rule(
        "narrow-integers", "needed", "exact", "operators on integers of 8 and 16 bits, on S32",
        _OPERATORS, find_operator, order=19,
    ),
    Rule(
        "narrow-cast", "needed", "exact",
        "a cast through integers of 8 or 16 bits, with the remainder where they wrap around",
        ("Cast",), find_cast, order=20,
    ),
)  # fmt: skip
