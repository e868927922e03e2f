"""The table of transfer functions: for each operator, bounds of its outputs from its inputs'.

A transfer function gets a `Step` and returns bounds of the *exact* result (or of the FP32 result
where that accumulates rounding: see `Step.slack`); the engine adds the final rounding. An
operator is added by decorating a function with `transfer` in one of the family modules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..fp16 import AnyArray, Array, round_out
from ..network import Network, Node, Shape
from .interval import UNBOUNDED, Interval

FP32_UNIT = 2.0**-23


@dataclass(frozen=True)
class Step:
    """One operator with what is known of its inputs.

    Attributes:
        node: the operator.
        network: the graph.
        inputs: bounds of each input; None where the input is absent.
        constants: constant inputs by position, as the arithmetic at hand has them.
        half: True: FP16 results, as the compiled graph stores them; False: FP32.
    """

    node: Node
    network: Network
    inputs: tuple[Interval | None, ...]
    constants: dict[int, AnyArray]
    half: bool

    def __getitem__(self, index: int) -> Interval:
        value = self.inputs[index] if index < len(self.inputs) else None
        return UNBOUNDED if value is None else value

    def has(self, index: int) -> bool:
        """Whether an optional input is there."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def shape(self, index: int) -> Shape | None:
        """Shape of an input, None if unknown."""
        return self.network.shapes.get(self.node.input(index))

    def out_shape(self, index: int = 0) -> Shape | None:
        """Shape of an output, None if unknown."""
        return self.network.shapes.get(self.node.outputs[index])

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.node.attrs.get(name, default)

    def constant(self, index: int) -> AnyArray | None:
        """A constant input, None if it is absent or computed."""
        return self.constants.get(index)

    def integers(self, index: int, attribute: str = "") -> list[int] | None:
        """A list of integers given as a constant input or, in older opsets, as an attribute."""
        if attribute and attribute in self.node.attrs:
            value = self.node.attrs[attribute]
            return [int(v) for v in value] if isinstance(value, (list, tuple)) else [int(value)]
        constant = self.constants.get(index)
        return None if constant is None else [int(v) for v in np.asarray(constant).reshape(-1)]

    def axes(self, index: int = 1) -> list[int] | None:
        """Reduction axes, not negative; None: not given (all axes) or unknown."""
        found = self.integers(index, "axes")
        shape = self.shape(0)
        if found is None or shape is None:
            return None
        return [a % len(shape) if shape else 0 for a in found]

    def axis(self, default: int) -> int:
        """The attribute `axis`, not negative where the rank is known."""
        shape = self.shape(0)
        value = int(self.attr("axis", default))
        return value % len(shape) if shape else value

    def same(self, first: int, second: int) -> bool:
        """Whether two inputs are one and the same tensor."""
        name = self.node.input(first)
        return bool(name) and name == self.node.input(second)

    def slack(self, count: int, weight: Array | float) -> Array:
        """How far an FP32 sum of `count` products may be from the exact one.

        Args:
            count: number of summands, added one after the other.
            weight: sum of the absolute values of the summands.
        """
        return np.asarray((count + 4) * FP32_UNIT * np.asarray(weight, np.float64))

    def stored(self, value: Interval) -> Interval:
        """The bounds of an intermediate that the compiled graph stores: rounded in FP16."""
        if not self.half:
            return value
        lo, hi = round_out(value.lo, value.hi, half=True)
        return Interval(lo, hi, value.nan)


Result = Interval | Sequence[Interval]
Transfer = Callable[[Step], "Interval | Sequence[Interval]"]


class Rule(NamedTuple):
    """A transfer function and what its results are like.

    Attributes:
        function: the transfer function.
        moves: the results are elements of the inputs, so nothing is rounded.
        ulps: error of the usual FP32 implementation, in units of 2^-23.
        keeps: bounds that some input attains stay attained (monotone and element by element).
    """

    function: Transfer
    moves: bool
    ulps: float
    keeps: bool


RULES: dict[str, Rule] = {}


def transfer(
    *ops: str, moves: bool = False, ulps: float = 0.0, keeps: bool = False
) -> Callable[[Transfer], Transfer]:
    """Registers a transfer function for these operators; see `Rule`."""

    def register(function: Transfer) -> Transfer:
        for op in ops:
            RULES[op] = Rule(function, moves, ulps, keeps or moves)
        return function

    return register
