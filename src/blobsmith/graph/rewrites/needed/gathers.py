"""Gathers by element: with constant indices one plain Gather, with computed ones a few masks.

GatherElements along a short axis compares its index with every position; the layout of the
compiler's own stage for it is known on one case only (docs/blob-format.md section 4.1).
"""

from __future__ import annotations

import math

import numpy as np

from ...bounds import FP16_EXACT_INTEGERS, bounds
from ...builder import Builder
from ...editor import Array, Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule

_SHORT = 2


def find_elements(editor: Editor, node: Node) -> Outcome:
    """GatherElements."""
    data, out = editor.shape(node.inputs[0]), editor.shape(node.output)
    if data is None or out is None:
        return Refused("its shapes are not static")
    axis = int(node.attrs.get("axis", 0)) % len(data)
    length = data[axis]
    index = editor.constant(node.inputs[1])

    def constant() -> None:
        assert index is not None
        b = Builder(editor, like=node)
        place: list[Array] = list(np.indices(index.shape))
        place[axis] = np.where(index < 0, index + length, index)
        flat = np.ravel_multi_index(tuple(p.reshape(-1) for p in place), data)
        taken = b.op("Gather", b.reshape(node.inputs[0], [math.prod(data)]), flat, axis=0)
        b.commit([node], {node.output: b.reshape(taken, out)})

    def masked() -> None:
        b = Builder(editor, like=node)
        dtype = editor.dtype(node.inputs[0])
        position = b.cast(node.inputs[1], np.float32)
        if bounds(editor, node.inputs[1]).low < 0:
            from_end = b.op("Add", position, float(length))
            position = b.op("Where", b.op("Less", position, 0.0), from_end, position)
        whole = [i for i in range(len(data)) if i != axis and data[i] != out[i]]
        source = node.inputs[0]
        if whole:
            source = b.slice(source, whole, 0, [out[i] for i in whole])
        result = ""
        for k in range(length):
            candidate = b.slice(source, axis, k, k + 1)
            if not result:
                result = b.op("Expand", candidate, b.ints(out)) if length == 1 else candidate
                continue
            chosen = b.op("Equal", position, float(k))
            result = b.op("Where", chosen, candidate, result)
        b.commit([node], {node.output: b.cast(result, dtype)})

    if index is not None:
        return Change(constant, nodes=(node,))
    if length > _SHORT:
        rows = _row_index(editor, node, axis, data, out)
        if rows:
            return Change(lambda: _take_rows(editor, node, axis, rows), nodes=(node,))
        return Change(lambda: _take_flat(editor, node, axis, data), nodes=(node,))
    return Change(masked, nodes=(node,))


def _row_index(
    editor: Editor, node: Node, axis: int, data: tuple[int, ...], out: tuple[int, ...]
) -> str:
    """The index before it was repeated along all other axes; "" if it is not such a one."""
    maker = editor.producer(node.inputs[1])
    while maker is not None and maker.op == "Cast":
        maker = editor.producer(maker.inputs[0])
    if maker is None or maker.op != "Expand":
        return ""
    shape = editor.shape(maker.inputs[0]) or ()
    shape = (1,) * (len(out) - len(shape)) + shape
    one = all(size == 1 for a, size in enumerate(shape) if a != axis) and shape[axis] == out[axis]
    same = all(data[a] == out[a] for a in range(len(out)) if a != axis)
    return maker.inputs[0] if one and same else ""


def _position(b: Builder, index: str, length: int) -> str:
    """The index as 32-bit integers, counted from the start."""
    position = b.cast(index, np.int32)
    if bounds(b.editor, index).low >= 0:
        return position
    from_end = b.op("Add", position, np.array(length, np.int32))
    return b.op("Where", b.op("Less", b.cast(position, np.float32), 0.0), from_end, position)


def _take_rows(editor: Editor, node: Node, axis: int, index: str) -> None:
    b = Builder(editor, like=node)
    out = b.shape(node.output)
    position = b.reshape(_position(b, index, b.shape(node.inputs[0])[axis]), [out[axis]])
    b.commit([node], {node.output: b.op("Gather", node.inputs[0], position, axis=axis)})


def _take_flat(editor: Editor, node: Node, axis: int, data: tuple[int, ...]) -> None:
    """One Gather from the flattened data: positions are 32-bit integers, which stay exact."""
    b = Builder(editor, like=node)
    out = b.shape(node.output)
    steps = [math.prod(data[a + 1 :]) for a in range(len(data))]
    places = np.indices(out)
    base = sum(places[a] * steps[a] for a in range(len(data)) if a != axis)
    position = _position(b, node.inputs[1], data[axis])
    if steps[axis] != 1:
        position = b.op("Mul", position, np.array(steps[axis], np.int32))
    if np.any(base):
        position = b.op("Add", position, np.asarray(base, np.int32))
    flat = b.reshape(node.inputs[0], [math.prod(data)])
    b.commit([node], {node.output: b.op("Gather", flat, position, axis=0)})


def find_nd(editor: Editor, node: Node) -> Outcome:
    """GatherND with constant indices."""
    data, index = editor.shape(node.inputs[0]), editor.constant(node.inputs[1])
    out = editor.shape(node.output)
    if index is None:
        return Refused("its indices are computed")
    if data is None or out is None or int(node.attrs.get("batch_dims", 0)):
        return Refused("its shapes are not static, or it has batch dimensions")
    depth = index.shape[-1]
    rows: Array = index.reshape(-1, depth).astype(np.int64)
    rows = np.where(rows < 0, rows + np.array(data[:depth]), rows)
    flat = np.asarray(np.ravel_multi_index(tuple(rows.T), data[:depth]))
    rest = math.prod(data[depth:])

    def apply() -> None:
        b = Builder(editor, like=node)
        units = b.reshape(node.inputs[0], [math.prod(data[:depth]), rest])
        taken = b.op("Gather", units, flat, axis=0)
        b.commit([node], {node.output: b.reshape(taken, out)})

    return Change(apply, nodes=(node,))


def find_index(editor: Editor, node: Node) -> Outcome:
    """A Gather whose computed index would have to pass through FP16 as a large integer."""
    if editor.constant(node.inputs[1]) is not None:
        return None
    maker = editor.producer(node.inputs[1])
    if maker is None or maker.op != "Cast" or not editor.is_float(maker.inputs[0]):
        return None
    reach = bounds(editor, maker.inputs[0]).magnitude
    shape = editor.shape(node.inputs[0])
    axis = int(node.attrs.get("axis", 0))
    length = shape[axis] if shape else 0
    if min(reach, length) > FP16_EXACT_INTEGERS:
        return Refused(
            f"its index reaches {min(reach, length):g} in floats; FP16 is exact up to 2048"
        )
    return None


RULES = (
    Rule(
        "gather-elements", "needed", "exact", "GatherElements as one Gather from flat data",
        ("GatherElements",), find_elements, order=30,
    ),
    Rule(
        "gather-nd", "needed", "exact", "GatherND with constant indices is a Gather of rows",
        ("GatherND",), find_nd, order=30,
    ),
    Rule(
        "gather-index", "needed", "exact", "indices stay exact", ("Gather",), find_index, order=30,
    ),
)  # fmt: skip
