"""Sums of cubes, as CIELAB's way back takes them: R = 3.08 X - 1.54 Y - 0.54 Z, X = f^-1(u).

Each cube has FP16's digits of its own size, and what is left of them near R = 0, where gamma makes
thirteen times as much of an error, is wrong. The colours are differences: u - v is a sum of the
image's own pixels, and X - Y = (u - v) (u^2 + u v + v^2) as exact as it is small. So the sum is
taken of one channel and of the others' differences from it. Where f^-1 is a line (dark pixels) the
difference is taken as it is.

Source: CIE 15, Colorimetry, for f.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..linear import emit
from ..linear.form import Form
from ..linear.trace import trace
from ..patterns import affine, clip_limits
from ..rule import Approx, Change, Outcome, Rule

_VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True)
class _Cube:
    """where(u > limit, u^3, u * scale + shift), for a u of single channels put together."""

    channels: tuple[str, ...]
    limit: float
    scale: float
    shift: float


def find(editor: Editor, node: Node) -> Outcome:
    """A colour matrix applied to cubes."""
    form = trace(editor, node.output)
    if form is None or len(form.sources) != 1 or not form.pointwise or form.flat:
        return None
    cube = _cube(editor, form.sources[0])
    if cube is None or len(cube.channels) != form.inputs:
        return None
    forms = [trace(editor, _unclipped(editor, value, cube.limit)) for value in cube.channels]
    known = [f for f in forms if f is not None and f.pointwise and not f.flat and f.rows == 1]
    if len(known) != len(forms) or len({f.sources for f in known}) != 1:
        return None
    if known[0].sources[0] in cube.channels:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        made = _sum(b, form, cube, known)
        b.commit([node], {node.output: b.reshape(made, b.shape(node.output))})

    return Change(apply, nodes=(node,))


def _sum(b: Builder, form: Form, cube: _Cube, channels: Sequence[Form]) -> str:
    base = min(range(len(channels)), key=lambda i: _reach(channels, i))
    cubes = [_cubed(b, value, cube) for value in cube.channels]
    parts, weights = [cubes[base]], [form.kernel.sum(axis=1)]
    v = cube.channels[base]
    for index, u in enumerate(cube.channels):
        if index == base:
            continue
        apart = replace(
            channels[index],
            kernel=channels[index].kernel - channels[base].kernel,
            bias=channels[index].bias - channels[base].bias,
            lead=(1, 1),
        )
        difference = b.reshape(emit.convolution(b, apart), b.shape(u))
        squares = b.sum([b.op("Mul", u, u), b.op("Mul", u, v), b.op("Mul", v, v)])
        both = b.op("Greater", b.op("Min", u, v), cube.limit)
        plain = b.op("Sub", cubes[index], cubes[base])
        parts.append(b.op("Where", both, b.op("Mul", difference, squares), plain))
        weights.append(form.kernel[:, index])
    rank = len(b.shape(v))
    whole = replace(
        form,
        sources=(b.concat(parts, rank - 3),),
        kernel=np.stack(weights, axis=1),
        lead=(1, form.rows),
    )
    return emit.convolution(b, whole)


def _reach(channels: Sequence[Form], base: int) -> float:
    """How far the channels differ from one of them."""
    return max(float(np.abs(c.kernel - channels[base].kernel).sum()) for c in channels)


def _cubed(b: Builder, value: str, cube: _Cube) -> str:
    line = b.op("Add", b.op("Mul", value, cube.scale), cube.shift)
    power = b.op("Mul", b.op("Mul", value, value), value)
    return b.op("Where", b.op("Greater", value, cube.limit), power, line)


def _cube(editor: Editor, value: str) -> _Cube | None:
    whole = editor.producer(value)
    if whole is None or whole.op != "Where":
        return None
    above, power = editor.producer(whole.inputs[0]), editor.producer(whole.inputs[1])
    if above is None or above.op != "Greater" or power is None or power.op != "Pow":
        return None
    u, limit = above.inputs[0], editor.scalar(above.inputs[1])
    line = affine(editor, whole.inputs[2])
    if limit is None or limit <= 0 or editor.scalar(power.inputs[1]) != 3:
        return None
    stack, shape = editor.producer(u), editor.shape(u)
    if power.inputs[0] != u or line.source != u or stack is None or shape is None:
        return None
    if stack.op != "Concat" or len(shape) < 3 or stack.attrs["axis"] % len(shape) != len(shape) - 3:
        return None
    if len(stack.inputs) != shape[-3] or any(v in editor.constants for v in stack.inputs):
        return None
    return _Cube(tuple(stack.inputs), limit, line.scale, line.shift)


def _unclipped(editor: Editor, value: str, limit: float) -> str:
    """A channel before it was kept from falling below some number that is not above the limit."""
    node = editor.producer(value)
    while node is not None and node.op in _VIEWS:
        node = editor.producer(node.inputs[0])
    limits = clip_limits(editor, node) if node is not None else None
    if node is None or limits is None or limits[0] > limit or np.isfinite(limits[1]):
        return value
    return node.inputs[0]


RULES = (
    Rule(
        "sum-of-cubes", "needed", Approx(1.0, of_scale=2.0**-10, flips=0.01),
        "a sum of cubes from one of them and the others' differences from it",
        ("Conv",), find, order=32,
    ),
)  # fmt: skip
