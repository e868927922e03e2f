"""What one node does to linear forms: the operators that keep a value linear in its sources.

`step(editor, node, output, get)` gives the form of a node's output from the forms of its inputs,
or None where the node is not linear, mixes space in another way, or has operands that are not
constant. Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ....editor import Editor
from ....node import Node
from . import form as fm
from .form import Form

Get = Callable[[str], "Form | None"]
Step = Callable[[Editor, Node, str, Get], "Form | None"]

VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout"})
"""Operators that only rename dimensions: they leave no stage."""


def step(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    """The form of one output of a node, from those of its inputs.

    Args:
        editor: the graph.
        node: the node to read.
        output: one of its outputs.
        get: the form of an input value; None if it has none.
    """
    known = STEPS.get(node.op)
    shape = editor.shape(output)
    if known is None or node.domain or shape is None or not editor.is_float(output):
        return None
    found = known(editor, node, output, get)
    return found if found is None or found.shape == shape else None


def _view(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form = get(node.inputs[0])
    return form and reshape(form, editor.shape(output) or ())


def reshape(form: Form, shape: tuple[int, ...]) -> Form | None:
    """The same rows under other leading dimensions; the pixels stay together."""
    h, w = form.y.size, form.x.size
    if len(shape) >= 2 and shape[-2:] == (h, w) and _count(shape[:-2]) == form.rows:
        return replace(form, lead=shape[:-2], flat=False)
    if shape and shape[-1] == h * w and _count(shape[:-1]) == form.rows:
        return replace(form, lead=shape[:-1], flat=True)
    return None


def _count(dims: tuple[int, ...]) -> int:
    return int(np.prod(dims, dtype=np.int64))


# ---------------------------------------------------------------------- arithmetic


def _per_row(form: Form, constant: npt.NDArray[Any]) -> tuple[Form, fm.Array] | None:
    """The form, broadcast to what the constant asks for, and the constant's value for each row."""
    if constant.dtype.kind != "f":
        return None
    spatial = 1 if form.flat else 2
    rank = max(len(form.lead) + spatial, constant.ndim)
    wide = constant.reshape((1,) * (rank - constant.ndim) + constant.shape).astype(np.float64)
    tail = wide.shape[rank - spatial :]
    if any(size != 1 for size in tail):
        if not np.all(wide == wide[(..., *(slice(0, 1),) * spatial)]):
            return None
        wide = wide[(..., *(slice(0, 1),) * spatial)]
    rows = wide.reshape(wide.shape[: rank - spatial])
    lead = np.broadcast_shapes(form.lead, rows.shape)
    whole = fm.broadcast(form, lead)
    return None if whole is None else (whole, np.broadcast_to(rows, lead).reshape(-1))


def _binary(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    left, right = node.inputs
    constant = editor.constant(right)
    if constant is not None:
        return _with_constant(get(left), constant, node.op)
    constant = editor.constant(left)
    if constant is not None:
        return _constant_first(get(right), constant, node.op)
    if node.op not in ("Add", "Sub"):
        return None
    a, b = get(left), get(right)
    return fm.add(a, b, 1.0 if node.op == "Add" else -1.0) if a and b else None


def _with_constant(form: Form | None, constant: npt.NDArray[Any], op: str) -> Form | None:
    found = form and _per_row(form, constant)
    if not found:
        return None
    whole, value = found
    one, zero = np.ones_like(value), np.zeros_like(value)
    if op == "Add":
        return fm.affine(whole, one, value)
    if op == "Sub":
        return fm.affine(whole, one, -value)
    if op == "Mul":
        return fm.affine(whole, value, zero)
    return None if np.any(value == 0) else fm.affine(whole, 1.0 / value, zero)


def _constant_first(form: Form | None, constant: npt.NDArray[Any], op: str) -> Form | None:
    if op == "Div":
        return None
    if op != "Sub":
        return _with_constant(form, constant, op)
    found = form and _per_row(form, constant)
    return fm.affine(found[0], -np.ones_like(found[1]), found[1]) if found else None


def _neg(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form = get(node.inputs[0])
    return form and fm.affine(form, -np.ones(form.rows), np.zeros(form.rows))


def _sum(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    total = get(node.inputs[0])
    for name in node.inputs[1:]:
        other = get(name)
        total = fm.add(total, other) if total and other else None
    return total


def _matmul(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    matrix, form = editor.constant(node.inputs[0]), get(node.inputs[1])
    if matrix is None or matrix.ndim != 2 or form is None or not form.flat or not form.lead:
        return None
    outer, rows = form.lead[:-1], form.lead[-1]
    if matrix.shape[1] != rows:
        return None
    whole = np.kron(np.eye(_count(outer)), matrix.astype(np.float64))
    return fm.mix(form, whole, (*outer, matrix.shape[0]))


# ---------------------------------------------------------------------- rows


def _reduce(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form = get(node.inputs[0])
    axes = _axes(editor, node, len(form.shape)) if form else None
    if form is None or axes is None or not axes or max(axes) >= len(form.lead):
        return None
    keep = node.attrs.get("keepdims", 1)
    index = np.arange(form.rows).reshape(form.lead)
    moved = np.moveaxis(index, axes, range(-len(axes), 0))
    groups = moved.reshape(-1, _count(tuple(form.lead[a] for a in axes)))
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
    for start, end, axis, stride in zip(starts, ends, axes, steps):
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
        return fm.stack(found, axis)
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
        start = axis.base - walk.size if form in before else 0
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


# ---------------------------------------------------------------------- space


def _pad(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form, pads = get(node.inputs[0]), editor.ints(node.input(1)) if node.input(1) else None
    if form is None or pads is None or form.flat:
        return None
    mode = node.attrs.get("mode", "constant")
    fill = editor.scalar(node.input(2)) if node.input(2) else 0.0
    rank = len(form.shape)
    begins, ends = pads[:rank], pads[rank:]
    if any(begins[:-2]) or any(ends[:-2]) or fill is None:
        return None
    return padded(form, (begins[-2], ends[-2]), (begins[-1], ends[-1]), mode, fill)


def padded(
    form: Form, rows: tuple[int, int], columns: tuple[int, int], mode: str, fill: float = 0.0
) -> Form | None:
    """Padding along both axes; negative amounts crop."""
    found: Form | None = form
    for along, (before, after) in (("y", rows), ("x", columns)):
        if found is None:
            return None
        cut_before, cut_after = max(-before, 0), max(-after, 0)
        if cut_before or cut_after:
            size = getattr(found, along).size - cut_before - cut_after
            found = fm.crop(found, along, cut_before, size)
        found = found and fm.pad(found, along, max(before, 0), max(after, 0), mode, fill)
    return found


def _window_pads(node: Node, kernel: tuple[int, ...]) -> tuple[int, ...] | None:
    if node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    return tuple(node.attrs.get("pads", (0, 0, 0, 0))) if len(kernel) == 2 else None


def _conv(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form, weights = get(node.inputs[0]), editor.constant(node.inputs[1])
    bias = editor.constant(node.input(2)) if node.input(2) else None
    if form is None or weights is None or weights.ndim != 4 or (node.input(2) and bias is None):
        return None
    pads = _window_pads(node, weights.shape[2:])
    dense = grouped(weights.astype(np.float64), node.attrs.get("group", 1))
    wide = pads and padded(form, (pads[0], pads[2]), (pads[1], pads[3]), "constant")
    if not wide or dense is None:
        return None
    strides, dilations = (node.attrs.get(k, (1, 1)) for k in ("strides", "dilations"))
    made = fm.convolve(wide, dense, strides, dilations)
    if made is None or bias is None:
        return made
    shift = np.broadcast_to(bias.astype(np.float64), made.lead).reshape(-1)
    return replace(made, bias=made.bias + shift)


def grouped(weights: fm.Array, groups: int) -> fm.Array | None:
    """Weights of a grouped convolution as those of a dense one; None if that would be large."""
    if groups == 1:
        return weights
    out, inner = weights.shape[:2]
    if out * inner * groups * weights[0, 0].size > fm.MAX_ELEMENTS:
        return None
    dense = np.zeros((out, inner * groups, *weights.shape[2:]))
    each = out // groups
    for group in range(groups):
        rows = slice(group * each, (group + 1) * each)
        dense[rows, group * inner : (group + 1) * inner] = weights[rows]
    return dense


def _average(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    form, kernel = get(node.inputs[0]), tuple(node.attrs["kernel_shape"])
    pads = _window_pads(node, kernel)
    if form is None or pads is None or node.attrs.get("ceil_mode", 0) or len(form.lead) != 2:
        return None
    if any(pads) and not node.attrs.get("count_include_pad", 0):
        return None
    wide = padded(form, (pads[0], pads[2]), (pads[1], pads[3]), "constant")
    count = form.lead[1]
    if wide is None or count > fm.MAX_INPUTS:
        return None
    weights = np.eye(count)[:, :, None, None] * np.full(kernel, 1.0 / (kernel[0] * kernel[1]))
    return fm.convolve(wide, weights, node.attrs.get("strides", (1, 1)), (1, 1))


def _resize(editor: Editor, node: Node, output: str, get: Get) -> Form | None:
    """Shrinking by a whole factor: the mean of the two middle pixels, or the middle one."""
    form, shape = get(node.inputs[0]), editor.shape(output)
    if form is None or shape is None or form.flat or len(form.lead) != 2 or node.op != "Resize":
        return None
    mode = node.attrs.get("mode", "nearest")
    centre = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    factors = [a // b for a, b in zip(form.shape[-2:], shape[-2:])]
    if any(f * b != a or f < 1 for f, a, b in zip(factors, form.shape[-2:], shape[-2:])):
        return None
    if mode != "linear" or centre not in ("half_pixel", "pytorch_half_pixel"):
        return None
    if factors == [1, 1] or form.lead[1] > fm.MAX_INPUTS or node.attrs.get("antialias", 0):
        return None
    lines = [np.zeros(f) for f in factors]
    for line, factor in zip(lines, factors):
        line[(factor - 1) // 2] += 0.5
        line[factor // 2] += 0.5
    weights = np.eye(form.lead[1])[:, :, None, None] * np.outer(lines[0], lines[1])
    return fm.convolve(form, weights, factors, (1, 1))


STEPS: dict[str, Step] = {
    **dict.fromkeys(VIEWS, _view),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _binary),
    **dict.fromkeys(("ReduceSum", "ReduceMean"), _reduce),
    **dict.fromkeys(("Expand", "Tile"), _repeat),
    "Neg": _neg,
    "Sum": _sum,
    "MatMul": _matmul,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Transpose": _transpose,
    "Pad": _pad,
    "Conv": _conv,
    "AveragePool": _average,
    "Resize": _resize,
}
"""Operator -> how it acts on forms."""
