"""Looking for a plan under which every tensor fits into FP16 with room.

The search starts from no scaling. Where a tensor would be too large (or a divisor's inverse would),
it is lowered: where constants can take the factor, otherwise by scaling what it is made from, or
by a multiplication put in; whatever puts in the fewest. Then it looks again, until everything fits
or nothing more can be done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, isfinite, log2

import numpy as np

from ..fp16 import MAX, SMALLEST_NORMAL
from ..network import Network, Node
from .plan import DIVISOR_LIMIT, LIMIT, Plan, Sizes
from .rules import Use, harmed, settle

LIFT_BELOW = 2.0**-2
LIFT_TO = 2.0**12
GUARDED = 2.0**-20
"""A divisor's lower bound below this is a guard against 0, not a size to plan for."""
_MAX_DEPTH = 24


def make(
    network: Network, sizes: Sizes, *, lift: bool, far: bool, over: Callable[[], bool] | None = None
) -> Plan:
    """A plan for these sizes.

    Args:
        network: the graph.
        sizes: how large the tensors get.
        lift: also raise small tensors whose constants can take the factor.
        far: scale as early in the graph as possible, not as late.
        over: whether the time is up; the plan is then left as far as it has come, which is a
            plan all the same.
    """
    plan = Plan(network)
    plan.walk()
    search = _Search(sizes, far, over or (lambda: False), network)
    if lift:
        search.lift(plan)
    for _ in range(2 * len(network.nodes) + 16):
        if not search.improve(plan):
            break
    search.relax(plan)
    search.finish_outputs(plan)
    return plan


class _Search:
    def __init__(self, sizes: Sizes, far: bool, over: Callable[[], bool], network: Network) -> None:
        self.sizes, self.far, self.over = sizes, far, over
        self.divisors = frozenset(_divisors(network))
        self.checked = 0  # nodes before this one are known to fit

    def size(self, plan: Plan, name: str) -> float:
        """How large a tensor is as the plan stores it."""
        return plan.stored(name, self.sizes.largest.get(name, 0.0))

    def lift(self, plan: Plan) -> None:
        """Raises small tensors at their making, and what small constants are added to."""
        for node in plan.network.steps():
            if self.over():
                return
            self.lift_addition(plan, node)
            name = node.outputs[0]
            size = self.sizes.largest.get(name, 0.0)
            if plan.settled[node.index].free and 0 < size < LIFT_BELOW:
                now = self.size(plan, name)
                amount = min(int(log2(LIFT_TO / now)), 24) if 0 < now < LIFT_TO else 0
                if amount and not harmed(plan.network, node, amount):
                    plan.change(name, amount)

    def lift_addition(self, plan: Plan, node: Node) -> None:
        """Raises a sum with a constant that FP16 would lose, as far as there is room."""
        values = [plan.network.constants[n] for n in node.inputs if n in plan.network.constants]
        if node.op not in ("Add", "Sub") or len(values) != 1 or values[0].size != 1:
            return
        constant = abs(float(np.asarray(values[0]).reshape(-1)[0]))
        name = node.outputs[0]
        if not 0 < constant < SMALLEST_NORMAL or plan.exponents.get(name) is None:
            return
        room = int(log2(LIMIT / max(self.size(plan, name), LIMIT * 2.0**-40)))
        wanted = ceil(log2(2 * SMALLEST_NORMAL / constant)) - (plan.exponents.get(name) or 0)
        change = min(wanted, room)
        if change > 0:
            better = self.made_smaller(plan, node, name, change, 0)
            if better is not None:
                plan.become(better)

    def improve(self, plan: Plan) -> bool:
        """Mends the first tensor that is out of range; False if there is none (left)."""
        for node in plan.network.nodes[self.checked :]:
            if node.op == "Constant":
                continue
            if self.over():
                return False
            for name in node.outputs:
                if not name or name in plan.failed or plan.exponents.get(name) is None:
                    continue
                change = self.needed(plan, node, name)
                if not change:
                    continue
                better = self.made_smaller(plan, node, name, change, 0)
                if better is None or better.adjust == plan.adjust:
                    plan.failed.append(name)
                    continue
                self.checked = self.first_change(plan, better)
                plan.become(better)
                return True
        return False

    def first_change(self, before: Plan, after: Plan) -> int:
        """The first node that another choice of adjustments can concern."""
        names = [n for n, v in after.adjust.items() if before.adjust.get(n, 0) != v]
        names += [n for n in before.adjust if n not in after.adjust]
        makers = [before.network.producers.get(name) for name in names]
        return min((0 if maker is None else maker.index for maker in makers), default=0)

    def relax(self, plan: Plan) -> None:
        """Takes back what was scaled too far, as long as everything still fits."""
        for name in list(plan.adjust):
            while plan.adjust[name] < 0 and not self.over():
                cost = int(plan.cost())
                plan.change(name, 1)
                if not self.fits(plan) or int(plan.cost()) > cost:
                    plan.change(name, -1)
                    break

    def fits(self, plan: Plan) -> bool:
        """Whether no tensor has to change, apart from those for which nothing can be done."""
        return not any(
            self.needed(plan, node, name)
            for node in plan.network.steps()
            for name in node.outputs
            if name and name not in plan.failed and plan.exponents.get(name) is not None
        )

    def needed(self, plan: Plan, node: Node, name: str) -> int:
        """By how many powers of two a tensor has to change; 0 if it fits."""
        size = self.sizes.largest.get(name, 0.0)
        if not isfinite(size) or not size:
            return 0
        stored, limit = plan.stored(name, size), LIMIT
        if name in self.divisors:
            limit = DIVISOR_LIMIT
            smallest = plan.stored(name, self.sizes.smallest.get(name, 0.0))
            reachable = self.sizes.smallest.get(name, 0.0) >= GUARDED
            if reachable and smallest < 1 / LIMIT and stored < limit / 4:
                return min(ceil(log2(1 / LIMIT / smallest)) + 1, int(log2(limit / stored)))
        stored = max(stored, self.inside(plan, node))
        return -ceil(log2(stored / limit)) if stored > limit else 0

    def inside(self, plan: Plan, node: Node) -> float:
        """What counts for an operator that stores larger values on its way: squares in a root."""
        if node.op != "ReduceL2":
            return 0.0
        x = node.input(0)
        count = plan.network.elements(x) / max(plan.network.elements(node.outputs[0]), 1)
        inner = self.size(plan, x) ** 2 * count
        return LIMIT * float(np.sqrt(inner / LIMIT)) if inner > LIMIT else 0.0

    def made_smaller(
        self, plan: Plan, node: Node, name: str, change: int, depth: int
    ) -> Plan | None:
        """The plan under which a node's result changes by 2^change; None if it cannot.

        Nothing is put in behind the node: its own result would be out of range.
        """
        settled = plan.settled[node.index]
        if settled.out is None:
            return None
        here: Plan | None = None
        if settled.free:
            here = plan.copy()
            here.change(name, change)
            if harmed(plan.network, node, here.adjust[name]):
                return self.through(plan, node, name, change, depth) or here
            if not self.far:
                return here
        through = self.through(plan, node, name, change, depth)
        if here is None or through is None:
            return through or here
        return through if through.cost() <= here.cost() else here

    def through(self, plan: Plan, node: Node, name: str, change: int, depth: int) -> Plan | None:
        """The change brought about by the node's operands, one after the other."""
        if depth >= _MAX_DEPTH:
            return None
        target = (plan.exponents.get(name) or 0) + change
        result = plan.copy()
        for _ in range(len(node.inputs) + 1):
            left = target - (result.exponents.get(name) or 0)
            if left == 0 or (left > 0) != (change > 0):
                return result
            share = self.share(result, node, left)
            if share is None:
                return None
            before = dict(result.adjust)
            result = self.push(result, share[0], share[1], depth + 1)
            if result.adjust == before:
                return None
        left = target - (result.exponents.get(name) or 0)
        return result if left == 0 or (left > 0) != (change > 0) else None

    def push(self, plan: Plan, name: str, change: int, depth: int) -> Plan:
        """The cheapest plan under which an operand changes: at its making, or put in behind."""
        here = plan.copy()
        here.change(name, change)
        node = plan.network.producers.get(name)
        if node is None:
            return here
        through = self.made_smaller(plan, node, name, change, depth)
        if through is None:
            return here
        return through if through.cost() <= here.cost() else here

    def share(self, plan: Plan, node: Node, change: int) -> tuple[str, int] | None:
        """The operand to change next, and by how much, to change the result."""
        network, op = plan.network, node.op
        variables = [n for n in dict.fromkeys(node.inputs) if plan.exponents.get(n) is not None]
        if not variables:
            return None
        if op in ("Mul", "MatMul") and len(variables) == 2:
            return self.factor(plan, variables[0], variables[1], change)
        if (op == "Mul" and node.input(0) == node.input(1)) or op == "ReduceSumSquare":
            return variables[0], _part(change, 2)
        if op == "Pow":
            exponent = network.constants.get(node.input(1))
            p = float(np.asarray(exponent).reshape(-1)[0]) if exponent is not None else 0.0
            if p == 0.5:
                return variables[0], 2 * change
            return (variables[0], _part(change, p)) if p > 0 and p == int(p) else None
        if op == "Sqrt":
            return variables[0], 2 * change
        if op == "Div" and len(variables) == 2:
            return variables[0], change
        if op == "Reciprocal":
            return variables[0], -change
        if _is_fixed(network, node):
            return None
        settled = plan.settled[node.index]
        joined = [
            (plan.exponents.get(n) or 0, n)
            for n, e in zip(node.inputs, settled.inputs, strict=True)
            if n in variables and e is not None
        ]
        if not joined:
            return None
        # a join takes its operands' lowest exponent: lower the highest first, raise the lowest
        have, name = max(joined) if change < 0 else min(joined)
        wanted = (plan.exponents.get(node.outputs[0]) or 0) + change
        return name, wanted - have

    def factor(self, plan: Plan, a: str, b: str, change: int) -> tuple[str, int]:
        """Which of two factors to change: the larger is lowered, the smaller raised."""
        x = log2(max(self.size(plan, a), 2.0**-20))
        y = log2(max(self.size(plan, b), 2.0**-20))
        gap = x - y if change < 0 else y - x
        share = round(min(max((abs(change) + gap) / 2, 0), abs(change)))
        sign = 1 if change > 0 else -1
        return (a, share * sign) if share else (b, change)

    def finish_outputs(self, plan: Plan) -> None:
        """Outputs go back to their own scale where they fit, else keep one.

        One that is read inside the graph too is left as it is there: it is undone behind it.
        """
        for name in plan.network.outputs:
            exponent, size = plan.exponents.get(name), self.sizes.largest.get(name, 0.0)
            if exponent is None:
                continue
            change = -exponent
            if isfinite(size) and size > MAX:
                room = plan.stored(name, size)
                change = int(log2(LIMIT / room)) if 0 < room < 2.0**8 else 0
                plan.outputs[name] = exponent + change
            if change and not plan.network.users.get(name):
                plan.change(name, change)


def _part(change: int, degree: float) -> int:
    return ceil(abs(change) / degree) * (1 if change > 0 else -1)


def _divisors(network: Network) -> Iterator[str]:
    """The tensors that something is divided by."""
    for node in network.steps():
        if node.op == "Div":
            yield node.input(1)
        elif node.op == "Reciprocal":
            yield node.input(0)


def _is_fixed(network: Network, node: Node) -> bool:
    """Whether no scale passes through: asked with operands scaled, it wants them unscaled."""
    given = tuple(4 if n and network.is_float(n) else None for n in node.inputs)
    return settle(Use(network, node, given)).out == 0
