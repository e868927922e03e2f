"""Bounds of one node's results, from those of its inputs: a paragraph for each kind of operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from .bounds_steps import FIRST, remainder_of, spread_of
from .bounds_zeros import plus_zero
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


def interval_of(editor: Editor, node: Node, x: list[Interval]) -> Interval:
    """Bounds of every output of a node.

    Args:
        editor: the graph.
        node: one of its nodes.
        x: bounds of its inputs, `ANYTHING` for absent ones.
    """
    op = node.op
    if op in FIRST:
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
        remainder = remainder_of(editor, node, x[0])
        if remainder is not None:
            return remainder
        difference = added(x[0], negated(x[1]))
        return spread_of(editor, node, difference) or difference
    if op == "Mul":
        if node.inputs[0] == node.inputs[1]:
            return power(x[0], 2.0)
        return product(x[0], x[1])
    if op == "Div":
        return quotient(x[0], x[1], plus_zero=plus_zero(editor, node.inputs[1]))
    if op == "Reciprocal":
        return reciprocal(x[0], plus_zero=plus_zero(editor, node.inputs[0]))
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
        limits = np.iinfo(dtype)
        if dtype.itemsize < 4 and (ends[0] < limits.min or ends[1] > limits.max):
            ends = [float(limits.min), float(limits.max)]  # it wraps around
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
    FIRST
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
