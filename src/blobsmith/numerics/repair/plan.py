"""Choosing powers of two, so that every tensor fits into FP16 with room.

The plan starts from no scaling and walks along the graph. Where a tensor would be too large (or a
divisor's inverse would), it is lowered: for free where constants can take the factor, otherwise by
scaling what it is made from, or by a multiplication put in. Then the walk starts again, until
everything fits or nothing more can be done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, inf, isfinite, log2

import numpy as np

from ..fp16 import MAX
from ..network import Network, Node
from .rules import Settled, Use, harmed, settle

LIMIT = 2.0**15
"""Tensors are brought below this."""
DIVISOR_LIMIT = 2.0**13
"""Divisors are brought below this: their inverse is stored in FP16 and should not be subnormal."""
LIFT_BELOW = 2.0**-2
LIFT_TO = 2.0**12


@dataclass(frozen=True)
class Sizes:
    """What the plan goes by.

    Attributes:
        largest: largest absolute value of each tensor.
        smallest: smallest absolute value of each tensor that may be divided by; 0 if unknown.
    """

    largest: Mapping[str, float]
    smallest: Mapping[str, float]


@dataclass
class Plan:
    """A choice of exponents.

    Attributes:
        network: the graph.
        adjust: power of two added at a tensor's making; folded into constants or put in.
        outputs: exponents that the graph's outputs keep because they cannot fit otherwise.
        exponents: exponent of each tensor; None for masks and indices.
        settled: each node's exponents, by node index.
        failed: tensors that could not be brought into range.
    """

    network: Network
    adjust: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    exponents: dict[str, int | None] = field(default_factory=dict)
    settled: dict[int, Settled] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing is scaled."""
        return not any(self.adjust.values()) and not any(self.outputs.values())

    def walk(self) -> None:
        """Exponents of all tensors under the present adjustments."""
        network = self.network
        self.exponents = {
            n: (self.adjust.get(n, 0) if network.is_float(n) else None) for n in network.inputs
        }
        for node in network.steps():
            given = tuple(self.exponents.get(n) if n else None for n in node.inputs)
            name = node.outputs[0]
            more = self.adjust.get(name, 0)
            settled = settle(Use(network, node, given))
            if settled.free and more:
                settled = settle(Use(network, node, given, more))
            elif settled.out is not None and more:
                settled = _shifted(settled, more)
            self.settled[node.index] = settled
            for position, output in enumerate(node.outputs):
                if output:
                    floats = network.is_float(output) and (position == 0 or node.op == "Split")
                    self.exponents[output] = settled.out if floats else None

    def stored(self, name: str, size: float) -> float:
        """A size as the tensor is stored."""
        return float(size * 2.0 ** (self.exponents.get(name) or 0))

    def scale_of(self, node: Node) -> int:
        """The power of two that is put in behind a node, because its constants cannot take it."""
        settled = self.settled[node.index]
        return 0 if settled.free else self.adjust.get(node.outputs[0], 0)


def _shifted(settled: Settled, more: int) -> Settled:
    out = None if settled.out is None else settled.out + more
    return Settled(settled.inputs, out, settled.constants, settled.attributes, settled.free)


def make(network: Network, sizes: Sizes, *, lift: bool) -> Plan:
    """A plan for these sizes.

    Args:
        network: the graph.
        sizes: how large the tensors get.
        lift: also raise small tensors whose constants can take the factor.
    """
    plan = Plan(network)
    if lift:
        _lift(plan, sizes)
    plan.walk()
    for _ in range(4 * len(network.nodes) + 16):
        if not _improve(plan, sizes):
            break
        plan.walk()
    _finish_outputs(plan, sizes)
    return plan


def _lift(plan: Plan, sizes: Sizes) -> None:
    for node in plan.network.steps():
        name = node.outputs[0]
        given = tuple(0 if plan.network.is_float(n) and n else None for n in node.inputs)
        free = settle(Use(plan.network, node, given)).free
        size = sizes.largest.get(name, 0.0)
        if free and 0 < size < LIFT_BELOW:
            plan.walk()
            now = plan.stored(name, size)
            amount = max(int(log2(LIFT_TO / now)), 0) if now > 0 else 0
            plan.adjust[name] = min(amount, 24)


def _improve(plan: Plan, sizes: Sizes) -> bool:
    """Mends the first tensor that is out of range; False if there is none (left)."""
    for node in plan.network.steps():
        for name in node.outputs:
            if not name or name in plan.failed or plan.exponents.get(name) is None:
                continue
            change = _needed(plan, sizes, node, name)
            if not change:
                continue
            moves = _moves(plan, sizes, node, name, change, depth=0)
            if moves is None:
                plan.failed.append(name)
                continue
            for tensor, amount in moves[1].items():
                plan.adjust[tensor] = plan.adjust.get(tensor, 0) + amount
            return True
    return False


def _needed(plan: Plan, sizes: Sizes, node: Node, name: str) -> int:
    """By how many powers of two a tensor has to change; 0 if it fits."""
    size = sizes.largest.get(name, 0.0)
    if not isfinite(size):
        return 0
    limit = LIMIT
    if _divides(plan.network, name):
        limit = DIVISOR_LIMIT
        smallest = sizes.smallest.get(name, 0.0)
        stored = plan.stored(name, smallest)
        if 0 < stored < 1 / LIMIT and plan.stored(name, size) < limit / 4:
            return min(
                ceil(log2(1 / LIMIT / stored)) + 1, int(log2(limit / plan.stored(name, size)))
            )
    stored = max(plan.stored(name, size), _inside(plan, sizes, node))
    return -ceil(log2(stored / limit)) if stored > limit else 0


def _divides(network: Network, name: str) -> bool:
    return any(
        (user.op == "Div" and user.input(1) == name) or user.op == "Reciprocal"
        for user in network.users.get(name, ())
    )


def _inside(plan: Plan, sizes: Sizes, node: Node) -> float:
    """The largest value that an operator stores on its way: squares under a root."""
    if node.op != "ReduceL2":
        return 0.0
    x = node.input(0)
    count = plan.network.elements(x) / max(plan.network.elements(node.outputs[0]), 1)
    inner = plan.stored(x, sizes.largest.get(x, 0.0)) ** 2 * count
    return LIMIT * float(np.sqrt(inner / LIMIT)) if inner > LIMIT else 0.0


Moves = tuple[float, dict[str, int]]
_MAX_DEPTH = 24


def _moves(
    plan: Plan, sizes: Sizes, node: Node | None, name: str, change: int, depth: int
) -> Moves | None:
    """The cheapest adjustments that change a tensor by 2^change, and how many nodes they add.

    `node` makes the tensor; None for an input of the graph.
    """
    if node is None:
        return (1.0, {name: change})
    settled = plan.settled[node.index]
    if settled.out is None:
        return None
    if settled.free and not harmed(plan.network, node, plan.adjust.get(name, 0) + change):
        return (0.0, {name: change})
    shares = _shares(plan, sizes, node, change)
    through: Moves | None = None
    if shares is not None and depth < _MAX_DEPTH:
        cost, adjustments = 0.0, dict[str, int]()
        for tensor, amount in shares.items():
            found = _push(plan, sizes, tensor, amount, depth + 1)
            cost += found[0]
            for key, value in found[1].items():
                adjustments[key] = adjustments.get(key, 0) + value
        through = (cost, adjustments)
    if through is None and settled.free:
        return (1.0, {name: change})
    return through


def _push(plan: Plan, sizes: Sizes, name: str, change: int, depth: int) -> Moves:
    """The cheapest way to change an operand: in its own making, or by a node behind it."""
    here: Moves = (1.0, {name: change})
    node = plan.network.producers.get(name)
    if node is None or plan.adjust.get(name, 0):
        return here
    through = _moves(plan, sizes, node, name, change, depth)
    return here if through is None or through[0] >= here[0] else through


def _shares(plan: Plan, sizes: Sizes, node: Node, change: int) -> dict[str, int] | None:
    """How a change of the result is spread over the operands; None if they cannot bring it."""
    network = plan.network
    variables = [n for n in dict.fromkeys(node.inputs) if n and plan.exponents.get(n) is not None]
    op = node.op
    if op in ("Mul", "MatMul") and len(variables) == 2:
        return _balanced(plan, sizes, variables[0], variables[1], change)
    if op == "Mul" and node.input(0) == node.input(1):
        return {variables[0]: _half(change)}
    if op == "ReduceSumSquare":
        return {variables[0]: _half(change)}
    if op == "Pow":
        exponent = network.constants.get(node.input(1))
        p = float(np.asarray(exponent).reshape(-1)[0]) if exponent is not None else 0.0
        if p <= 0 or exponent is None or exponent.size != 1:
            return None
        if p == 0.5:
            return {variables[0]: 2 * change}
        share = ceil(abs(change) / p) * (1 if change > 0 else -1)
        return {variables[0]: share} if p == int(p) else None
    if op == "Sqrt":
        return {variables[0]: 2 * change}
    if op == "Div" and len(variables) == 2:
        return {variables[0]: change}
    if op == "Reciprocal":
        return {variables[0]: -change}
    settled = plan.settled[node.index]
    same = [
        n for n, e in zip(node.inputs, settled.inputs, strict=True)
        if n in variables and e is not None
    ]  # fmt: skip
    if not same or settled.out is None or _is_fixed(plan, node):
        return None
    return dict.fromkeys(same, change)


def _is_fixed(plan: Plan, node: Node) -> bool:
    """Whether no scale passes through: asked with operands scaled, it wants them unscaled."""
    given = tuple(4 if plan.network.is_float(n) and n else None for n in node.inputs)
    return settle(Use(plan.network, node, given)).out == 0


def _half(change: int) -> int:
    return ceil(abs(change) / 2) * (1 if change > 0 else -1)


def _balanced(plan: Plan, sizes: Sizes, a: str, b: str, change: int) -> dict[str, int]:
    """Spreads a change over two factors: the larger one is lowered first."""
    x = log2(max(plan.stored(a, sizes.largest.get(a, 1.0)), 2.0**-20))
    y = log2(max(plan.stored(b, sizes.largest.get(b, 1.0)), 2.0**-20))
    gap = x - y if change < 0 else y - x
    first = min(max((abs(change) + gap) / 2, 0), abs(change))
    share = round(first)
    sign = 1 if change > 0 else -1
    return {n: s * sign for n, s in ((a, share), (b, abs(change) - share)) if s}


def _finish_outputs(plan: Plan, sizes: Sizes) -> None:
    """Outputs go back to their own scale where they fit, else keep one."""
    for name in plan.network.outputs:
        exponent = plan.exponents.get(name)
        size = sizes.largest.get(name, 0.0)
        if exponent is None:
            continue
        if isfinite(size) and size > MAX:
            room = plan.stored(name, size)
            extra = int(log2(LIMIT / room)) if 0 < room < 2.0**8 else 0
            plan.outputs[name] = exponent + extra
            change = extra
        else:
            change = -exponent
        if change:
            plan.adjust[name] = plan.adjust.get(name, 0) + change
    plan.walk()


def largest(values: Mapping[str, float], name: str) -> float:
    """The size of a tensor; infinite if unknown."""
    return values.get(name, inf)
