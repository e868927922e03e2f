"""The largest of shifted copies: max pools.

Dilation by a flat structuring element, and any local maximum, exports as a Slice for each of its
pixels and a chain of Max (or one Conv that copies shifted pixels, and ReduceMax). Over a rectangle
that is one MaxPool; other shapes are covered by a few rectangles. The smallest is the negative of
the largest of the negatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..linear.form import Form
from ..linear.trace import trace
from ..patterns import axes_of
from ..rule import Change, Outcome, Rule

_MOST_RECTANGLES = 6
_LARGEST = 15

Shift = tuple[int, int]
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True)
class Window:
    """For every pixel, the shifted pixels of one source of which the extreme is taken."""

    source: str
    shifts: frozenset[Shift]
    size: tuple[int, int]


def find(editor: Editor, node: Node) -> Outcome:
    """The last of a chain of Max or Min, or a ReduceMax or ReduceMin of shifted copies."""
    kind = "Max" if "Max" in node.op else "Min"
    readers = editor.consumers(node.output)
    if len(readers) == 1 and readers[0].op == kind and node.output not in editor.outputs:
        return None
    old: list[Node] = []
    forms = _leaves(editor, node, kind, old)
    window = _window(forms) if forms else None
    if window is None or len(window.shifts) < 3:
        return None
    shape = editor.shape(window.source)
    rectangles = cover(window.shifts)
    if shape is None or len(shape) < 2 or rectangles is None:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        result = pooled(b, window, rectangles, kind)
        b.commit(old, {node.output: b.reshape(result, b.shape(node.output))})

    return Change(apply, nodes=tuple(old), by_cost=True, signature=node.output)


def _leaves(editor: Editor, node: Node, kind: str, old: list[Node]) -> list[Form]:
    """Forms of what the extreme is taken of, one for each shift; empty if some have none."""
    if node.op == kind:
        found: list[Form] = []
        for name in node.inputs:
            maker = editor.producer(name)
            if maker is not None and maker.op == kind and editor.uses(name) == 1:
                inner = _leaves(editor, maker, kind, old)
                if not inner:
                    return []
                found += inner
            elif (form := trace(editor, name)) is not None:
                found.append(form)
            else:
                return []
        old.append(node)
        return found
    form = trace(editor, node.inputs[0])
    axes = axes_of(editor, node)
    if form is None or axes is None or len(axes) != 1 or form.flat:
        return []
    axis = axes[0]
    if axis >= len(form.lead):
        return []
    rows = np.moveaxis(np.arange(form.rows).reshape(form.lead), axis, 0).reshape(
        form.lead[axis], -1
    )
    old.append(node)
    return [
        Form(form.sources, form.channels, form.kernel[r], form.bias[r], form.y, form.x, (len(r),))
        for r in rows
    ]


def _window(forms: list[Form]) -> Window | None:
    """The shifts, if every form is its source, shifted."""
    first = forms[0]
    shifts: set[Shift] = set()
    for form in forms:
        same = form.sources == first.sources and len(form.sources) == 1
        if not same or form.rows != form.inputs or np.any(form.bias):
            return None
        if form.y.size != first.y.size or form.x.size != first.x.size:
            return None
        if form.y.stride != 1 or form.x.stride != 1:
            return None
        if form.y.outside(form.taps[0]) or form.x.outside(form.taps[1]):
            return None
        at = np.argwhere(form.kernel.any(axis=(0, 1)))
        if len(at) != 1:
            return None
        u, v = (int(i) for i in at[0])
        if not np.array_equal(form.kernel[:, :, u, v], np.eye(form.rows)):
            return None
        shifts.add((form.y.start + u, form.x.start + v))
    return Window(first.sources[0], frozenset(shifts), (first.y.size, first.x.size))


def cover(shifts: frozenset[Shift]) -> list[Rectangle] | None:
    """Rectangles (first row, first column, rows, columns) within a set that cover it, or None."""
    left = set(shifts)
    found: list[Rectangle] = []
    while left:
        best = max(_rectangles(shifts), key=lambda r: len(_pixels(r) & left))
        found.append(best)
        left -= _pixels(best)
        if len(found) > _MOST_RECTANGLES:
            return None
    return found


def _pixels(rectangle: Rectangle) -> set[Shift]:
    y, x, rows, columns = rectangle
    return {(y + i, x + j) for i in range(rows) for j in range(columns)}


def _rectangles(shifts: frozenset[Shift]) -> list[Rectangle]:
    """The rectangles within a set that start at one of its pixels and cannot grow."""
    found = []
    for y, x in sorted(shifts):
        widest = _LARGEST
        for rows in range(1, _LARGEST + 1):
            columns = 0
            while columns < widest and (y + rows - 1, x + columns) in shifts:
                columns += 1
            if not columns:
                break
            widest = columns
            found.append((y, x, rows, columns))
    return found


def pooled(b: Builder, window: Window, rectangles: list[Rectangle], kind: str) -> str:
    """The largest ("Max") or smallest ("Min") of a window's pixels, as (1, channels, H, W)."""
    shape = b.shape(window.source)
    image = b.reshape(window.source, (1, int(np.prod(shape[:-2])), *shape[-2:]))
    image = b.op("Neg", image) if kind == "Min" else image
    result = b.max([_pool(b, image, rectangle, window.size) for rectangle in rectangles])
    return b.op("Neg", result) if kind == "Min" else result


def _pool(b: Builder, image: str, rectangle: Rectangle, size: tuple[int, int]) -> str:
    y, x, rows, columns = rectangle
    h, w = b.shape(image)[2:]
    ends = (y + size[0] + rows - 1, x + size[1] + columns - 1)
    axes = [a for a, s, e, n in ((2, y, ends[0], h), (3, x, ends[1], w)) if s or e < n]
    if axes:
        image = b.slice(image, axes, [(y, x)[a - 2] for a in axes], [ends[a - 2] for a in axes])
    if rows == columns == 1:
        return image
    return b.op("MaxPool", image, kernel_shape=[rows, columns], strides=[1, 1], pads=[0, 0, 0, 0])


RULE = Rule(
    name="shifted-extremes",
    set="faster",
    exactness="exact",
    why="the largest of shifted copies of an image is a max pool",
    roots=("Max", "Min", "ReduceMax", "ReduceMin"),
    find=find,
    order=25,
)
