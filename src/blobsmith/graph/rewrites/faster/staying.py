"""Filters one after the other: in blocks, without going back to pixels between them.

Behind a filter that was computed in blocks, the pixels are put in their places again (one stage).
Where the next filter, computed in blocks of the same size, reads them with zeros around, possibly
after operators on single pixels, both the way to pixels and the Pad can be left out: a strided
convolution of pixels is a plain one of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..linear import engine
from ..linear.form import Array, Form
from ..linear.trace import trace
from ..patterns import affine_step
from ..rule import Change, Outcome, Rule

_UNARY = frozenset({
    "Abs", "Relu", "Sqrt", "Exp", "Log", "Neg", "Reciprocal", "Sigmoid", "Tanh", "Floor", "Ceil",
    "Clip", "Erf", "Softplus", "HardSwish", "LeakyRelu", "Elu", "Pow",
})  # fmt: skip


@dataclass(frozen=True)
class _Blocks:
    """Where an image comes from: blocks (1, channels, h, w), and what is done to its pixels."""

    value: str
    size: int
    chain: tuple[Node, ...]


def find(editor: Editor, node: Node) -> Outcome:
    """A convolution in blocks of an image that was in blocks of the same size before."""
    if min(node.attrs.get("strides", (1, 1))) < 2:
        return None
    form = trace(editor, node.output)
    if form is None or len(form.sources) != 1 or form.lead != (1, form.rows):
        return None
    blocks = _blocks(editor, form.sources[0])
    if blocks is None or not _meets(form, blocks.size):
        return None
    kernel, pads = _kernel(form, blocks.size)
    if max(kernel.shape[2:]) > engine.MAX_KERNEL:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        value = blocks.value
        for step in blocks.chain:
            before = step.inputs[0] if step.inputs[0] not in editor.constants else step.inputs[1]
            operands = [value if name == before else name for name in step.inputs]
            value = b.op(step.op, *(name or None for name in operands), **step.attrs)
        bias = form.bias.astype(np.float32) if np.any(form.bias) else None
        made = b.op(
            "Conv", value, kernel.astype(np.float32), bias, kernel_shape=list(kernel.shape[2:]),
            strides=[1, 1], pads=[*pads, *pads],
        )  # fmt: skip
        b.commit([node], {node.output: made})
        editor.drop_dead()

    return Change(
        apply,
        nodes=(*blocks.chain, node),
        by_cost=True,
        without_cost=False,
        signature=node.output,
    )


def _meets(form: Form, block: int) -> bool:
    """Whether a form reads whole blocks, with zeros around them if anything."""
    for axis, taps in zip((form.y, form.x), form.taps, strict=True):
        if axis.stride != block or axis.base % block or axis.size != axis.base // block:
            return False
        if axis.outside(taps) and axis.mode != "constant":
            return False
    return True


def _kernel(form: Form, block: int) -> tuple[Array, tuple[int, int]]:
    """The form over pixels as a kernel over blocks, grown around its centre; and its padding."""
    rows, inputs, kh, kw = form.kernel.shape
    starts = (form.y.start, form.x.start)
    reach = [
        max(-(start // block), (start + taps - 1) // block, 0)
        for start, taps in zip(starts, (kh, kw), strict=True)
    ]
    size = [2 * r + 1 for r in reach]
    kernel = np.zeros((rows, inputs, block, block, *size))
    for u in range(kh):
        for v in range(kw):
            y, x = starts[0] + u, starts[1] + v
            at = (y // block + reach[0], x // block + reach[1])
            kernel[:, :, y % block, x % block, at[0], at[1]] += form.kernel[:, :, u, v]
    return kernel.reshape(rows, inputs * block**2, *size), (reach[0], reach[1])


def _blocks(editor: Editor, value: str) -> _Blocks | None:
    """The blocks from which a value is made, pixel by pixel; None if it is not."""
    chain: list[Node] = []
    while True:
        found = _unblocked(editor, value)
        if found is not None:
            return replace(found, chain=tuple(reversed(chain)))
        node = editor.producer(value)
        if node is None or editor.uses(value) != 1 or len(node.outputs) != 1:
            return None
        step = affine_step(editor, node)
        unary = node.op in _UNARY and all(
            editor.scalar(i) is not None for i in node.inputs[1:] if i
        )
        if step is None and not unary:
            return None
        chain.append(node)
        value = step.source if step is not None else node.inputs[0]


def _unblocked(editor: Editor, value: str) -> _Blocks | None:
    """The blocks of a value that is made of blocks by Reshape, Transpose and Reshape."""
    last = editor.producer(value)
    while last is not None and last.op == "Reshape":
        inner = editor.producer(last.inputs[0])
        if inner is None or inner.op != "Reshape":
            break
        last = inner
    moved = editor.producer(last.inputs[0]) if last is not None and last.op == "Reshape" else None
    first = editor.producer(moved.inputs[0]) if moved is not None else None
    if moved is None or first is None or moved.op != "Transpose" or first.op != "Reshape":
        return None
    parts, whole = editor.shape(first.output), editor.shape(value)
    source = editor.shape(first.inputs[0])
    if parts is None or whole is None or source is None or len(source) != 4 or source[0] != 1:
        return None
    perm = list(moved.attrs.get("perm", ()))
    if len(parts) == 6:
        plain = parts[0] == 1 and perm == [0, 1, 4, 2, 5, 3]
        parts = parts[1:]
    else:
        plain = len(parts) == 5 and perm == [0, 3, 1, 4, 2]
    rows, size, other, height, width = parts if plain else (0,) * 5
    if not plain or size != other or whole[-3:] != (rows, height * size, width * size):
        return None
    return _Blocks(first.inputs[0], size, ())


RULE = Rule(
    name="stay-in-blocks",
    set="faster",
    exactness="reorder",
    why="between two filters in blocks the pixels need not be put in their places",
    roots=("Conv",),
    find=find,
    order=32,
)
