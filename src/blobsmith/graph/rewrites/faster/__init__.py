"""The rules that make a graph faster on the chip: fewer stages, hardware instead of software."""

from __future__ import annotations

from ..rule import Rule
from . import (
    branches,
    broadcasts,
    centring,
    channel_sums,
    channels_last,
    clamps,
    compares,
    cosines,
    decided,
    extremes,
    filters,
    layouts,
    masks,
    morphology,
    movement,
    norms,
    pads,
    pools,
    roots,
    shared,
    siblings,
    squares,
    staying,
    weighted_sums,
)

RULES: tuple[Rule, ...] = (
    shared.RULE,
    norms.RULE,
    decided.RULE,
    movement.RULE,
    channels_last.RULE,
    layouts.RULE,
    compares.RULE,
    *masks.RULES,
    *branches.RULES,
    *broadcasts.RULES,
    *clamps.RULES,
    cosines.RULE,
    roots.RULE,
    channel_sums.RULE,
    filters.RULE,
    staying.RULE,
    centring.RULE,
    siblings.RULE,
    pads.RULE,
    *pools.RULES,
    morphology.RULE,
    squares.RULE,
    extremes.RULE,
    *weighted_sums.RULES,
)
"""All rules of the set."""
