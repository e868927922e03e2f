"""The rules that a graph needs so that the compiler accepts it and computes it right."""

from __future__ import annotations

from ..rule import Rule
from . import (
    activations,
    compare,
    computed_kernels,
    cube_roots,
    cubes,
    discriminants,
    doubles,
    einsum,
    elementary,
    encodings,
    fold,
    forms,
    gathers,
    grid,
    guards,
    histogram,
    integers,
    lengths,
    levels,
    log1p,
    logarithms,
    loops,
    mixtures,
    moments,
    narrow,
    nonfinite,
    norms,
    outputs,
    pads,
    pools,
    ranks,
    remainders,
    resize,
    scalars,
    scatter,
    sequences,
    spectral,
    stable,
    tables,
    transposed,
    volumes,
    weights,
    wholes,
)

_MODULES = (
    activations, compare, computed_kernels, cube_roots, cubes, discriminants, doubles, einsum,
    elementary, encodings, fold, forms, gathers, grid, guards, histogram, integers, lengths,
    levels, log1p, logarithms, loops, mixtures, moments, narrow, nonfinite, norms, outputs,
    pads, pools, ranks, remainders, resize, scalars, scatter, sequences, spectral, stable,
    tables, transposed, volumes, weights, wholes,
)  # fmt: skip

RULES: tuple[Rule, ...] = tuple(rule for module in _MODULES for rule in module.RULES)
"""All rules of the set."""
