"""The rules that make a graph faster on the chip: fewer stages, hardware instead of software."""

from __future__ import annotations

from ..rule import Rule
from . import (
    branches,
    broadcasts,
    clamps,
    compares,
    extremes,
    filters,
    masks,
    movement,
    norms,
    pools,
    roots,
    shared,
    weighted_sums,
)

RULES: tuple[Rule, ...] = (
    shared.RULE,
    norms.RULE,
    movement.RULE,
    compares.RULE,
    *masks.RULES,
    *branches.RULES,
    *broadcasts.RULES,
    *clamps.RULES,
    roots.RULE,
    filters.RULE,
    pools.RULE,
    extremes.RULE,
    weighted_sums.RULE,
)
"""All rules of the set."""
