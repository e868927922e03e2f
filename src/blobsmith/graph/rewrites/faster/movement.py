"""Elements that only change places: any chain of them as one Slice, Reshape and Transpose.

Cutting an image into tiles exports as dozens of Slices, Transposes and Concats; reshapes and
transposes pile up around every batched operator. Here the whole stretch is run on the numbers of
its elements, and if the result walks through its source with constant strides, that walk is
written: at most one Slice (where not everything is used) and one Transpose; Reshapes are free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Rule
from .elements import MOVING, VIEWS, Index, numbers, places, stretch

_MOST_DIMS = 6
_TRANSPOSING = frozenset({"Transpose", "DepthToSpace", "SpaceToDepth"})


@dataclass(frozen=True)
class _Walk:
    """How a value walks through its source.

    Attributes:
        starts, stops: the box of the source that is used.
        sizes: the box as dimensions, outermost first.
        order: which of them come first in the value.
    """

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    sizes: tuple[int, ...]
    order: tuple[int, ...]


def find(editor: Editor, node: Node) -> Outcome:
    """The last node of a stretch that only moves elements of one value."""
    value = node.output
    if not _ends(editor, node):
        return None
    begun = stretch(editor, node)
    if begun is None:
        return None
    sources, nodes = begun
    found = _walk(editor, sources, value, nodes)
    if found is None:
        return None
    source, walk = found
    if source in editor.constants:
        return _constant(editor, node, source, nodes)
    shape = editor.shape(source) or ()
    cut = any(walk.starts) or walk.stops != shape
    moved = list(walk.order) != sorted(walk.order)
    views = sum(n.op in VIEWS for n in nodes)
    present = len(nodes) - views + sum(n.op == "Gather" for n in nodes)  # a Slice is a view often
    needed = cut + moved
    if (present, views) <= (needed, 2 if moved else 1):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        made = source
        if cut:
            axes = [i for i, n in enumerate(shape) if walk.stops[i] - walk.starts[i] < n]
            made = b.slice(
                made, axes, [walk.starts[i] for i in axes], [walk.stops[i] for i in axes]
            )
        if moved:
            made = b.transpose(b.reshape(made, walk.sizes), walk.order)
        b.commit(list(nodes), {value: b.reshape(made, b.shape(value))})

    fewer = any(n.op in _TRANSPOSING for n in nodes) or not moved
    return Change(apply, nodes=nodes, by_cost=not fewer, signature=value)


def _ends(editor: Editor, node: Node) -> bool:
    if len(node.outputs) != 1 or node.domain:
        return False
    readers = editor.consumers(node.output)
    return node.output in editor.outputs or any(r.op not in MOVING for r in readers)


def _walk(
    editor: Editor, sources: dict[str, int], value: str, nodes: tuple[Node, ...]
) -> tuple[str, _Walk] | None:
    """The only source whose elements arrive, and how the value walks through it."""
    known = numbers(editor, sources, nodes)
    if known is None or not known[value].size:
        return None
    index = known[value]
    for name, first in sources.items():
        shape = editor.shape(name) or ()
        inside = first <= index.min() and index.max() < first + math.prod(shape)
        if inside:
            walk = _strides(index - first, shape)
            return None if walk is None else (name, walk)
    return None


def plain_source(editor: Editor, value: str, perm: Sequence[int]) -> str | None:
    """The value whose elements, in their order, are those of another one transposed; or None."""
    maker = editor.producer(value)
    if maker is None or maker.op not in MOVING or maker.domain:
        return None
    begun = stretch(editor, maker)
    if begun is None or len(begun[0]) != 1:
        return None
    sources, nodes = begun
    known = numbers(editor, sources, nodes)
    if known is None or len(perm) != known[value].ndim:
        return None
    [source] = sources
    there = known[value].transpose(perm).reshape(-1)
    size = math.prod(editor.shape(source) or ())
    return source if np.array_equal(there, np.arange(size)) else None


def _constant(editor: Editor, node: Node, source: str, nodes: tuple[Node, ...]) -> Outcome:
    """A stretch in which only elements of a constant arrive, if they are all the same."""
    number, dtype = editor.scalar(source), editor.dtype(source)
    if number is None or node.output in editor.outputs:
        return None
    full = np.full(editor.shape(node.output) or (), number, dtype)

    def apply() -> None:
        b = Builder(editor, like=node)
        b.commit(list(nodes), {node.output: editor.add_constant(full)})

    return Change(apply, nodes=nodes)


def _strides(index: Index, shape: tuple[int, ...]) -> _Walk | None:
    """The walk of an array of element numbers through an array of the given shape."""
    at = places(index, shape)
    box_low = [int(p.min()) for p in at]
    box_high = [int(p.max()) + 1 for p in at]
    box = tuple(h - lo for lo, h in zip(box_low, box_high, strict=True))
    if math.prod(box) != index.size:
        return None
    inside = np.zeros_like(index)
    for place, low, size in zip(at, box_low, box, strict=True):
        inside = inside * size + (place - low)
    dims = _dims(inside)
    if dims is None:
        return None
    by_stride = sorted(range(len(dims)), key=lambda i: -dims[i][1])
    expected = index.size
    for i in by_stride:
        size, stride = dims[i]
        if stride * size != expected:
            return None
        expected = stride
    if expected != 1 or len(dims) > _MOST_DIMS:
        return None
    order = tuple(by_stride.index(i) for i in range(len(dims)))
    sizes = tuple(dims[i][0] for i in by_stride)
    return _Walk(tuple(box_low), tuple(box_high), sizes, order)


def _dims(index: Index) -> list[tuple[int, int]] | None:
    """(size, stride) of each dimension, split where one axis walks in two steps; None: no walk."""
    total: Index = np.zeros((), np.int64)
    dims: list[tuple[int, int]] = []
    for axis, size in enumerate(index.shape):
        line = np.moveaxis(index, axis, 0).reshape(size, -1)[:, 0]
        total = total[..., None] + line
        if size > 1:
            split = _split(line)
            if split is None:
                return None
            dims.extend(split)
    if not np.array_equal(total, index):
        return None
    merged: list[tuple[int, int]] = []
    for size, stride in dims:
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    return merged


def _split(line: Index) -> list[tuple[int, int]] | None:
    stride = int(line[1] - line[0])
    if stride < 1:
        return None
    steps = np.flatnonzero(np.diff(line) != stride)
    run = int(steps[0]) + 1 if steps.size else len(line)
    if len(line) % run:
        return None
    if run == len(line):
        return [(run, stride)]
    if run == 1:
        return None
    heads = line[::run]
    if not np.array_equal(heads[:, None] + stride * np.arange(run), line.reshape(-1, run)):
        return None
    outer = _split(heads)
    return None if outer is None else [*outer, (run, stride)]


RULE = Rule(
    name="moved-elements",
    set="faster",
    exactness="exact",
    why="however often elements change places, one Slice and one Transpose bring them there",
    roots=tuple(sorted(MOVING)),
    find=find,
    order=15,
)
