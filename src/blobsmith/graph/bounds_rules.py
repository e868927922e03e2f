"""Bounds of one node's results, from those of its inputs: a paragraph for each kind of operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from .editor import Editor
from .interval import (
    ANYTHING,
    FP16_MAX,
    INF,
    Interval,
    added,
    negated,
    of_array,
    power,
    product,
    quotient,
    reciprocal,
    union,
    weighted,
)
from .node import Node

MASK = Interval(0.0, 1.0, False, True)
_FIRST = frozenset(
    [
        "Identity",
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Slice",
        "Gather",
        "GatherND",
        "GatherElements",
        "Expand",
        "Tile",
        "Split",
        "DepthToSpace",
        "SpaceToDepth",
        "MaxPool",
        "GlobalMaxPool",
        "ReduceMax",
        "ReduceMin",
        "Dropout",
        "Upsample",
        "ReverseSequence",
    ]
)
_AVERAGES = frozenset(["AveragePool", "GlobalAveragePool", "ReduceMean", "Mean"])
_MASKS = frozenset(
    [
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Equal",
        "And",
        "Or",
        "Xor",
        "Not",
        "IsNaN",
        "IsInf",
    ]
)
_MONOTONE: Mapping[str, Callable[[float], float]] = {
    "Relu": lambda v: max(v, 0.0),
    "Exp": lambda v: math.exp(v) if v < 700 else INF,
    "Tanh": math.tanh,
    "Atan": math.atan,
    "Erf": math.erf,
    "Sigmoid": lambda v: 1 / (1 + math.exp(-v)) if v > -700 else 0.0,
    "Softplus": lambda v: math.log1p(math.exp(v)) if v < 700 else v,
    "Sinh": lambda v: math.sinh(v) if abs(v) < 700 else math.copysign(INF, v),
    "Asinh": math.asinh,
}
_ROUNDING: Mapping[str, Callable[[float], float]] = {
    "Floor": math.floor, "Ceil": math.ceil, "Round": round,
}  # fmt: skip


_FP32_SLACK = 1e-6
_ALWAYS_PLUS = frozenset(
    ["Abs", "Exp", "Sigmoid", "Softmax", "Softplus", "ReduceL1", "ReduceL2", "ReduceSumSquare"]
)
_PLUS_OF_PLUS = frozenset(
    ["Sqrt", "ReduceSum", "ReduceMean", "ReduceMax", "AveragePool", "MaxPool", "GlobalAveragePool",
     "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather", "Expand", "Pad",
     "Relu"]
)  # fmt: skip


def _plus_zero(editor: Editor, value: str, depth: int = 8) -> bool:
    """Whether a zero that the value holds is +0: squares, magnitudes, and sums with one of them."""
    if value in editor.whole_inputs:
        return True
    array = editor.constant(value)
    if array is not None:
        return not bool(np.any((array == 0) & np.signbit(array)))
    node = editor.producer(value)
    if node is None or depth == 0:
        return False
    if node.op in _ALWAYS_PLUS:
        return True
    if node.op == "Mul" and node.inputs[0] == node.inputs[1]:
        return True
    if node.op == "Pow":
        exponent = editor.scalar(node.inputs[1])
        return exponent is not None and exponent > 0 and exponent % 2 == 0
    if node.op in _PLUS_OF_PLUS:
        return _plus_zero(editor, node.inputs[0], depth - 1)
    if node.op in ("Add", "Sum"):
        return any(_plus_zero(editor, i, depth - 1) for i in node.inputs)
    if node.op in ("Max", "Concat", "Clip"):
        return all(_plus_zero(editor, i, depth - 1) for i in node.inputs[:2] if i)
    if node.op in ("Mul", "Div"):
        factor = editor.scalar(node.inputs[1])
        if factor is None and node.op == "Mul":
            factor = editor.scalar(node.inputs[0])
            return bool(factor and factor > 0) and _plus_zero(editor, node.inputs[1], depth - 1)
        return bool(factor and factor > 0) and _plus_zero(editor, node.inputs[0], depth - 1)
    return False


def interval_of(editor: Editor, node: Node, x: list[Interval]) -> Interval:
    """Bounds of every output of a node.

    Args:
        editor: the graph.
        node: one of its nodes.
        x: bounds of its inputs, `ANYTHING` for absent ones.
    """
    op = node.op
    if op in _FIRST:
        return x[0]
    if op in _AVERAGES:
        first = union(x)
        if op == "AveragePool":
            first = union([first, Interval(0.0, 0.0, False, True)])
        return Interval(first.low, first.high, first.nan)
    if op in _MASKS:
        return MASK
    if op in _MONOTONE:
        low, high = (_MONOTONE[op](v) for v in (x[0].low, x[0].high))
        if op != "Relu":  # a library's own error, which does not turn a sign
            low, high = max(low - _FP32_SLACK, min(low, 0.0)), high + _FP32_SLACK
        return Interval(low, high, x[0].nan, x[0].integral and op == "Relu")
    if op in _ROUNDING:
        slack = 0.0 if x[0].integral else _FP32_SLACK  # what FP32 made of a number next to a step
        ends = [
            v if math.isinf(v) else float(_ROUNDING[op](v + side * slack * abs(v)))
            for v, side in ((x[0].low, -1), (x[0].high, 1))
        ]
        return Interval(ends[0], ends[1], x[0].nan, not any(map(math.isinf, ends)))
    if op in ("Add", "Sum"):
        total = x[0]
        for other in x[1:]:
            total = added(total, other)
        return total
    if op == "Sub":
        remainder = _remainder(editor, node, x[0])
        if remainder is not None:
            return remainder
        return added(x[0], negated(x[1]))
    if op == "Mul":
        if node.inputs[0] == node.inputs[1]:
            return power(x[0], 2.0)
        return product(x[0], x[1])
    if op == "Div":
        return quotient(x[0], x[1], plus_zero=_plus_zero(editor, node.inputs[1]))
    if op == "Reciprocal":
        return reciprocal(x[0], plus_zero=_plus_zero(editor, node.inputs[0]))
    if op == "Neg":
        return negated(x[0])
    if op == "Abs":
        low = 0.0 if x[0].low <= 0 <= x[0].high else min(abs(x[0].low), abs(x[0].high))
        return Interval(low, x[0].magnitude, x[0].nan, x[0].integral)
    if op == "Sign":
        return Interval(-1.0, 1.0, x[0].nan, True)
    if op in ("Sin", "Cos"):
        return Interval(-1.0, 1.0, not x[0].finite)
    if op == "Sqrt":
        return Interval(
            math.sqrt(max(x[0].low, 0.0)), math.sqrt(max(x[0].high, 0.0)), x[0].nan or x[0].low < 0
        )
    if op == "Log":
        low, high = (math.log(v) if v > 0 else -INF for v in (x[0].low, x[0].high))
        return Interval(low, high, x[0].nan or x[0].low < 0)
    if op == "Pow":
        return power(x[0], editor.scalar(node.inputs[1]))
    if op in ("Max", "Min"):
        pick = max if op == "Max" else min
        nan, integral = any(i.nan for i in x), all(i.integral for i in x)
        return Interval(pick(i.low for i in x), pick(i.high for i in x), nan, integral)
    if op == "Clip":
        return _clip(editor, node, x)
    if op == "Concat":
        return union(x)
    if op == "Trilu":
        return union([x[0], Interval(0.0, 0.0, False, True)])
    if op == "Where":
        return union(x[1:3])
    if op == "Pad":
        if node.attrs.get("mode", "constant") != "constant":
            return x[0]
        fill = editor.scalar(node.input(2)) if node.input(2) else 0.0
        return ANYTHING if fill is None else union([x[0], of_array(np.array(fill))])
    if op == "Cast":
        return _cast(editor, node, x[0])
    if op in ("ReduceSum", "ReduceL1", "ReduceSumSquare", "ReduceL2"):
        return _reduced_sum(editor, node, x[0])
    if op in ("Conv", "MatMul", "Gemm"):
        return _linear(editor, node, x)
    if op in ("Softmax", "Hardmax"):
        return Interval(0.0, 1.0, not x[0].finite)
    if op == "Resize":
        mode = node.attrs.get("mode", "nearest")
        if mode == "cubic":
            return added(x[0], Interval(-x[0].magnitude, x[0].magnitude, False))
        return Interval(x[0].low, x[0].high, x[0].nan, x[0].integral and mode == "nearest")
    if op == "GridSample":
        zero = union([x[0], Interval(0.0, 0.0, False, True)])
        cubic = str(node.attrs.get("mode", "")).endswith("cubic")
        extra = zero.magnitude if cubic else 0.0
        return Interval(zero.low - extra, zero.high + extra, zero.nan)
    if op in ("ArgMax", "ArgMin"):
        return Interval(0.0, FP16_MAX, False, True)
    return ANYTHING


def _remainder(editor: Editor, node: Node, x: Interval) -> Interval | None:
    """x - floor(x / n) * n, as exporters write a remainder: in 0..n."""
    product = editor.producer(node.inputs[1])
    if product is None or product.op != "Mul":
        return None
    for index in (0, 1):
        size, floor = (
            editor.scalar(product.inputs[index]),
            editor.producer(product.inputs[1 - index]),
        )
        if size is None or size <= 0 or floor is None or floor.op != "Floor":
            continue
        quotient = editor.producer(floor.inputs[0])
        if (
            quotient is not None
            and quotient.op == "Div"
            and quotient.inputs[0] == node.inputs[0]
            and editor.scalar(quotient.inputs[1]) == size
        ):
            integral = x.integral and size == int(size)
            return Interval(0.0, size - 1 if integral else size, not x.finite, integral)
    return None


def step_of(editor: Editor, node: Node, x: list[Interval]) -> float:
    """Of what every element of a node's result is a multiple; 0 if that is not known."""
    op = node.op
    if op in _FIRST or op in ("Neg", "Abs", "Relu", "ReduceSum", "Identity"):
        return x[0].step
    if op in ("Mul", "Div"):
        for index in (0, 1):
            factor = editor.scalar(node.inputs[index])
            if factor and x[1 - index].step and math.isfinite(factor):
                if op == "Mul":
                    return x[1 - index].step * abs(factor)
                return x[0].step / abs(factor) if index == 1 else 0.0
        return 0.0
    if op == "Sub":
        whole = _whole_part(editor, node)
        if whole:
            return whole
    if op in ("Add", "Sub", "Concat", "Where", "Max", "Min", "Clip", "Pad"):
        parts = [i for i, name in zip(x, node.inputs, strict=True) if name]
        if op == "Where":
            parts = parts[1:]
        if op == "Pad":
            fill = editor.scalar(node.input(2)) if node.input(2) else 0.0
            return x[0].step if fill == 0 or node.attrs.get("mode") != "constant" else 0.0
        return _common([p for p in parts if (p.low, p.high) != (0.0, 0.0)])
    return 0.0


def _whole_part(editor: Editor, node: Node) -> float:
    """n where the node is x - (x mod n), which is a multiple of it; 0 for anything else."""
    rest = editor.producer(node.inputs[1])
    if rest is None or rest.op != "Sub" or rest.inputs[0] != node.inputs[0]:
        return 0.0
    found = _remainder(editor, rest, replace(ANYTHING, nan=False))
    return found.high if found is not None else 0.0


def exact_factor(editor: Editor, node: Node) -> bool:
    """Whether a node divides or multiplies by a power of two, which rounds nothing."""
    factor = editor.scalar(node.inputs[1]) if node.op in ("Mul", "Div") else None
    return factor is not None and factor > 0 and math.log2(factor) == int(math.log2(factor))


def _common(parts: Sequence[Interval]) -> float:
    """A step that all share: the smallest, if the others are multiples of it."""
    steps = [p.step or (abs(p.low) if p.low == p.high else 0.0) for p in parts]
    if not steps or not all(0 < step < INF for step in steps):
        return 0.0
    least = min(steps)
    ratios = [s / least for s in steps]
    return least if all(abs(r - round(r)) < 1e-5 * r for r in ratios) else 0.0


def _clip(editor: Editor, node: Node, x: list[Interval]) -> Interval:
    if "min" in node.attrs or "max" in node.attrs:
        low, high = node.attrs.get("min", -INF), node.attrs.get("max", INF)
    else:
        low = x[1].low if node.input(1) else -INF
        high = x[2].high if node.input(2) else INF
    return Interval(
        min(max(x[0].low, low), high), max(min(x[0].high, high), low), x[0].nan, x[0].integral
    )


def _cast(editor: Editor, node: Node, x: Interval) -> Interval:
    dtype = editor.dtype(node.output)
    if dtype is not None and dtype.kind in "iu":
        ends = [v if math.isinf(v) else float(math.trunc(v)) for v in (x.low, x.high)]
        return Interval(ends[0], ends[1], False, True)
    return x


def _reduced_sum(editor: Editor, node: Node, x: Interval) -> Interval:
    shape, out = editor.shape(node.inputs[0]), editor.shape(node.output)
    if shape is None or out is None or not math.prod(out):
        return ANYTHING
    count = math.prod(shape) / math.prod(out)
    if node.op == "ReduceL1":
        x = Interval(0.0, x.magnitude, x.nan, x.integral)
    if node.op in ("ReduceSumSquare", "ReduceL2"):
        x = power(x, 2.0)
    if node.op == "ReduceL2":
        return Interval(0.0, math.sqrt(count * x.high), x.nan)
    return product(x, Interval(count, count, False, True))


def _linear(editor: Editor, node: Node, x: list[Interval]) -> Interval:
    left, right = (editor.constant(node.inputs[i]) for i in (0, 1))
    if node.op == "Conv" and right is not None:
        bias = editor.constant(node.input(2)) if node.input(2) else None
        if node.input(2) and bias is None:
            return ANYTHING
        return weighted(x[0], right.reshape(right.shape[0], -1), bias)
    if node.op == "MatMul" and right is not None and right.ndim >= 2:
        return weighted(x[0], np.swapaxes(right, -1, -2).reshape(-1, right.shape[-2]), None)
    if node.op == "MatMul" and left is not None and left.ndim >= 2:
        return weighted(x[1], left.reshape(-1, left.shape[-1]), None)
    return ANYTHING


READS_INPUTS = (
    _FIRST
    | _AVERAGES
    | set(_MONOTONE)
    | set(_ROUNDING)
    | frozenset(
        [
            "Add",
            "Sum",
            "Sub",
            "Mul",
            "Div",
            "Reciprocal",
            "Neg",
            "Abs",
            "Sqrt",
            "Log",
            "Pow",
            "Max",
            "Min",
            "Clip",
            "Concat",
            "Where",
            "Pad",
            "Cast",
            "ReduceSum",
            "ReduceL1",
            "ReduceL2",
            "ReduceSumSquare",
            "Conv",
            "MatMul",
            "Gemm",
            "Softmax",
            "Hardmax",
            "Resize",
            "GridSample",
            "Sin",
            "Cos",
            "Sign",
            "Trilu",
        ]
    )
)
