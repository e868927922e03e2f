"""float64 and float16 inside a graph: everything is computed in float32 here, and in FP16 there.

The compiler has no float64. torch makes one wherever numpy or a Python number in a tensor was at
work, and the exporters cast to it for IsInf.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from ...editor import Editor
from ...node import Node
from ..rule import Approx, Change, Outcome, Rule

_OTHER = (np.dtype(np.float64), np.dtype(np.float16))
_CODES = (TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def _is_other(editor: Editor, value: str) -> bool:
    return editor.dtype(value) in _OTHER


def find(editor: Editor, node: Node) -> Outcome:
    """Any node that makes a float of another width; all of them are changed at once."""
    if not any(_is_other(editor, o) for o in node.outputs if o):
        return None
    if any(_is_other(editor, name) for name in (*editor.inputs, *editor.outputs)):
        return None
    touched = [
        n
        for n in editor.sorted()
        if any(_is_other(editor, v) for v in (*n.inputs, *n.outputs) if v)
    ]

    def apply() -> None:
        for name, array in list(editor.constants.items()):
            if array.dtype in _OTHER:
                editor.constants[name] = array.astype(np.float32)
        for old in touched:
            attrs = dict(old.attrs)
            if old.op == "Cast" and attrs["to"] in _CODES:
                attrs["to"] = TensorProto.FLOAT
            for key, value in attrs.items():
                if isinstance(value, np.ndarray) and value.dtype in _OTHER:
                    attrs[key] = value.astype(np.float32)
            editor.retype(old, attrs)

    return Change(apply, nodes=tuple(touched))


RULES = (
    Rule(
        "single-precision", "needed", Approx(1.0), "float64 and float16 are computed in float32",
        (), find, order=5,
    ),
)  # fmt: skip
