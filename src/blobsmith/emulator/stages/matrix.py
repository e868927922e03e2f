"""FC and GEMM (section 4.4)."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..context import MACS_PER_UNIT, Planner, StageContext
from ..primitives import planned_product


def fully_connected(ctx: StageContext) -> None:
    """FC 4: y = W x. Weights lie IC-major, OC-minor; x is flattened in memory order.

    The order of a spatial input is that of its memory, C-minor as the compiler lays it out.
    """
    source, target, flat = ctx.source(0), ctx.target(1), ctx.constant(2).reshape(-1)
    ids = source.desc.dim_ids[::-1]
    rows = source.data.shape[0] if ids[0] == 3 else 1
    inputs, outputs = source.data.size // rows, target.data.size // rows
    if flat.size != inputs * outputs or rows * outputs != target.data.size:
        raise ctx.fail(f"{flat.size} weights from {source.data.shape} to {target.data.shape}")
    weights = flat.reshape(inputs, outputs)
    ctx.spend(rows * flat.size // MACS_PER_UNIT)
    x = ctx.scratch.array("flat", source.data.shape)
    data, out = source.data, target.data.reshape(rows, outputs)
    ctx.then(
        lambda: np.copyto(x, data),
        planned_product(x.reshape(rows, inputs), weights, out),
    )
    ctx.finish(target, source)


def gemm(ctx: StageContext) -> None:
    """GEMM 91: alpha * A' B' + beta * C; a prime is an optional transposition."""
    has_c = bool(ctx.integer("has_c"))
    last = len(ctx.stage.buffers) - 1
    a, b = ctx.source(0), ctx.source(1)
    target = ctx.target(last)
    left = a.data.swapaxes(-1, -2) if ctx.integer("trans_a") else a.data
    right = b.data.swapaxes(-1, -2) if ctx.integer("trans_b") else b.data
    if left.ndim < 2 or right.ndim < 2 or left.shape[-1] != right.shape[-2]:
        raise ctx.fail(f"a product of {left.shape} and {right.shape}")
    outer = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    if (*outer, left.shape[-2], right.shape[-1]) != target.data.shape:
        raise ctx.fail(f"{left.shape} times {right.shape} is not {target.data.shape}")
    ctx.spend(target.data.size * left.shape[-1] // MACS_PER_UNIT)
    out, alpha, beta = target.data, np.float32(ctx.number("alpha")), np.float32(ctx.number("beta"))
    left, right = _compact(ctx, left, "left"), _compact(ctx, right, "right")
    ctx.then(planned_product(left, right, out))
    if alpha != 1:
        ctx.then(lambda: np.multiply(out, alpha, out=out))
    sources = [a, b]
    if has_c:
        if last < 3:
            raise ctx.fail("it adds a third operand that is not there")
        c = ctx.source(2)
        sources.append(c)
        addend = np.broadcast_to(c.data, out.shape)
        ctx.then(lambda: np.add(out, addend * beta, out=out))
    ctx.finish(target, *sources)


def _compact(ctx: StageContext, matrix: Array, slot: str) -> Array:
    if matrix.flags.c_contiguous:
        return matrix
    copy = ctx.scratch.array(slot, matrix.shape)
    ctx.then(lambda: np.copyto(copy, matrix))
    return copy


PLANNERS: dict[int, Planner] = {4: fully_connected, 91: gemm}
