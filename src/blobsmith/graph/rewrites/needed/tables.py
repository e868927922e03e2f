"""Rounded and steep functions of a small whole number: looked up in a table of what FP32 gives.

`(x / 255 * 255).int()` of a pixel is decided by FP32's rounding, and FP16's is another: the chip
would be off by one level wherever the quotient misses a whole number. A pixel has 256 values, so
whatever chain of scales, roundings and selections makes a level of a level is one Gather. The
curves of colour spaces (a power of 2.4) are too: their errors are what Lab and Luv are made of;
and so are angles and what else the chip has no stage for.
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
from ..rule import Change, Outcome, Refused, Rule

_STEPS = frozenset(["Floor", "Ceil", "Round"])
_LACKING = frozenset(
    ["Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh"]
)
_ALONE = frozenset(
    [
        "Abs", "Neg", "Relu", "Clip", "Sqrt", "Exp", "Log", "Reciprocal", "Sign", "Tanh", "Sigmoid",
        "Cast", "Not", "Erf", "Identity", *_STEPS, *_LACKING,
    ]
)  # fmt: skip
_TOGETHER = frozenset(
    [
        "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mod", "Where", "Greater", "Less", "Equal",
        "GreaterOrEqual", "LessOrEqual", "And", "Or", "Xor", "BitShift", "BitwiseAnd",
    ]
)  # fmt: skip
_MOVES = frozenset(["Gather", "Slice", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten"])
_EXACT_SUMS = frozenset(["Add", "Sub", "Max", "Min"])
_MOST_LEVELS = 1024
_MOST_NODES = 40
_LEAST_ELEMENTS = 64


def _elementwise(node: Node) -> bool:
    return node.op in _ALONE or node.op in _TOGETHER


def _levels(editor: Editor, value: str) -> int:
    """How many whole numbers from 0 the value may hold; 0 if it is no small whole number."""
    known = bounds(editor, value)
    if not known.integral or known.low < 0 or known.high >= _MOST_LEVELS or known.nan:
        return 0
    return int(known.high) + 1


def _number(editor: Editor, value: str) -> bool:
    """Whether a value is one constant number, wherever it stands."""
    array = editor.constant(value)
    return array is not None and (array.size == 1 or bool(np.all(array == array.flat[0])))


def _source(editor: Editor, value: str) -> tuple[str, list[Node]] | None:
    """The one small whole number that a value is a function of, and the nodes in between."""
    shape = editor.shape(value)
    pending, seen, nodes, leaf = [value], {value}, [], ""
    while pending:
        name = pending.pop()
        maker = editor.producer(name)
        if maker is None or not _elementwise(maker):
            if editor.shape(name) != shape or leaf not in ("", name) or not _levels(editor, name):
                return None
            leaf = name
            continue
        nodes.append(maker)
        if len(nodes) > _MOST_NODES:
            return None
        for read in maker.inputs:
            if read and read not in seen and not _number(editor, read):
                seen.add(read)
                pending.append(read)
    return (leaf, nodes) if leaf else None


def _inexact(editor: Editor, value: str, leaf: str) -> bool:
    """Whether FP16 may give another number than FP32 does: scales that are no powers of two."""
    if value == leaf or _number(editor, value) or not value:
        return False
    node = editor.producer(value)
    if node is None or bounds(editor, value).magnitude > _MOST_LEVELS:
        return True
    if node.op in _STEPS or node.op in ("Abs", "Neg", "Relu", "Identity", "Clip", "Cast"):
        return _inexact(editor, node.inputs[0], leaf)
    if node.op in ("Mul", "Div"):
        factor = editor.scalar(node.inputs[1])
        if factor and math.log2(abs(factor)) == int(math.log2(abs(factor))):
            return _inexact(editor, node.inputs[0], leaf)
        return True
    if node.op in _EXACT_SUMS:
        numbers = [editor.constant(i) for i in node.inputs]
        whole = all(a is None or bool(np.all(a * 8 == np.rint(a * 8))) for a in numbers)
        return not whole or any(_inexact(editor, i, leaf) for i in node.inputs)
    return True


def _is_step(editor: Editor, node: Node) -> bool:
    if node.op == "Cast":
        kind = editor.dtype(node.output)
        return kind is not None and kind.kind in "iu" and editor.is_float(node.inputs[0])
    return node.op in _STEPS


def _is_steep(editor: Editor, node: Node) -> bool:
    """A power like 2.4, which makes more of a relative error, and is computed with one more."""
    exponent = editor.scalar(node.inputs[1]) if node.op == "Pow" else None
    return exponent is not None and exponent > 1 and exponent != int(exponent)


def find(editor: Editor, node: Node) -> Outcome:
    """The end of an elementwise chain that rounds, or magnifies, what FP16 holds only nearly."""
    if not _elementwise(node) or math.prod(editor.shape(node.output) or ()) < _LEAST_ELEMENTS:
        return None
    kind = editor.dtype(node.output)
    if kind is None or kind.kind != "f":
        return None
    found = _source(editor, node.output)
    if found is None:
        return None
    leaf, nodes = found
    coarse = [n for n in nodes if _is_step(editor, n) or _is_steep(editor, n)]
    lacking = any(n.op in _LACKING for n in nodes)  # dozens of stages otherwise
    if not lacking and not any(_inexact(editor, n.inputs[0], leaf) for n in coarse):
        return None
    for reader in editor.consumers(node.output):
        wider = _source(editor, reader.output) if _elementwise(reader) else None
        if wider is not None and wider[0] == leaf:
            return None  # the chain goes on
    table = _table(editor, node.output, leaf)
    if not np.isfinite(table).all():
        return Refused("a level has no finite result")

    def apply() -> None:
        b = Builder(editor, like=node)
        index = b.cast(leaf, np.int32)
        b.commit([*reversed(nodes)], {node.output: b.op("Gather", table, index, axis=0)})

    return Change(apply, nodes=tuple(reversed(nodes)))


def find_moved(editor: Editor, node: Node) -> Outcome:
    """What the chip lacks, of a part of an image that was scaled as a whole: the part scaled."""
    value = node.inputs[0]
    move = editor.producer(value)
    while move is not None and _elementwise(move):
        rest = [i for i in move.inputs if i and not _number(editor, i)]
        if len(rest) != 1:
            return None
        value = rest[0]
        move = editor.producer(value)
    if move is None or move.op not in _MOVES or len(move.outputs) != 1:
        return None
    if any(editor.constant(i) is None for i in move.inputs[1:] if i):
        return None
    found = _source(editor, move.inputs[0])
    if found is None or not found[1]:
        return None
    leaf, nodes = found
    part = move

    def apply() -> None:
        b = Builder(editor, like=part)
        now = {leaf: b.op(part.op, leaf, *part.inputs[1:], **part.attrs)}
        for step in _ordered(editor, nodes):
            inputs: list[str | Array | None] = []
            for name in step.inputs:
                array = editor.constant(name) if name else None
                one = None if array is None else np.array(array.reshape(-1)[0])
                inputs.append(now.get(name, name or None) if one is None else one)
            now[step.output] = b.op(step.op, *inputs, **step.attrs)
        b.commit([part], {part.output: now[part.inputs[0]]})

    return Change(apply, nodes=(part, node))


def _ordered(editor: Editor, nodes: list[Node]) -> list[Node]:
    wanted = set(nodes)
    return [node for node in editor.nodes if node in wanted]


def _table(editor: Editor, value: str, leaf: str) -> Array:
    """What the chain gives for each level."""
    count, shape = _levels(editor, leaf), editor.shape(leaf) or ()
    run = session(extract(editor, [value], stop=lambda name: name == leaf).proto)
    size, kind = math.prod(shape), editor.dtype(leaf)
    parts: list[Array] = []
    for start in range(0, count, size):
        levels = (start + np.arange(size)) % count
        parts.append(run.run(None, {leaf: levels.reshape(shape).astype(kind)})[0].reshape(-1))
    return np.concatenate(parts)[:count].astype(np.float32)


RULES = (
    Rule(
        "part-before-scale", "needed", "exact",
        "a part of an image is taken before it is scaled, so that a table can hold what follows",
        tuple(sorted(_LACKING)), find_moved, order=21,
    ),
    Rule(
        "level-table", "needed", "exact",
        "a rounded or steep function of a small whole number, from a table",
        ("Floor", "Ceil", "Round", "Cast", "Mul", "Div", "Add", "Sub", "Clip", "Where", "Max",
         "Min", "Relu", "Abs", "Neg", "Pow", "Mod", *sorted(_LACKING)),
        find, order=22,
    ),
)  # fmt: skip
