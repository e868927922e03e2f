"""Integer arithmetic that the compiler lacks: in floats, where FP16 holds every value exactly.

On S32 it has Add, Sub, Mul, Div, Max, Min, Equal, Abs, Neg and data movement, and refuses the rest
("input #0 has type S32, but FP16 is expected"). FP16 is exact for integers up to 2048; where bounds
do not show that the values stay below, the rule refuses.
"""

from __future__ import annotations

import numpy as np

from ...bounds import FP16_EXACT_INTEGERS, bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule

_IN_FLOATS = [
    "Greater", "Less", "Clip", "Sign", "Floor", "Ceil", "Round", "ReduceMax", "ReduceSum",
    "ReduceProd", "Tile", "Pad", "MaxPool", "Pow", "Mod", "ReduceMean", "CumSum", "Relu",
    "MatMul", "Conv", "Expand",
]  # fmt: skip
_UNKNOWN = 60000.0  # bounds this wide say more of the bounds than of the values
_KEEPS_DTYPE_OF_OTHERS = {"Tile": 1, "Expand": 1, "Pad": 2, "CumSum": 1, "ReduceSum": 1}


def _is_integer(editor: Editor, value: str) -> bool:
    dtype = editor.dtype(value)
    return dtype is not None and dtype.kind in "iu"


def find(editor: Editor, node: Node) -> Outcome:
    """An operator on integers that exists for floats only."""
    if not _is_integer(editor, node.inputs[0]):
        return None
    operands = [0] if node.op in _KEEPS_DTYPE_OF_OTHERS else range(len(node.inputs))
    values = [node.inputs[i] for i in operands if node.inputs[i]]
    if node.op == "Mod" and node.attrs.get("fmod", 0):
        return Refused("it is a remainder with the sign of the dividend")
    reason = _too_large(editor, node, values)
    if reason:
        return Refused(reason)
    out = editor.dtype(node.output)

    def apply() -> None:
        b = Builder(editor, like=node)
        inputs = [
            b.cast(name, np.float32) if name and i in operands else (name or None)
            for i, name in enumerate(node.inputs)
        ]
        attrs = {k: v for k, v in node.attrs.items() if k != "fmod"}
        if node.op == "Clip":
            result = _clip(b, inputs)
        elif node.op == "Pad" and node.input(2):
            inputs[2] = b.cast(node.inputs[2], np.float32)
            result = b.op("Pad", *inputs, **attrs)
        elif node.op == "Mod":
            result = _modulo(b, str(inputs[0]), str(inputs[1]))
        else:
            result = b.op(node.op, *inputs, **attrs)
        b.commit([node], {node.output: b.cast(result, out)})

    return Change(apply, nodes=(node,))


def _too_large(editor: Editor, node: Node, values: list[str]) -> str:
    """Why FP16 cannot hold the integers of this node; "" if it can, or if nothing is known."""
    results = [o for o in node.outputs if _is_integer(editor, o)]
    if node.op in ("Greater", "Less", "Clip", "Max", "Min"):
        limits = [editor.constant(v) for v in values[1:]]
        if all(a is not None and np.abs(a).max() < FP16_EXACT_INTEGERS for a in limits):
            return ""  # what lies beyond a small limit stays beyond it, however it is rounded
        results = []
    for value in (*values, *results):
        reach = bounds(editor, value).magnitude
        if FP16_EXACT_INTEGERS < reach < _UNKNOWN:
            return f"its integers reach {reach:g}; FP16 is exact up to {FP16_EXACT_INTEGERS}"
    return ""


def _clip(b: Builder, inputs: list[str | None]) -> str:
    value = str(inputs[0])
    if len(inputs) > 1 and inputs[1]:
        value = b.op("Max", value, inputs[1])
    if len(inputs) > 2 and inputs[2]:
        value = b.op("Min", value, inputs[2])
    return value


def _modulo(b: Builder, a: str, n: str) -> str:
    """a - n * floor((a + 0.5) / n): the half keeps a rounded quotient on its own side."""
    quotient = b.op("Floor", b.op("Div", b.op("Add", a, 0.5), n))
    return b.op("Sub", a, b.op("Mul", quotient, n))


def find_cast(editor: Editor, node: Node) -> Outcome:
    """A cast to an integer that stands where nothing integral is needed any more.

    Float to integer to float is a truncation; of what is an integer already it is nothing.
    """
    inner = editor.producer(node.inputs[0])
    if inner is None or inner.op != "Cast" or not _is_integer(editor, inner.output):
        return None
    if not editor.is_float(node.output):
        return None
    source = inner.inputs[0]
    kind = editor.dtype(source)
    if kind is None or kind.kind not in "fb":
        return None
    known = bounds(editor, source)
    wraps = editor.dtype(inner.output)
    if wraps is not None and wraps.itemsize < 4:
        limits = np.iinfo(wraps)
        if known.low < limits.min or known.high > limits.max:
            return Refused(f"its values may wrap around in {wraps}")

    def apply() -> None:
        b = Builder(editor, like=node)
        value = b.cast(source, np.float32)
        if known.whole and not known.integral:
            value = b.op("Round", value)
        elif not known.integral:
            if known.low >= 0:
                value = b.op("Floor", value)
            elif known.high <= 0:
                value = b.op("Ceil", value)
            else:
                up = b.op("Floor", b.op("Max", value, 0.0))
                value = b.op("Add", up, b.op("Ceil", b.op("Min", value, 0.0)))
        b.commit([node], {node.output: value})

    return Change(apply, nodes=(node,))


def find_rounding(editor: Editor, node: Node) -> Outcome:
    """A cast of what is an integer in theory, and in FP16 may have become a little less.

    Pixels divided by 255 and multiplied by 255 again are integers in FP32; of FP16's 256 results
    ten lie below, and a cast truncates.
    """
    target, source = editor.dtype(node.output), node.inputs[0]
    if target is None or target.kind not in "iu" or not editor.is_float(source):
        return None
    known = bounds(editor, source)
    maker = editor.producer(source)
    if known.integral or not known.whole or (maker is not None and maker.op == "Round"):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        b.commit([node], {node.output: b.cast(b.op("Round", source), target)})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "round-before-cast", "needed", "exact",
        "a cast that truncates is given the integer that FP16 just missed",
        ("Cast",), find_rounding, order=21,
    ),
    Rule(
        "integers-in-floats", "needed", "exact",
        "integer operators that the compiler lacks, in floats that hold the integers exactly",
        tuple(_IN_FLOATS), find, order=22,
    ),
    Rule(
        "truncation", "needed", "exact", "a cast to integers and back is a Floor, or nothing",
        ("Cast",), find_cast, order=23,
    ),
)  # fmt: skip
