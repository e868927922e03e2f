"""A choice of powers of two for all tensors, and what it costs.

`Plan.walk` follows the graph and finds every tensor's exponent from the adjustments made so far;
`search` makes the adjustments.
"""

from __future__ import annotations

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
            self.settled[node.index] = settled
            for position, output in enumerate(node.outputs):
                scaled = network.is_float(output) and (position == 0 or node.op == "Split")
                exponent = settled.out if scaled and output else None
                if exponent is not None and not settled.free:
                    exponent += self.adjust.get(output, 0)
                self.exponents[output] = exponent

    def cost(self) -> float:
        """How many multiplications the plan puts in; smaller scales first among equals."""
        put_in = 0
        edges: set[tuple[str, int]] = set()
        for name in self.network.inputs:
            put_in += bool(self.adjust.get(name, 0))
        for node in self.network.steps():
            settled = self.settled[node.index]
            put_in += sum(bool(self.scale_of(node, output)) for output in node.outputs)
            for name, wanted in zip(node.inputs, settled.inputs, strict=True):
                have = self.exponents.get(name)
                if wanted is not None and have is not None and wanted != have:
                    edges.add((name, wanted))
        for name in self.network.outputs:
            put_in += bool(self.exponents.get(name)) and name not in self.outputs
        return put_in + len(edges) + 1e-3 * sum(abs(v) for v in self.adjust.values())

    def copy(self) -> Plan:
        """A plan with the same adjustments, walked."""
        other = Plan(self.network, dict(self.adjust), dict(self.outputs), failed=list(self.failed))
        other.walk()
        return other

    def change(self, name: str, amount: int) -> None:
        """Adjusts a tensor, and follows what that changes."""
        self.adjust[name] = self.adjust.get(name, 0) + amount
        self.walk()

    def stored(self, name: str, size: float) -> float:
        """A size as the tensor is stored."""
        return float(size * 2.0 ** (self.exponents.get(name) or 0))

    def scale_of(self, node: Node, output: str) -> int:
        """The power of two that is put in behind an output, where constants cannot take it."""
        if self.settled[node.index].free or self.exponents.get(output) is None:
            return 0
        return self.adjust.get(output, 0)
