"""Convolution by a matrix product of weights and patches."""

from __future__ import annotations

import numpy as np

from .arrays import Array
from .context import StageContext
from .geometry import Geometry, plan_padded
from .operands import Step
from .primitives import planned_product

CALL_UNITS = 1 << 13
"""Work counted for the overhead of one step."""

_COLUMN_FLOATS = 1 << 20
_MOST_COLUMN_FLOATS = 1 << 27


def plan_matrix(
    ctx: StageContext,
    x: Array,
    weights: Array,
    bias: Array | None,
    out: Array,
    geometry: Geometry,
) -> None:
    """Patches to columns, a block of rows at a time, and a product with the weights."""
    outputs, inputs, kh, kw = weights.shape
    height, width = out.shape[1:]
    flat = weights.reshape(outputs, -1)
    result = out.reshape(outputs, -1)
    reach = geometry.reach((kh, kw), (height, width))
    x = plan_padded(ctx, x, reach, geometry.top, geometry.left)
    sy, sx = geometry.stride_y, geometry.stride_x
    depth = inputs * kh * kw
    if depth * width > _MOST_COLUMN_FLOATS:
        raise ctx.fail(f"patches of {depth} elements, {width} in a row")
    rows = max(1, min(height, _COLUMN_FLOATS // (depth * width)))
    c, h, w = x.strides
    patches = np.lib.stride_tricks.as_strided(
        x,
        (inputs, kh, kw, height, width),
        (c, h * geometry.dilation_y, w * geometry.dilation_x, h * sy, w * sx),
        writeable=False,
    )
    if kh == kw == sy == sx == 1 and x.flags.c_contiguous:
        columns = x.reshape(inputs, -1)
        ctx.then(planned_product(flat, columns, result))
    else:
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            ctx.spend(CALL_UNITS)
            ctx.then(*_block(ctx, flat, patches[..., start:stop, :], result, start * width))
    if bias is not None and bias.any():
        column = np.ascontiguousarray(bias.reshape(-1, 1))
        ctx.then(lambda: np.add(result, column, out=result))


def _block(
    ctx: StageContext,
    flat: Array,
    patches: Array,
    result: Array,
    start: int,
) -> list[Step]:
    columns = ctx.scratch.array("columns", patches.shape)
    matrix = columns.reshape(flat.shape[1], -1)
    count = matrix.shape[1]
    product = ctx.scratch.array("product", (flat.shape[0], count))
    place = result[:, start : start + count]
    if count == result.shape[1]:
        return [
            lambda: np.copyto(columns, patches),
            planned_product(flat, matrix, place),
        ]
    return [
        lambda: np.copyto(columns, patches),
        planned_product(flat, matrix, product),
        lambda: np.copyto(place, product),
    ]
