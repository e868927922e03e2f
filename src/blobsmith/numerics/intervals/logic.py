"""Comparisons, masks, choices and casts. Truth values count as 0 and 1."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from ..network import FLOATS
from . import arithmetic as ar
from .interval import Interval, hull, make
from .registry import Step, transfer

EITHER = make(0.0, 1.0)


def _truth(surely: bool, never: bool) -> Interval:
    if surely:
        return make(1.0, 1.0)
    return make(0.0, 0.0) if never else EITHER


@transfer("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", moves=True)
def _compare(step: Step) -> Interval:
    a, b, op = step[0], step[1], step.node.op
    if a.nan or b.nan:
        return EITHER
    if op.startswith("Less"):
        a, b = b, a
    if op == "Equal":
        if step.same(0, 1):
            return make(1.0, 1.0)
        apart = bool(np.all(a.lo > b.hi) or np.all(a.hi < b.lo))
        fixed = bool(np.all(a.lo == a.hi) and np.all(b.lo == b.hi) and np.all(a.lo == b.lo))
        return _truth(fixed, apart)
    if op.endswith("OrEqual"):
        return _truth(bool(np.all(a.lo >= b.hi)), bool(np.all(a.hi < b.lo)))
    return _truth(bool(np.all(a.lo > b.hi)), bool(np.all(a.hi <= b.lo)))


@transfer("And", "Or", "Xor", "Not", "IsNaN", "IsInf", moves=True)
def _logic(step: Step) -> Interval:
    if step.node.op == "IsNaN" and not step[0].nan:
        return make(0.0, 0.0)
    if step.node.op == "IsInf" and step[0].finite:
        return make(0.0, 0.0)
    return EITHER


@transfer("Where", moves=True)
def _where(step: Step) -> Interval:
    condition = step.constant(0)
    if condition is not None and np.asarray(condition).size == 1:
        return step[1] if bool(np.asarray(condition).reshape(-1)[0]) else step[2]
    return hull(step[1], step[2])


@transfer("Cast", "CastLike")
def _cast(step: Step) -> Interval:
    x, to = step[0], int(step.attr("to", TensorProto.FLOAT))
    if step.node.op == "CastLike":
        to = step.network.dtypes.get(step.node.outputs[0], TensorProto.FLOAT)
    if to == TensorProto.BOOL:
        if x.nan:
            return EITHER
        zero = bool(np.all(x.lo == 0) and np.all(x.hi == 0))
        return _truth(not x.has_zero(), zero)
    if to in FLOATS:
        return x
    limits = {
        TensorProto.UINT8: (0, 255), TensorProto.INT8: (-128, 127),
        TensorProto.INT32: (-(2.0**31), 2.0**31), TensorProto.INT64: (-(2.0**63), 2.0**63),
    }.get(to, (-(2.0**63), 2.0**64))  # fmt: skip
    cut = ar.monotone(make(x.lo, x.hi), np.trunc)
    inside = bool(np.all(cut.lo >= limits[0]) and np.all(cut.hi <= limits[1]))
    if not inside or x.nan:  # wraps around or saturates
        return make(*limits)
    return cut
