"""ScatterND and ScatterElements with constant indices: what exporters make of slice assignment.

Where each element comes from is known, so the result is a Concat of Slices, a Where with a
constant mask, or one Gather from the data and the updates laid end to end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...builder import Builder
from ...editor import Array, Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule
from .pads import padded


@dataclass(frozen=True)
class _Plan:
    """Where each unit of the result comes from.

    Attributes:
        source: for each unit of the data the number of the update that lands on it, or -1.
        unit: elements of one unit; units are contiguous.
        added: the updates are added to the data instead of replacing it.
    """

    source: Array
    unit: int
    added: bool


def _plan(editor: Editor, node: Node) -> _Plan | str:
    data, indices = editor.shape(node.inputs[0]), editor.constant(node.inputs[1])
    if indices is None:
        return "its indices are computed"
    if data is None:
        return "its shape is not static"
    reduction = str(node.attrs.get("reduction", "none"))
    if reduction not in ("none", "add"):
        return f"its reduction is {reduction}"
    flat: Array
    if node.op == "ScatterND":
        depth = indices.shape[-1]
        units = data[:depth]
        rows: Array = indices.reshape(-1, depth).astype(np.int64)
        rows = np.where(rows < 0, rows + np.array(units), rows)
        flat = np.ravel_multi_index(tuple(rows.T), units) if depth else np.zeros(1, np.int64)
        unit = math.prod(data[depth:])
        source = np.full(math.prod(units), -1, np.int64)
    else:
        axis = int(node.attrs.get("axis", 0)) % len(data)
        place: list[Array] = list(np.indices(indices.shape))
        place[axis] = np.where(indices < 0, indices + data[axis], indices)
        flat = np.ravel_multi_index(tuple(p.reshape(-1) for p in place), data)
        unit, source = 1, np.full(math.prod(data), -1, np.int64)
    if reduction == "add" and np.unique(flat).size != flat.size:
        return "several updates are added to one element"
    source[flat] = np.arange(flat.size)
    return _Plan(source, unit, reduction == "add")


def find(editor: Editor, node: Node) -> Outcome:
    """A scatter whose indices are constant."""
    plan = _plan(editor, node)
    if isinstance(plan, str):
        return Refused(plan)
    shape = editor.shape(node.inputs[0]) or ()
    updates = editor.shape(node.inputs[2])
    if updates is None:
        return Refused("the shape of its updates is not static")

    def apply() -> None:
        b = Builder(editor, like=node)
        data, new = node.inputs[0], node.inputs[2]
        if plan.added:
            zeros = editor.add_constant(np.zeros(shape, editor.dtype(data)), "zeros")
            result = b.op("Add", data, _placed(b, plan, zeros, new, shape))
        else:
            result = _placed(b, plan, data, new, shape)
        b.commit([node], {node.output: result})

    return Change(apply, nodes=(node,))


def _placed(b: Builder, plan: _Plan, data: str, new: str, shape: tuple[int, ...]) -> str:
    """The data with the updates put in their places."""
    source, unit = plan.source, plan.unit
    count = math.prod(b.shape(new)) // unit
    if (source >= 0).all():
        if np.array_equal(source, np.arange(source.size)):
            return b.reshape(new, shape)
        return b.reshape(_taken(b, [new], [count], unit, source), shape)
    box = _box(source, unit, shape)
    if box is not None and np.array_equal(source[source >= 0], np.arange(count)):
        fill = b.editor.scalar(data)
        if fill is not None:
            return _framed(b, new, fill, shape, *box)
        return _in_box(b, data, new, shape, *box)
    index = np.where(source >= 0, source + source.size, np.arange(source.size))
    return b.reshape(_taken(b, [data, new], [source.size, count], unit, index), shape)


def _taken(b: Builder, values: list[str], counts: list[int], unit: int, index: Array) -> str:
    """Units gathered from values laid end to end; single elements lie along the last axis."""
    shapes = [[1, 1, n] if unit == 1 else [1, n, unit] for n in counts]
    axis = 2 if unit == 1 else 1
    flat = [b.reshape(v, s) for v, s in zip(values, shapes, strict=True)]
    return b.op("Gather", b.concat(flat, axis), index, axis=axis)


def _box(
    source: Array, unit: int, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Start and stop along every axis, if the places are a box without gaps."""
    taken = np.repeat(source >= 0, unit).reshape(shape)
    places = np.argwhere(taken)
    low, high = places.min(0), places.max(0) + 1
    if math.prod(int(v) for v in high - low) != len(places):
        return None
    return tuple(int(v) for v in low), tuple(int(v) for v in high)


def _framed(
    b: Builder, new: str, fill: float, shape: tuple[int, ...], low: tuple[int, ...],
    high: tuple[int, ...],
) -> str:  # fmt: skip
    """The updates with a frame of one value, for masks and integers by way of floats."""
    dtype = b.editor.dtype(new)
    inner = b.cast(b.reshape(new, [h - w for w, h in zip(low, high, strict=True)]), np.float32)
    after = [size - stop for size, stop in zip(shape, high, strict=True)]
    return b.cast(padded(b, inner, low, after, fill), dtype)


def _in_box(
    b: Builder, data: str, new: str, shape: tuple[int, ...], low: tuple[int, ...],
    high: tuple[int, ...],
) -> str:  # fmt: skip
    """A Concat where the box spans all axes but one; else a Where with a constant mask."""
    inner = b.reshape(new, [stop - start for start, stop in zip(low, high, strict=True)])
    cut = [i for i in range(len(shape)) if (low[i], high[i]) != (0, shape[i])]
    if len(cut) == 1:
        axis = cut[0]
        parts = [inner]
        if low[axis]:
            parts.insert(0, b.slice(data, axis, 0, low[axis]))
        if high[axis] < shape[axis]:
            parts.append(b.slice(data, axis, high[axis], shape[axis]))
        return b.concat(parts, axis)
    mask = np.zeros(shape, bool)
    mask[tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))] = True
    dtype = b.editor.dtype(data)
    after = [size - stop for size, stop in zip(shape, high, strict=True)]
    framed = b.cast(padded(b, b.cast(inner, np.float32), low, after), dtype)
    return b.op("Where", mask, framed, data)


RULES = (
    Rule(
        "scatter-constant", "needed", "exact",
        "the compiler has no ScatterND: pieces put together, or one Gather",
        ("ScatterND", "ScatterElements"), find, order=30,
    ),
)  # fmt: skip
