"""Weights that FP16 does not hold, in kernels and in what the compiler makes of them.

The compiler multiplies a scalar before or after a convolution into its weights, and only then sets
what has become smaller than FP16's normal range to 0 or to 2^-14 (docs/compiler.md, trap 4): a
kernel of 0.002 behind a division by 255 is lost. Scaling the weights alone does not help, because
the factor that undoes it is multiplied in as well; a Relu or Clip between them keeps them apart.
Where the values flow into another convolution, through nothing but what commutes with a positive
factor, its weights undo the factor and no stage is added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ...bounds import FP16_MAX, bounds
from ...builder import Builder
from ...editor import Array, Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule
from .absorb import Absorption, absorb
from .scaling import LEAST_FACTOR, ROOM

KEEPS_APART = "keeps apart"
"""Metadata of a node that must stay though it changes no value."""
_SMALLEST = 2.0**-14
_MOST_SPLIT = 12
_WORTH = 2.0**-12  # of a sum of weights: what may be lost without notice


@dataclass(frozen=True)
class _Scale:
    """Scalar factors in a row next to a convolution."""

    factor: float
    nodes: tuple[Node, ...]
    end: str


def _factor(editor: Editor, node: Node) -> tuple[float, str] | None:
    """The scalar that a Mul or Div multiplies by, and the other operand."""
    if node.op not in ("Mul", "Div"):
        return None
    scalar = editor.scalar(node.inputs[1])
    if scalar:
        return (1 / scalar if node.op == "Div" else scalar), node.inputs[0]
    scalar = editor.scalar(node.inputs[0]) if node.op == "Mul" else None
    return (scalar, node.inputs[1]) if scalar else None


def _before(editor: Editor, value: str) -> _Scale:
    factor, nodes = 1.0, []
    while (node := editor.producer(value)) is not None and editor.uses(value) == 1:
        found = _factor(editor, node)
        if found is None:
            break
        factor, value = factor * found[0], found[1]
        nodes.append(node)
    return _Scale(factor, tuple(reversed(nodes)), value)


def _after(editor: Editor, value: str) -> _Scale:
    factor, nodes = 1.0, []
    while (node := editor.single_consumer(value)) is not None:
        found = _factor(editor, node)
        if found is None:
            break
        factor, value = factor * found[0], node.output
        nodes.append(node)
    return _Scale(factor, tuple(nodes), value)


def lost(weights: Array) -> float:
    """Which share of a sum of weights the compiler changes, at most over the output channels."""
    sizes = np.abs(weights.reshape(weights.shape[0], -1).astype(np.float64))
    small = np.where(sizes < _SMALLEST, sizes, 0.0).sum(1)
    total = sizes.sum(1)
    return float((small / np.where(total > 0, total, 1.0)).max())


def find_conv(editor: Editor, node: Node) -> Outcome:
    """A Conv whose weights are too small, by themselves or with the scalars around it."""
    weights = editor.constant(node.inputs[1])
    if weights is None or weights.dtype != np.float32:
        return None
    before, after = _before(editor, node.inputs[0]), _after(editor, node.output)
    effective = weights * before.factor * after.factor
    if lost(effective) <= _WORTH:
        return None
    bias = editor.constant(node.input(2)) if node.input(2) else None
    if node.input(2) and bias is None:
        return Refused("its bias is computed")
    reach = bounds(editor, before.end).magnitude * float(
        np.abs(weights.reshape(weights.shape[0], -1)).sum(1).max()
    )
    power = _power(weights, before.factor * after.factor, reach)
    held = _split(editor, node, before.factor, power) or _held(node, editor, before.factor, power)
    room = held.bias is None or np.abs(held.bias).max() <= FP16_MAX / 2
    if lost(held.weights) < lost(effective) and held.outer > 0 and room:
        return _rescaled(editor, node, before, held)
    if before.nodes and lost(weights * after.factor) <= _WORTH:
        return _scaled_first(editor, node, before)
    if not room:
        return Refused("its bias leaves no room for larger weights")
    return Refused("no factor brings all its weights into FP16's range")


@dataclass(frozen=True)
class _Held:
    """Weights and bias that FP16 holds, and the factor that makes them what they were.

    Attributes:
        taken: the factor in the weights of what reads the result; None: it must be multiplied.
    """

    weights: Array
    bias: Array | None
    outer: float
    taken: Absorption | None


def _held(node: Node, editor: Editor, before: float, power: int) -> _Held:
    """Weights times a power of two, and a bias to match."""
    weights, outer = editor.constant(node.inputs[1]), before * 2.0**-power
    bias = editor.constant(node.input(2)) if node.input(2) else None
    assert weights is not None
    offset = None if bias is None else (bias / np.float32(outer)).astype(np.float32)
    return _Held((weights * np.float32(2.0**power)).astype(np.float32), offset, outer, None)


def _split(editor: Editor, node: Node, before: float, power: int) -> _Held | None:
    """The power that both these weights and those of every reader bear; None if none does."""
    for lower in range(_MOST_SPLIT):
        found = _held(node, editor, before, power - lower)
        if found.outer <= 0 or lost(found.weights) > _WORTH:
            return None
        taken = absorb(editor, node.output, found.outer, fits=lambda w: lost(w) <= _WORTH)
        if taken is not None:
            return replace(found, taken=taken)
    return None


def _rescaled(editor: Editor, node: Node, before: _Scale, held: _Held) -> Change:
    """The convolution with larger weights, and the factor behind it, or where it costs nothing."""
    small = math.prod(editor.shape(before.end) or ()) < math.prod(editor.shape(node.output) or ())
    positive = bounds(editor, node.output).low >= 0
    original = editor.constant(node.inputs[1])
    if held.taken is None and before.nodes and small and original is not None:
        after = _after(editor, node.output)
        if lost(original * after.factor) <= _WORTH:
            return _scaled_first(editor, node, before)

    def apply() -> None:
        b = Builder(editor, like=node)
        made = b.op("Conv", before.end, held.weights, held.bias, **node.attrs)
        if held.taken is not None:
            held.taken.commit(b, made, [*before.nodes, node])
            return
        result = b.op("Mul", apart(b, made, positive), held.outer)
        b.commit([*before.nodes, node], {node.output: result})

    return Change(apply, nodes=(*before.nodes, node))


def _scaled_first(editor: Editor, node: Node, before: _Scale) -> Change:
    """The factors before the convolution, kept from its weights."""
    positive = bounds(editor, before.end).low >= 0 and before.factor > 0

    def apply() -> None:
        b = Builder(editor, like=node)
        scaled = apart(b, b.op("Mul", before.end, before.factor), positive)
        made = b.op("Conv", scaled, *node.inputs[1:], **node.attrs)
        b.commit([*before.nodes, node], {node.output: made})

    return Change(apply, nodes=(*before.nodes, node))


def _power(weights: Array, around: float, reach: float) -> int:
    """The power of two for the weights: enough for them, bearable for what undoes it."""
    sizes = np.abs(weights[weights != 0])
    wanted = math.ceil(math.log2(_SMALLEST / float(sizes.min())))
    room = math.floor(math.log2(ROOM / reach)) if 0 < reach < math.inf else 0
    undone = math.floor(math.log2(abs(around) / LEAST_FACTOR))
    return max(min(wanted, room, undone), 0)


def apart(b: Builder, value: str, positive: bool) -> str:
    """The value behind an operator over which the compiler moves no factor."""
    made = b.op("Relu", value) if positive else b.clip(value, -FP16_MAX, FP16_MAX)
    b.nodes[-1].metadata[KEEPS_APART] = "1"
    return made


def find_tensor(editor: Editor, node: Node) -> Outcome:
    """A product with a constant tensor below FP16's normal range."""
    index = 0 if editor.constant(node.inputs[0]) is not None else 1
    array = editor.constant(node.inputs[index])
    if array is None or array.dtype != np.float32 or array.size < 2 or not array.any():
        return None
    if lost(array.reshape(1, -1)) <= _WORTH or not np.isfinite(array).all():
        return None
    other = bounds(editor, node.inputs[1 - index]).magnitude
    depth = array.shape[-2 if index == 1 else -1] if node.op == "MatMul" and array.ndim > 1 else 1
    reach = other * float(np.abs(array).max()) * depth
    power = _power(array, 1.0, reach)
    if power < 1:
        return None
    held = array * np.float32(2.0**power)

    def apply() -> None:
        b = Builder(editor, like=node)
        inputs: list[str] = list(node.inputs)
        inputs[index] = b.value(held)
        made = apart(b, b.op(node.op, *inputs), bounds(editor, node.output).low >= 0)
        b.commit([node], {node.output: b.op("Mul", made, 2.0**-power)})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        "small-kernel", "needed", "reorder", "weights too small for FP16, kept from their factor",
        ("Conv",), find_conv, order=55,
    ),
    Rule(
        "small-factors", "needed", "exact", "a tensor of factors too small for FP16, scaled up",
        ("Mul", "MatMul"), find_tensor, order=55,
    ),
)  # fmt: skip
