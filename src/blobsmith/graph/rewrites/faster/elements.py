"""Operators that only move elements, run on the numbers of the elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from ...editor import Editor
from ...node import Node

Index = npt.NDArray[np.int64]
Known = Mapping[str, Index]

_MOST_ELEMENTS = 1 << 22
_MOST_NODES = 400

VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
"""Operators that only rename dimensions."""


def run(editor: Editor, node: Node, known: Known) -> list[Index] | None:
    """What a node makes of element numbers."""
    x = known[node.inputs[0]]
    if node.op in VIEWS:
        shape = editor.shape(node.output)
        return None if shape is None else [x.reshape(shape)]
    return _RUN[node.op](editor, node, x, known)


def _transpose(editor: Editor, node: Node, x: Index, known: Known) -> list[Index]:
    return [x.transpose(node.attrs.get("perm", range(x.ndim)[::-1]))]


def _slice(editor: Editor, node: Node, x: Index, known: Known) -> list[Index] | None:
    given = [editor.ints(node.input(i)) if node.input(i) else None for i in range(1, 5)]
    starts, ends = given[0], given[1]
    missing = any(node.input(i + 1) and given[i] is None for i in range(4))
    if missing or starts is None or ends is None:
        return None
    axes = given[2] if given[2] is not None else tuple(range(len(starts)))
    steps = given[3] if given[3] is not None else (1,) * len(starts)
    cut: list[slice] = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        stop = None if step < 0 and end < -x.shape[axis] else end
        cut[axis] = slice(start, stop, step)
    return [x[tuple(cut)]]


def _concat(editor: Editor, node: Node, x: Index, known: Known) -> list[Index] | None:
    return [np.concatenate([known[name] for name in node.inputs], node.attrs["axis"])]


def _gather(editor: Editor, node: Node, x: Index, known: Known) -> list[Index] | None:
    index = editor.constant(node.inputs[1])
    return None if index is None else [np.take(x, index, node.attrs.get("axis", 0))]


def _cut(editor: Editor, node: Node, x: Index, known: Known) -> list[Index] | None:
    axis = node.attrs.get("axis", 0)
    shapes = [editor.shape(name) for name in node.outputs]
    if any(shape is None for shape in shapes):
        return None
    ends = np.cumsum([shape[axis] for shape in shapes if shape is not None])
    return list(np.split(x, ends[:-1], axis))


def _to_space(editor: Editor, node: Node, x: Index, known: Known) -> list[Index]:
    n, c, h, w = x.shape
    b = node.attrs["blocksize"]
    if node.attrs.get("mode", "DCR") == "CRD":
        parts = x.reshape(n, c // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    else:
        parts = x.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    return [parts.reshape(n, c // b**2, h * b, w * b)]


def _to_depth(editor: Editor, node: Node, x: Index, known: Known) -> list[Index]:
    n, c, h, w = x.shape
    b = node.attrs["blocksize"]
    parts = x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4)
    return [parts.reshape(n, c * b**2, h // b, w // b)]


_RUN: dict[str, Callable[[Editor, Node, Index, Known], list[Index] | None]] = {
    "Transpose": _transpose,
    "Slice": _slice,
    "Concat": _concat,
    "Gather": _gather,
    "Split": _cut,
    "DepthToSpace": _to_space,
    "SpaceToDepth": _to_depth,
}

MOVING = VIEWS | frozenset(_RUN)
"""Operators that `run` knows."""


def stretch(editor: Editor, last: Node) -> tuple[dict[str, int], tuple[Node, ...]] | None:
    """What the stretch that ends here reads, and its nodes; None if it is too large.

    Every value that is read comes with the number of its first element.
    """
    sources: dict[str, int] = {}
    found: dict[Node, None] = {}
    pending, count = [last], 0
    while pending:
        node = pending.pop()
        if node in found:
            continue
        found[node] = None
        if len(found) > _MOST_NODES:
            return None
        for value in _reads(node):
            maker, shape = editor.producer(value), editor.shape(value)
            if maker is not None and maker.op in MOVING and not maker.domain:
                pending.append(maker)
            elif value not in sources:
                if shape is None or (count := count + math.prod(shape)) > _MOST_ELEMENTS:
                    return None
                sources[value] = count - math.prod(shape)
    return sources, tuple(n for n in editor.sorted() if n in found)


def _reads(node: Node) -> list[str]:
    return list(node.inputs) if node.op == "Concat" else node.inputs[:1]


def numbers(
    editor: Editor, sources: dict[str, int], nodes: tuple[Node, ...]
) -> dict[str, Index] | None:
    """The numbers of the elements in every value of a stretch; None where it cannot be run."""
    known: dict[str, Index] = {}
    for name, first in sources.items():
        shape = editor.shape(name) or ()
        known[name] = first + np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
    for node in nodes:
        made = run(editor, node, known)
        if made is None:
            return None
        known.update(zip(node.outputs, made, strict=True))
    return known


def places(index: Index, shape: tuple[int, ...]) -> list[Index]:
    """Element numbers as positions. (numpy 2.4's unravel_index is wrong for some large arrays.)"""
    places, rest = [], index
    for size in reversed(shape):
        rest, place = np.divmod(rest, size)
        places.append(place)
    return places[::-1]
