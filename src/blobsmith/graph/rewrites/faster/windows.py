"""Reductions over windows that were cut out one by one: a pool, or a filter.

`image.unfold(2, 3, 1).unfold(3, 3, 1).amax((-2, -1))` exports as a Slice for each place in the
window, stacked along new axes, and a reduction over these; so does Kornia 0.8's morphology. What
is reduced is run on the numbers of its elements: where each is the source's pixels, shifted, the
largest is a max pool, and a sum or mean a filter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import axes_of
from ..rule import Change, Outcome, Rule
from .elements import MOVING, Index, numbers, stretch
from .morphology import Shift, Window, cover, pooled

_KINDS = {"ReduceMax": "Max", "ReduceMin": "Min", "ReduceSum": "Sum", "ReduceMean": "Mean"}
_MOST_ELEMENTS = 1 << 24
_LARGEST = 15


@dataclass(frozen=True)
class _Cut:
    """What a reduction reads: a row of element numbers of one value for each result."""

    source: str
    rows: Index
    nodes: tuple[Node, ...]


def find(editor: Editor, node: Node) -> Outcome:
    """The last reduction over the axes of a window."""
    kind = _KINDS[node.op]
    if not editor.is_float(node.output) or _goes_on(editor, node):
        return None
    cut = _cut(editor, node)
    if cut is None or not 3 <= cut.rows.shape[1] <= _LARGEST**2:
        return None
    window = _window(editor, cut)
    if window is None:
        return None
    rectangles = cover(window.shifts)
    whole = len(window.shifts) == cut.rows.shape[1]
    filtering = kind in ("Sum", "Mean")
    if rectangles is None or (filtering and not (whole and len(rectangles) == 1)):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        made = _filtered(b, window, kind) if filtering else pooled(b, window, rectangles, kind)
        b.commit([*cut.nodes, node], {node.output: b.reshape(made, b.shape(node.output))})

    return Change(
        apply,
        nodes=(*cut.nodes, node),
        exactness="reorder" if filtering else None,
        by_cost=True,
        signature=node.output,
    )


def _goes_on(editor: Editor, node: Node) -> bool:
    """Whether the result is, moved at most, reduced once more in the same way."""
    value = node.output
    while editor.uses(value) == 1 and (readers := editor.consumers(value)):
        if readers[0].op == node.op:
            return True
        if readers[0].op not in MOVING or readers[0].domain:
            return False
        value = readers[0].output
    return False


def _cut(editor: Editor, node: Node) -> _Cut | None:
    """What a reduction reads, through a reduction of the same kind before it."""
    value, axes = node.inputs[0], axes_of(editor, node)
    shape, maker = editor.shape(value), editor.producer(value)
    if shape is None or not axes or maker is None or math.prod(shape) > _MOST_ELEMENTS:
        return None
    if maker.op in MOVING and not maker.domain:
        begun = stretch(editor, maker)
        if begun is None or len(begun[0]) != 1:
            return None
        [source], nodes = begun
        known = numbers(editor, begun[0], nodes)
        if known is None:
            return None
        index = known[value]
    elif maker.op == node.op:
        source, nodes = value, ()
        index = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
    else:
        return None
    count = math.prod(shape[axis] for axis in axes)
    rows = np.moveaxis(index, axes, range(-len(axes), 0)).reshape(-1, count)
    before = editor.producer(source)
    if before is None or before.op != node.op:
        return _Cut(source, rows, nodes)
    inner = _cut(editor, before)
    if inner is None or rows.size * inner.rows.shape[1] > _MOST_ELEMENTS:
        return None
    return _Cut(
        inner.source, inner.rows[rows].reshape(len(rows), -1), (*inner.nodes, before, *nodes)
    )


def _window(editor: Editor, cut: _Cut) -> Window | None:
    """The shifts, if every column of numbers is the same picture of the source, shifted."""
    shape = editor.shape(cut.source)
    if shape is None or len(shape) < 2:
        return None
    height, width = shape[-2:]
    planes, first = math.prod(shape[:-2]), cut.rows[:, 0]
    if not planes or len(first) % planes:
        return None
    steps = np.flatnonzero(np.diff(first[:width]) != 1)
    columns = int(steps[0]) + 1 if len(steps) else width
    lines = len(first) // planes // columns
    if lines * columns * planes != len(first):
        return None
    pixels = np.arange(planes * height * width, dtype=np.int64).reshape(planes, height, width)
    picture = pixels[:, :lines, :columns].reshape(-1)
    offsets = cut.rows[0] - picture[0]
    if not np.array_equal(cut.rows, picture[:, None] + offsets):
        return None
    shifts: set[Shift] = {(int(o) // width, int(o) % width) for o in offsets}
    if any(y < 0 or y + lines > height or x + columns > width for y, x in shifts):
        return None
    return Window(cut.source, frozenset(shifts), (lines, columns))


def _filtered(b: Builder, window: Window, kind: str) -> str:
    """The sum or mean of a rectangle, as a convolution of every channel by itself."""
    shape = b.shape(window.source)
    channels = math.prod(shape[:-2])
    image = b.reshape(window.source, (1, channels, *shape[-2:]))
    top, left = min(y for y, _ in window.shifts), min(x for _, x in window.shifts)
    rows = max(y for y, _ in window.shifts) - top + 1
    columns = max(x for _, x in window.shifts) - left + 1
    image = b.slice(
        image, [2, 3], [top, left],
        [top + window.size[0] + rows - 1, left + window.size[1] + columns - 1],
    )  # fmt: skip
    weight = 1.0 if kind == "Sum" else 1 / (rows * columns)
    weights = np.full((channels, 1, rows, columns), weight, np.float32)
    return b.op("Conv", image, weights, group=channels)


RULE = Rule(
    name="unfolded-windows",
    set="faster",
    exactness="exact",
    why="a reduction over windows cut out one by one is a pool, or a filter",
    roots=tuple(_KINDS),
    find=find,
    order=12,
)
