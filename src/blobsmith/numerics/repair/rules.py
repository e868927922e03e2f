"""How a power of two passes through each operator.

A tensor t may be stored as t * 2^e. For each operator, a rule says which exponents its inputs
must have, which exponent its result then has, and which constants have to be scaled to keep the
function. Operators without a rule need their inputs unscaled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..fp16 import SMALLEST_NORMAL
from ..network import Network, Node

Exponents = Sequence["int | None"]


@dataclass(frozen=True)
class Settled:
    """One operator under a choice of exponents.

    Attributes:
        inputs: the exponent that each input must have; None: any, or it has none.
        out: the exponent of the (first) output; None if it has none (masks, indices).
        constants: power of two by which a constant input is multiplied, by position.
        attributes: power of two by which a float attribute is multiplied.
        free: the output's exponent can be chosen: constants take any further power of two.
    """

    inputs: tuple[int | None, ...]
    out: int | None
    constants: Mapping[int, int] = field(default_factory=dict)
    attributes: Mapping[str, int] = field(default_factory=dict)
    free: bool = False


@dataclass(frozen=True)
class Use:
    """An operator and the exponents that its inputs have at the moment.

    Attributes:
        network: the graph.
        node: the operator.
        given: exponent of each input; None for constants, masks, indices and absent inputs.
        more: power of two wanted on top at the output, for operators that are `free`.
    """

    network: Network
    node: Node
    given: tuple[int | None, ...]
    more: int = 0

    def constant(self, index: int) -> bool:
        """Whether an input is a constant."""
        return self.node.input(index) in self.network.constants

    def variables(self) -> list[int]:
        """Positions of the inputs that carry an exponent."""
        return [i for i, e in enumerate(self.given) if e is not None]

    def exponent(self, index: int) -> int:
        """The exponent of an input, 0 if it has none."""
        return (self.given[index] if index < len(self.given) else 0) or 0

    def inputs(self, wanted: Mapping[int, int]) -> tuple[int | None, ...]:
        """Required exponents: those given, except where `wanted` says otherwise."""
        return tuple(wanted.get(i, e) for i, e in enumerate(self.given))


Rule = Callable[[Use], "Settled"]
_RULES: dict[str, Rule] = {}


def _rule(*ops: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for op in ops:
            _RULES[op] = function
        return function

    return register


def settle(use: Use) -> Settled:
    """The operator's exponents; see `Settled`."""
    rule = _RULES.get(use.node.op)
    return rule(use) if rule is not None else fixed(use)


def fixed(use: Use) -> Settled:
    """An operator that no scale passes through."""
    return Settled(use.inputs(dict.fromkeys(use.variables(), 0)), 0)


@_rule(
    "Identity", "Relu", "LeakyRelu", "PRelu", "Abs", "Neg", "Reshape", "Flatten", "Squeeze",
    "Unsqueeze", "Transpose", "Slice", "Gather", "GatherElements", "GatherND", "Split", "Tile",
    "Expand", "DepthToSpace", "SpaceToDepth", "MaxPool", "AveragePool", "GlobalMaxPool",
    "GlobalAveragePool", "LpPool", "GlobalLpPool", "ReduceSum", "ReduceMean", "ReduceMax",
    "ReduceMin", "ReduceL1", "ReduceL2", "Resize", "Upsample", "GridSample", "CumSum", "Dropout",
    "Trilu", "TopK", "ReverseSequence",
)  # fmt: skip
def _passing(use: Use) -> Settled:
    return Settled(use.inputs(_rest(use, 0)), use.exponent(0))


def _rest(use: Use, *kept: int) -> dict[int, int]:
    """Every other variable input (coordinates, slopes) unscaled."""
    return {i: 0 for i in use.variables() if i not in kept}


@_rule("Pad")
def _pad(use: Use) -> Settled:
    e = use.exponent(0)
    constants = {2: e} if use.constant(2) else {}
    return Settled(use.inputs(_rest(use, 0)), e, constants, {"value": e})


@_rule("Clip")
def _clip(use: Use) -> Settled:
    e = use.exponent(0)
    wanted = {i: e for i in use.variables() if i}
    constants = {i: e for i in (1, 2) if use.constant(i)}
    return Settled(use.inputs(wanted), e, constants, {"min": e, "max": e})


@_rule("Add", "Sub", "Sum", "Mean", "Concat", "Max", "Min")
def _joining(use: Use) -> Settled:
    variables = use.variables()
    e = min((use.exponent(i) for i in variables), default=0)
    constants = {i: e for i in range(len(use.given)) if use.constant(i)}
    return Settled(use.inputs(dict.fromkeys(variables, e)), e, constants)


@_rule("Where")
def _where(use: Use) -> Settled:
    variables = [i for i in use.variables() if i > 0]
    e = min((use.exponent(i) for i in variables), default=0)
    constants = {i: e for i in (1, 2) if use.constant(i)}
    return Settled(use.inputs(dict.fromkeys(variables, e)), e, constants)


@_rule("ScatterND", "ScatterElements")
def _scatter(use: Use) -> Settled:
    variables = [i for i in use.variables() if i in (0, 2)]
    e = min((use.exponent(i) for i in variables), default=0)
    constants = {i: e for i in (0, 2) if use.constant(i)}
    return Settled(use.inputs(dict.fromkeys(variables, e)), e, constants)


@_rule("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal")
def _compare(use: Use) -> Settled:
    settled = _joining(use)
    return Settled(settled.inputs, None, settled.constants)


@_rule("Sign", "ArgMax", "ArgMin")
def _scale_free(use: Use) -> Settled:
    return Settled(use.given, 0 if use.node.op == "Sign" else None)


@_rule("Mul")
def _mul(use: Use) -> Settled:
    for index in (0, 1):
        if use.constant(index):
            e = use.exponent(1 - index) + use.more
            return Settled(use.given, e, {index: use.more}, free=True)
    return Settled(use.given, use.exponent(0) + use.exponent(1))


@_rule("Div")
def _div(use: Use) -> Settled:
    if use.constant(1):
        return Settled(use.given, use.exponent(0) + use.more, {1: -use.more}, free=True)
    if use.constant(0):
        return Settled(use.given, use.more - use.exponent(1), {0: use.more}, free=True)
    return Settled(use.given, use.exponent(0) - use.exponent(1))


@_rule("Reciprocal")
def _reciprocal(use: Use) -> Settled:
    return Settled(use.given, -use.exponent(0))


@_rule("Sqrt")
def _sqrt(use: Use) -> Settled:
    e = use.exponent(0)
    even = e - e % 2
    return Settled(use.inputs({0: even}), even // 2)


@_rule("Pow")
def _pow(use: Use) -> Settled:
    exponent = use.network.constants.get(use.node.input(1))
    if exponent is None or exponent.size != 1:
        return fixed(use)
    p = float(np.asarray(exponent).reshape(-1)[0])
    e = use.exponent(0)
    if p == 0.5:
        return _sqrt(use)
    if p * e != int(p * e):
        return fixed(use)
    return Settled(use.given, int(p * e))


@_rule("ReduceSumSquare")
def _sum_square(use: Use) -> Settled:
    return Settled(use.given, 2 * use.exponent(0))


@_rule("Conv", "ConvTranspose", "Gemm")
def _linear(use: Use) -> Settled:
    if not use.constant(1) or (use.node.input(2) and not use.constant(2)):
        return fixed(use)
    out = use.exponent(0) + use.more
    constants = {1: use.more}
    if use.node.input(2):
        constants[2] = out
    return Settled(use.inputs(_rest(use, 0)), out, constants, free=True)


@_rule("MatMul")
def _matmul(use: Use) -> Settled:
    for index in (0, 1):
        if use.constant(index):
            e = use.exponent(1 - index) + use.more
            return Settled(use.given, e, {index: use.more}, free=True)
    return Settled(use.given, use.exponent(0) + use.exponent(1))


@_rule("BatchNormalization")
def _batch_norm(use: Use) -> Settled:
    if not all(use.constant(i) for i in range(1, 5)):
        return fixed(use)
    e, out = use.exponent(0), use.exponent(0) + use.more
    return Settled(use.given, out, {1: use.more, 2: out, 3: e}, free=True)


@_rule("Cast")
def _cast(use: Use) -> Settled:
    inner, outer = use.node.input(0), use.node.outputs[0]
    if use.network.is_float(inner) and use.network.is_float(outer):
        return Settled(use.given, use.exponent(0))
    return fixed(use)


def weights_of(node: Node) -> tuple[int, ...]:
    """Constant inputs that FP16 stores and that a scale could push below its normal range."""
    if node.op in ("Conv", "ConvTranspose", "Gemm"):
        return (1,)
    return (0, 1) if node.op in ("MatMul", "Mul", "Div") else ()


def harmed(network: Network, node: Node, more: int) -> bool:
    """Whether a scale of 2^more folded into the weights makes them worse FP16 constants."""
    for index in weights_of(node):
        value = network.constants.get(node.input(index))
        if value is None or value.dtype.kind != "f":
            continue
        if value.size == 1 and node.op in ("Mul", "Div"):
            continue  # a parameter in FP32
        size = np.abs(np.asarray(value, np.float64))
        if node.op == "Div" and index == 1:
            with np.errstate(divide="ignore"):
                size = 1 / size
        size = size[(size > 0) & np.isfinite(size)]
        if not size.size:
            continue
        scaled = size * 2.0**more
        before = float(size[size < SMALLEST_NORMAL].sum() / size.sum())
        after = float(scaled[scaled < SMALLEST_NORMAL].sum() / scaled.sum())
        if after > max(before, 1e-3) or scaled.max() > 65504.0:
            return True
    return False
