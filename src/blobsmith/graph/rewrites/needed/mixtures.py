"""A quotient less a constant, where both sides of the quotient mix the channels of one picture.

a / d - c keeps few digits of a small difference. (a - c d) / d keeps all, if a - c d is one mixture
of the channels, computed at once: chromaticities against a white point are such differences.
"""

from __future__ import annotations

import math

import numpy as np

from ...bounds import bounds
from ...builder import Builder
from ...editor import Array, Editor
from ...extract import extract
from ...node import Node
from ..check import session
from ..rule import Approx, Change, Outcome, Rule
from .guards import SMALLEST, scale_for
from .scaling import lifted

_POINTWISE = frozenset(
    ["Mul", "Div", "Add", "Sub", "Neg", "Gather", "Slice", "Split", "Squeeze", "Unsqueeze", "Conv",
     "Reshape", "Identity", "Sum"]
)  # fmt: skip
_DEEPEST = 24


def _pointwise(editor: Editor, node: Node) -> bool:
    """Whether a node mixes channels linearly, pixel by pixel."""
    data = [i for i in node.inputs if i and editor.constant(i) is None]
    if node.op not in _POINTWISE or not data:
        return False
    if node.op in ("Add", "Sub", "Sum"):
        return len(data) == len(node.inputs)
    if node.op == "Conv":
        weights = editor.constant(node.inputs[1])
        return weights is not None and weights.shape[2:] == (1, 1) and len(node.inputs) == 2
    if node.op == "Gather" and (shape := editor.shape(node.inputs[0])):
        return int(node.attrs.get("axis", 0)) % len(shape) < len(shape) - 2
    return data == [node.inputs[0]] or (node.op == "Mul" and len(data) == 1)


def _sources(editor: Editor, value: str) -> set[str]:
    """Where the pointwise mixtures that make a value begin."""
    found: set[str] = set()
    pending, seen = [value], {value}
    while pending:
        name = pending.pop()
        node = editor.producer(name)
        if node is None or not _pointwise(editor, node) or len(seen) > _DEEPEST:
            found.add(name)
            continue
        for read in node.inputs:
            if read and editor.constant(read) is None and read not in seen:
                seen.add(read)
                pending.append(read)
    return found


def _mixture(editor: Editor, values: list[str], source: str) -> Array | None:
    """How much of each channel of the source each value has; None if pixels are not alike."""
    shape = editor.shape(source) or ()
    part = extract(editor, values, stop=lambda name: name == source)
    run = session(part.proto)
    columns = []
    for channel in range(shape[1]):
        picture = np.zeros(shape, np.float32)
        picture[:, channel] = 1
        answers = run.run([part.outputs[v] for v in values], {source: picture})
        if any(np.ptp(a) > 1e-5 * max(np.abs(a).max(), 1e-6) for a in answers):
            return None
        columns.append([float(a.reshape(-1)[0]) for a in answers])
    mixture: Array = np.array(columns).T
    return mixture


def find(editor: Editor, node: Node) -> Outcome:
    """Div(a, d [+ epsilon]) - constant."""
    constant, quotient = editor.scalar(node.inputs[1]), editor.producer(node.inputs[0])
    if not constant or quotient is None or quotient.op != "Div":
        return None
    over, under = quotient.inputs
    total, epsilon = under, 0.0
    guard = editor.producer(under)
    if guard is not None and guard.op in ("Add", "Max"):
        small = [i for i in (0, 1) if 0 < (editor.scalar(guard.inputs[i]) or 0.0) < 1e-3]
        if small:
            total = guard.inputs[1 - small[0]]
            epsilon = editor.scalar(guard.inputs[small[0]]) or 0.0
    if editor.constant(over) is not None or editor.constant(total) is not None:
        return None
    sources = _sources(editor, over) | _sources(editor, total)
    source = sources.pop()
    shape, out = editor.shape(source), editor.shape(over)
    if sources or shape is None or len(shape) != 4 or shape[0] != 1 or out is None:
        return None
    if source in (over, total) or math.prod(out) != math.prod(shape[2:]):
        return None
    rows = _mixture(editor, [over, total], source)
    if rows is None:
        return None
    weights = (rows[0] - constant * rows[1]).astype(np.float32)
    known = bounds(editor, total)
    factor = scale_for(known, epsilon) if epsilon and known.low >= 0 else 1.0
    least = max(epsilon * factor, SMALLEST) if epsilon and known.low >= 0 else epsilon

    def apply() -> None:
        b = Builder(editor, like=node)
        kernel = (weights * np.float32(factor)).reshape(1, -1, 1, 1)
        # where d is epsilon alone, the result is the constant alone
        rest = np.array([-constant * least], np.float32) if epsilon else None
        difference = b.reshape(b.op("Conv", source, kernel, rest, kernel_shape=[1, 1]), out)
        divisor = under
        if least != epsilon or factor != 1:
            assert guard is not None
            divisor = b.op(
                guard.op if guard.op == "Add" else "Max", lifted(b, total, factor), least
            )
        b.commit([quotient, node], {node.output: b.op("Div", difference, divisor)})

    return Change(apply, nodes=(quotient, node))


RULES = (
    Rule(
        "quotient-less-constant", "needed", Approx(1.0, of_scale=2.0**-4, flips=0.01),
        "a quotient of two mixtures less a constant: one mixture over the other",
        ("Sub",), find, order=33,
    ),
)  # fmt: skip
