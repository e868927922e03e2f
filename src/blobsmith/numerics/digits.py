"""Which operator loses digits: the error that FP16 makes, introduced or inherited."""

from __future__ import annotations

from collections.abc import Mapping
from math import log10

from .network import Network, Node
from .seen import Recording, Seen

UNIT = 2.0**-12
"""Relative error that rounding to FP16 makes on average; less than this is no loss."""


def relative(seen: Seen | None) -> float:
    """A tensor's FP16 error as a share of its values, at least that of rounding."""
    return UNIT if seen is None else max(seen.relative_error, UNIT)


def lost(network: Network, recording: Recording) -> Mapping[str, float]:
    """Decimal digits that each operator loses beyond what its inputs had lost, by output."""
    found: dict[str, float] = {}
    for node in network.steps():
        inherited = max(
            (relative(recording.tensors.get(n)) for n in node.inputs if n), default=UNIT
        )
        for name in node.outputs:
            seen = recording.tensors.get(name)
            if seen is not None:
                found[name] = max(log10(relative(seen) / inherited), 0.0)
    return found


def worst(network: Network, recording: Recording) -> Node | None:
    """The operator that loses the most digits; None if none loses a quarter of one."""
    digits = lost(network, recording)
    if not digits:
        return None
    name = max(digits, key=lambda n: digits[n])
    return network.producers[name] if digits[name] >= 0.25 else None
