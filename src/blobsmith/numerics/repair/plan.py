"""A choice of powers of two for all tensors, and what it costs.

`Plan.walk` follows the graph and finds every tensor's exponent from the adjustments made so far;
`search` makes the adjustments.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..network import Network, Node
from .rules import Settled, Use, settle

LIMIT = 2.0**15
"""Tensors are brought below this."""
DIVISOR_LIMIT = 2.0**13
"""Divisors are brought below this: their inverse is stored in FP16 and should not be subnormal."""


@dataclass(frozen=True)
class Sizes:
    """What the plan goes by.

    Attributes:
        largest: largest absolute value of each tensor.
        smallest: smallest absolute value of each tensor that may be divided by; 0 if unknown.
    """

    largest: Mapping[str, float]
    smallest: Mapping[str, float]


Edge = tuple[str, int]


@dataclass
class Plan:
    """A choice of exponents.

    A change is followed through the part of the graph that it reaches and no further, and the
    cost is kept up to date on the way: a search makes many thousand changes.

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
    _behind: dict[int, int] = field(default_factory=dict)
    _edges: dict[int, tuple[Edge, ...]] = field(default_factory=dict)
    _counts: dict[Edge, int] = field(default_factory=dict)

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
        self.settled, self._behind, self._edges, self._counts = {}, {}, {}, {}
        for node in network.steps():
            self._settle(node)
        for node in network.steps():
            self._price(node)

    def _settle(self, node: Node) -> list[str]:
        """Settles a node; returns the outputs whose exponents it changed."""
        network = self.network
        given = tuple(self.exponents.get(n) if n else None for n in node.inputs)
        more = self.adjust.get(node.outputs[0], 0)
        settled = settle(Use(network, node, given))
        if settled.free and more:
            settled = settle(Use(network, node, given, more))
        self.settled[node.index] = settled
        changed = []
        for position, output in enumerate(node.outputs):
            scaled = network.is_float(output) and (position == 0 or node.op == "Split")
            exponent = settled.out if scaled and output else None
            if exponent is not None and not settled.free:
                exponent += self.adjust.get(output, 0)
            if output not in self.exponents or self.exponents[output] != exponent:
                self.exponents[output] = exponent
                changed.append(output)
        return changed

    def _price(self, node: Node) -> None:
        """Counts the multiplications that a node needs; its inputs' exponents are known."""
        for edge in self._edges.get(node.index, ()):
            self._counts[edge] -= 1
            if not self._counts[edge]:
                del self._counts[edge]
        settled = self.settled[node.index]
        self._behind[node.index] = sum(bool(self.scale_of(node, o)) for o in node.outputs)
        edges = tuple({
            (name, wanted)
            for name, wanted in zip(node.inputs, settled.inputs, strict=True)
            if wanted is not None
            and (have := self.exponents.get(name)) is not None
            and wanted != have
        })  # fmt: skip
        self._edges[node.index] = edges
        for edge in edges:
            self._counts[edge] = self._counts.get(edge, 0) + 1

    def cost(self) -> float:
        """How many multiplications the plan puts in; smaller scales first among equals."""
        put_in = sum(bool(self.adjust.get(name, 0)) for name in self.network.inputs)
        put_in += sum(self._behind.values()) + len(self._counts)
        for name in self.network.outputs:
            put_in += bool(self.exponents.get(name)) and name not in self.outputs
        return put_in + 1e-3 * sum(abs(v) for v in self.adjust.values())

    def copy(self) -> Plan:
        """A plan with the same adjustments."""
        return Plan(
            self.network, dict(self.adjust), dict(self.outputs), dict(self.exponents),
            dict(self.settled), list(self.failed), dict(self._behind), dict(self._edges),
            dict(self._counts),
        )  # fmt: skip

    def become(self, other: Plan) -> None:
        """Takes over another plan of the same graph; the other is not used any more."""
        self.adjust, self.exponents, self.settled = other.adjust, other.exponents, other.settled
        self._behind, self._edges, self._counts = other._behind, other._edges, other._counts

    def change(self, name: str, amount: int) -> None:
        """Adjusts a tensor, and follows what that changes."""
        self.adjust[name] = self.adjust.get(name, 0) + amount
        producer = self.network.producers.get(name)
        pending: list[int] = []
        if producer is None:
            if name in self.network.inputs and self.network.is_float(name):
                self.exponents[name] = self.adjust[name]
            pending += [user.index for user in self.network.users.get(name, ())]
        else:
            pending.append(producer.index)
        heapq.heapify(pending)
        visited = -1
        while pending:
            index = heapq.heappop(pending)
            if index == visited:
                continue
            visited = index
            node = self.network.nodes[index]
            for output in self._settle(node):
                for user in self.network.users.get(output, ()):
                    heapq.heappush(pending, user.index)
            self._price(node)

    def stored(self, name: str, size: float) -> float:
        """A size as the tensor is stored."""
        return float(size * 2.0 ** (self.exponents.get(name) or 0))

    def undone(self) -> dict[str, int]:
        """Powers of two behind outputs that hold another scale inside the graph."""
        found = {}
        for name in self.network.outputs:
            exponent = self.exponents.get(name)
            if name in self.network.inputs or exponent is None:
                continue
            if exponent != self.outputs.get(name, 0):
                found[name] = self.outputs.get(name, 0) - exponent
        return found

    def scale_of(self, node: Node, output: str) -> int:
        """The power of two that is put in behind an output, where constants cannot take it."""
        if self.settled[node.index].free or self.exponents.get(output) is None:
            return 0
        return self.adjust.get(output, 0)
