"""Differences of a filter's result: keep the result around 0, where FP16 is finer.

A blur of bytes lies around 128, where FP16 steps by 1/8; its gradient, a difference of neighbours,
inherits that step however small the gradient is. A filter whose weights add up to zero does not
see a constant, so the blur can be stored less its middle: the bias costs no stage, and the steps
are two to eight times smaller. Zeros around it become its middle less. Nothing is gained in time.
"""

from __future__ import annotations

import numpy as np

from ...bounds import FP16_MAX, bounds
from ...builder import Builder
from ...editor import Array, Editor
from ...node import Node
from ..patterns import REPEATING, pad_fill
from ..rule import Approx, Change, Outcome, Rule

_MOVES = frozenset({"Reshape", "Transpose", "Slice", "Squeeze", "Unsqueeze", "Identity"})
_WORTH = 0.75
_MOST_NODES = 32
_ROUNDING = 0.01
"""FP16 units of the filter's result: FP32 rounds the shifted values otherwise."""


def _sees_no_constant(editor: Editor, node: Node) -> bool:
    """Whether a convolution's weights add up to exactly zero in FP16."""
    weights = editor.constant(node.inputs[1])
    if weights is None:
        return False
    if node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return False
    half = weights.astype(np.float16).astype(np.float64)
    return bool(np.all(half.reshape(len(half), -1).sum(axis=1) == 0))


def _between(editor: Editor, node: Node) -> tuple[list[Node], list[Node]] | None:
    """What moves a filter's pixels, and the convolutions at the ends; None if it is read else."""
    moves: list[Node] = []
    ends: list[Node] = []
    pending = [node.output]
    while pending:
        value = pending.pop()
        if value in editor.outputs or len(moves) > _MOST_NODES:
            return None
        for reader in editor.consumers(value):
            if value in reader.inputs[1:]:
                return None
            if reader.op == "Conv" and _sees_no_constant(editor, reader):
                ends.append(reader)
            elif reader.op in _MOVES or (
                reader.op == "Pad" and pad_fill(editor, reader) is not None
            ):
                moves.append(reader)
                pending.append(reader.output)
            else:
                return None
    return (moves, ends) if ends else None


def find(editor: Editor, node: Node) -> Outcome:
    """A convolution whose result nothing but differences is made of."""
    if not editor.is_float(node.output) or editor.constant(node.inputs[1]) is None:
        return None
    bias = editor.constant(node.input(2)) if node.input(2) else None
    if node.input(2) and bias is None:
        return None
    known = bounds(editor, node.output)
    if not known.finite or known.high <= known.low or known.magnitude > FP16_MAX:
        return None
    # in FP16 as in the bias, so that the border gets the same number
    middle = float(np.float16((known.low + known.high) / 2))
    if (known.high - known.low) / 2 > _WORTH * known.magnitude:
        return None
    found = _between(editor, node)
    if found is None:
        return None
    moves, ends = found

    def apply() -> None:
        _apply(editor, node, bias, middle, moves, ends)

    exactness = Approx(_ROUNDING, floor=max(known.magnitude, 2.0**-14))
    return Change(apply, nodes=(node, *moves, *ends), exactness=exactness)


def _apply(
    editor: Editor,
    node: Node,
    bias: Array | None,
    middle: float,
    moves: list[Node],
    ends: list[Node],
) -> None:
    b = Builder(editor, like=node)
    weights = editor.constants[node.inputs[1]]
    before = np.zeros(len(weights), np.float32) if bias is None else bias
    shifted = (before - middle).astype(np.float32)
    made = {node.output: b.op("Conv", *node.inputs[:2], shifted, **node.attrs)}
    results: dict[str, str] = {}
    order = editor.sorted()
    for reader in sorted([*moves, *ends], key=order.index):
        b.like = reader
        source, attrs = made[reader.inputs[0]], reader.attrs
        rest: list[str | float | None] = [i or None for i in reader.inputs[1:]]
        if reader.op == "Pad" and attrs.get("mode", "constant") not in REPEATING:
            rest = [rest[0], (pad_fill(editor, reader) or 0.0) - middle, *rest[2:]]
        elif reader in ends and any(attrs.get("pads", ())):
            pads = list(attrs["pads"])
            axes = len(pads) // 2  # a convolution may have one axis, or three
            source = b.pad(source, [0, 0, *pads[:axes], 0, 0, *pads[axes:]], -middle)
            attrs = attrs | {"pads": [0] * len(pads)}
        value = b.op(reader.op, source, *rest, **attrs)
        (results if reader in ends else made)[reader.output] = value
    b.commit([node, *moves, *ends], results)


RULE = Rule(
    "centred-filter", "faster", Approx(_ROUNDING),
    "what only differences are taken of is kept around 0, where FP16 is finer",
    ("Conv",), find, order=90,
)  # fmt: skip
