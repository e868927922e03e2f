"""Pads that the compiler refuses: infinite values, negative amounts, other ranks than 3 and 4.

It reads Pad with a constant value that FP16 can hold, on the last three axes of at most four
("Unsupported pad value"; docs/blob-format.md section 4.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...bounds import certain
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule

PAD_INFINITY = 60000.0
"""Stands for infinity: larger than any pixel, and FP16 holds it."""
_LARGEST = 65504.0


def infinity(editor: Editor, value: str) -> float:
    """What stands for infinity beside a value: no element of it is larger."""
    return PAD_INFINITY if certain(editor, value).magnitude <= PAD_INFINITY else _LARGEST


def amounts(editor: Editor, node: Node) -> tuple[list[int], list[int]] | None:
    """Begins and ends for every axis; None if they are not constant."""
    rank = editor.rank(node.inputs[0])
    pads = editor.ints(node.input(1)) if node.input(1) else tuple(node.attrs.get("pads", ()))
    if rank is None or pads is None:
        return None
    axes = editor.ints(node.input(3)) if node.input(3) else tuple(range(rank))
    if axes is None or len(pads) != 2 * len(axes):
        return None
    begins, ends = [0] * rank, [0] * rank
    for index, axis in enumerate(axes):
        begins[axis % rank], ends[axis % rank] = pads[index], pads[index + len(axes)]
    return begins, ends


def fill_value(editor: Editor, node: Node) -> float | None:
    """The constant that a constant pad writes; None if it is computed."""
    if not node.input(2):
        return float(node.attrs.get("value", 0.0))
    return editor.scalar(node.input(2))


def find_infinite(editor: Editor, node: Node) -> Outcome:
    """A constant pad with an infinite value."""
    if node.attrs.get("mode", "constant") != "constant":
        return None
    fill = fill_value(editor, node)
    if fill is None or not math.isinf(fill):
        return None

    shape, found = editor.shape(node.inputs[0]), amounts(editor, node)
    tests: list[Node] = []
    if shape is not None and found is not None and certain(editor, node.inputs[0]).finite:
        tests = [
            reader
            for reader in editor.consumers(node.output)
            if reader.op == "Equal"
            and any(editor.scalar(i) == fill for i in reader.inputs)
            and reader.output not in editor.outputs
        ]

    def apply() -> None:
        b = Builder(editor, like=node)
        dtype = editor.dtype(node.inputs[0]) or np.dtype(np.float32)
        value = np.array(math.copysign(infinity(editor, node.inputs[0]), fill), dtype)
        inputs = [node.inputs[0], node.inputs[1], value, node.input(3) or None]
        for test in tests:  # what asks for the padding is known: it is where the padding is
            width = list(zip(*(found or ((), ())), strict=True))
            frame = np.pad(np.zeros(shape or (), bool), width, constant_values=True)
            b.commit([test], {test.output: editor.add_constant(frame, "frame")})
        b.commit([node], {node.output: b.op("Pad", *inputs, mode="constant")})

    return Change(apply, nodes=(*tests, node))


def find_form(editor: Editor, node: Node) -> Outcome:
    """Negative amounts, axes as an input, an empty value, ranks and axes the compiler refuses."""
    found = amounts(editor, node)
    shape = editor.shape(node.inputs[0])
    if found is None or shape is None:
        return Refused("its amounts are not constant")
    begins, ends = found
    mode = str(node.attrs.get("mode", "constant"))
    if editor.dtype(node.inputs[0]) != np.float32:
        return None
    plain = (
        all(v >= 0 for v in (*begins, *ends))
        and _accepted(begins, ends)
        and mode in ("constant", "reflect", "edge")
        and not node.input(3)
        and not (len(node.inputs) > 2 and not node.inputs[2])
    )
    if plain:
        return None
    fill = fill_value(editor, node) if mode == "constant" else 0.0
    if fill is None:
        return Refused("its value is computed")
    known_fill = fill

    def apply() -> None:
        b = Builder(editor, like=node)
        value = _cropped(b, node.inputs[0], begins, ends)
        low, high = [max(v, 0) for v in begins], [max(v, 0) for v in ends]
        b.commit([node], {node.output: padded(b, value, low, high, known_fill, mode)})

    return Change(apply, nodes=(node,))


def _accepted(begins: Sequence[int], ends: Sequence[int]) -> bool:
    axes = [i for i, (a, b) in enumerate(zip(begins, ends, strict=True)) if a or b]
    return len(begins) in (3, 4) and 0 not in axes


def _cropped(b: Builder, value: str, begins: Sequence[int], ends: Sequence[int]) -> str:
    shape = b.shape(value)
    axes = [i for i in range(len(shape)) if begins[i] < 0 or ends[i] < 0]
    if not axes:
        return value
    starts = [max(-begins[i], 0) for i in axes]
    stops = [shape[i] - max(-ends[i], 0) for i in axes]
    return b.slice(value, axes, starts, stops)


def padded(
    b: Builder,
    value: str,
    begins: Sequence[int],
    ends: Sequence[int],
    fill: float = 0.0,
    mode: str = "constant",
) -> str:
    """Pads any rank in forms that the compiler takes; amounts are not negative."""
    shape = list(b.shape(value))
    axes = [i for i in range(len(shape)) if begins[i] or ends[i]]
    if not axes:
        return value
    if mode == "wrap":
        for axis in axes:
            value = _wrapped(b, value, axis, begins[axis], ends[axis])
        return value
    if _accepted(begins, ends):
        return b.pad(value, [*begins, *ends], fill, mode)
    while axes:
        last = axes.pop()
        group = [last]
        if axes and axes[-1] == last - 1:
            group.insert(0, axes.pop())
        first = group[0]
        lead = [1, math.prod(shape[:first])]
        middle = [shape[i] for i in group]
        if len(group) == 1:
            tail = [math.prod(shape[last + 1 :])]
            flat, at = [*lead, *middle, *tail], [2]
        elif last == len(shape) - 1:
            flat, at = [*lead, *middle], [2, 3]
        else:
            axes.append(group.pop(0))
            flat, at = [1, math.prod(shape[:last]), shape[last], math.prod(shape[last + 1 :])], [2]
        amount = [0] * 8
        for position, axis in zip(at, group, strict=True):
            amount[position], amount[position + 4] = begins[axis], ends[axis]
        value = b.pad(b.reshape(value, flat), amount, fill, mode)
        for axis in group:
            shape[axis] += begins[axis] + ends[axis]
        value = b.reshape(value, shape)
    return value


def _wrapped(b: Builder, value: str, axis: int, begin: int, end: int) -> str:
    length = b.shape(value)[axis]
    parts = []
    if begin:
        parts.append(b.slice(value, axis, length - begin, length))
    parts.append(value)
    if end:
        parts.append(b.slice(value, axis, 0, end))
    return b.concat(parts, axis)


RULES = (
    Rule(
        "pad-infinite", "needed", "reorder", "an infinite pad becomes the largest that FP16 takes",
        ("Pad",), find_infinite, order=6,
    ),
    Rule(
        "pad-form", "needed", "exact", "pads in the forms that the compiler reads",
        ("Pad",), find_form, order=30,
    ),
)  # fmt: skip
