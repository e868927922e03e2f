"""Steps that choose, repeat, reorder, stack and add up rows, and those that crop along the way."""

from __future__ import annotations

import numpy as np

from ...editor import Editor
from ...node import Node
from . import form as fm
from . import join
from .form import Form
from .step import Get, Step, count, reshape


def _view(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form = get(node.inputs[0])
    return form and reshape(form, editor.shape(output) or ())


def _reduce(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form = get(node.inputs[0])
    axes = _axes(editor, node, len(form.shape)) if form else None
    if form is None or axes is None or not axes or max(axes) >= len(form.lead):
        return None
    keep = node.attrs.get("keepdims", 1)
    index = np.arange(form.rows).reshape(form.lead)
    moved = np.moveaxis(index, axes, range(-len(axes), 0))
    groups = moved.reshape(-1, count(tuple(form.lead[a] for a in axes)))
    matrix = np.zeros((len(groups), form.rows))
    for row, members in enumerate(groups):
        matrix[row, members] = 1.0 if node.op == "ReduceSum" else 1.0 / groups.shape[1]
    lead = [1 if i in axes else s for i, s in enumerate(form.lead) if keep or i not in axes]
    return fm.mix(form, matrix, lead)


def _axes(editor: Editor, node: Node, rank: int) -> tuple[int, ...] | None:
    axes = node.attrs.get("axes")
    if axes is None and node.input(1):
        axes = editor.ints(node.input(1))
    return None if axes is None else tuple(sorted(int(a) % rank for a in axes))


def _gather(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form, index = get(node.inputs[0]), editor.constant(node.inputs[1])
    if form is None or index is None:
        return None
    axis = node.attrs.get("axis", 0) % len(form.shape)
    size = form.shape[axis]
    wanted = index.astype(np.int64) % size
    if axis < len(form.lead):
        rows = np.arange(form.rows).reshape(form.lead)
        taken = np.take(rows, wanted, axis)
        return fm.pick(form, taken.reshape(-1), taken.shape)
    if form.flat or wanted.ndim != 1:
        return None
    steps = set(np.diff(wanted).tolist()) or {1}
    along = "y" if axis == len(form.lead) else "x"
    if len(steps) > 1:
        return None
    return fm.crop(form, along, int(wanted[0]), len(wanted), int(steps.pop()))


def _slice(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form = get(node.inputs[0])
    if form is None:
        return None
    given = [editor.ints(node.input(i)) if node.input(i) else None for i in range(1, 5)]
    starts, ends = given[0], given[1]
    if starts is None or ends is None or (node.input(3) and given[2] is None):
        return None
    rank = len(form.shape)
    axes = given[2] if given[2] is not None else tuple(range(len(starts)))
    steps = given[3] if given[3] is not None else (1,) * len(starts)
    for start, end, axis, stride in zip(starts, ends, axes, steps, strict=True):
        axis %= rank
        inside = range(form.shape[axis])[slice(start, end, stride)]
        cut = _take(form, axis, inside)
        if cut is None:
            return None
        form = cut
    return form


def _take(form: Form, axis: int, inside: range) -> Form | None:
    """The form restricted to some positions of one dimension."""
    if not inside:
        return None
    if axis < len(form.lead):
        rows = np.take(np.arange(form.rows).reshape(form.lead), list(inside), axis)
        return fm.pick(form, rows.reshape(-1), rows.shape)
    if form.flat:
        return form if inside == range(form.shape[-1]) else None
    along = "y" if axis == len(form.lead) else "x"
    return fm.crop(form, along, inside.start, len(inside), inside.step)


def _split(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form = get(node.inputs[0])
    if form is None:
        return None
    axis = node.attrs.get("axis", 0) % len(form.shape)
    first = 0
    for name in node.outputs:
        shape = editor.shape(name)
        if shape is None:
            return None
        if name == output:
            return _take(form, axis, range(first, first + shape[axis]))
        first += shape[axis]
    return None


def _concat(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    forms = [get(name) for name in node.inputs]
    found = [form for form in forms if form is not None]
    if len(found) < len(forms):
        return None
    axis = node.attrs["axis"] % len(found[0].shape)
    if axis < len(found[0].lead):
        return join.stack(found, axis)
    return None if found[0].flat else _wrapped(found, "y" if axis == len(found[0].lead) else "x")


def _wrapped(forms: list[Form], along: str) -> Form | None:
    """Circular padding: the end of a value, the value, and its beginning, one after the other."""
    taps = 0 if along == "y" else 1
    middle = max(forms, key=lambda form: form.shape[-2 + taps])
    axis: fm.Axis = getattr(middle, along)
    if not axis.identity or middle.taps[taps] != 1 or len(forms) > 3:
        return None
    at = next(i for i, form in enumerate(forms) if form is middle)
    before, after = forms[:at], forms[at + 1 :]
    if len(before) > 1 or len(after) > 1:
        return None
    other = "x" if along == "y" else "y"
    for form in (*before, *after):
        same = form.sources == middle.sources and getattr(form, other) == getattr(middle, other)
        if not same or form.kernel.shape != middle.kernel.shape:
            return None
        if not (np.array_equal(form.kernel, middle.kernel) and np.all(form.bias == middle.bias)):
            return None
        walk: fm.Axis = getattr(form, along)
        start = axis.base - walk.size if any(form is f for f in before) else 0
        if walk.stride != 1 or walk.start != start:
            return None
    sizes = [sum(getattr(f, along).size for f in part) for part in (before, after)]
    return fm.pad(middle, along, sizes[0], sizes[1], "wrap")


def _transpose(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form = get(node.inputs[0])
    if form is None:
        return None
    rank, count = len(form.shape), len(form.lead)
    perm = list(node.attrs.get("perm", range(rank)[::-1]))
    if perm[count:] != list(range(count, rank)):
        return None
    rows = np.arange(form.rows).reshape(form.lead).transpose(perm[:count])
    return fm.pick(form, rows.reshape(-1), rows.shape)


def _repeat(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form, shape = get(node.inputs[0]), editor.shape(output)
    if form is None or shape is None:
        return None
    spatial = 1 if form.flat else 2
    lead = shape[:-spatial]
    rows = np.arange(form.rows).reshape(form.lead)
    if node.op == "Expand":
        wide = np.broadcast_to(rows, lead) if shape[-spatial:] == form.shape[-spatial:] else None
    else:
        times = editor.ints(node.inputs[1])
        fits = times is not None and all(t == 1 for t in times[-spatial:])
        wide = np.tile(rows, times[:-spatial]) if fits and times is not None else None
    return None if wide is None else fm.pick(form, wide.reshape(-1), lead)


VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout"})
"""Operators that only rename dimensions: they leave no stage."""

STEPS: dict[str, Step] = {
    **dict.fromkeys(VIEWS, _view),
    **dict.fromkeys(("ReduceSum", "ReduceMean"), _reduce),
    **dict.fromkeys(("Expand", "Tile"), _repeat),
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Transpose": _transpose,
}
