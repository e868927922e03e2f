"""Stages that move, repeat or select elements: they move entries of the map."""

from __future__ import annotations

import numpy as np

from ..blob.records import Location
from ..numerics.intervals import Interval, make
from .context import Context, rule


@rule(19, 56)
def _copy(ctx: Context) -> None:
    source = ctx.memory.entries(ctx.buffer(0))
    ctx.memory.put(ctx.buffer(1), source.reshape(ctx.buffer(1).desc.shape))


@rule(34)
def _permute(ctx: Context) -> None:
    order = ctx.stage.fields["permutation"]
    assert isinstance(order, tuple)
    rank = len(ctx.buffer(0).desc.dims)
    axes = [rank - 1 - order[rank - 1 - k] for k in range(rank)]
    ctx.memory.put(ctx.buffer(1), ctx.memory.entries(ctx.buffer(0)).transpose(axes))


@rule(28)
def _tile(ctx: Context) -> None:
    source = ctx.memory.entries(ctx.buffer(0))
    axis = source.ndim - 1 - int(ctx.number("axis"))
    repeats = [1] * source.ndim
    repeats[axis] = int(ctx.number("tiles"))
    ctx.memory.put(ctx.buffer(1), np.tile(source, repeats))


@rule(71)
def _pad(ctx: Context) -> Interval | None:
    begins, ends = ctx.stage.fields["begins"], ctx.stage.fields["ends"]
    assert isinstance(begins, tuple)
    assert isinstance(ends, tuple)
    source = ctx.memory.entries(ctx.buffer(0))
    pads = [(begins[i], ends[i]) for i in range(source.ndim)][::-1]
    mode = {0: "constant", 1: "edge", 2: "reflect", 3: "symmetric"}[int(ctx.number("mode"))]
    if mode == "constant":
        fill = int(ctx.memory.add(make(ctx.number("value"), ctx.number("value")))[0])
        ctx.memory.put(ctx.buffer(1), np.pad(source, pads, constant_values=fill))
    else:
        ctx.memory.put(ctx.buffer(1), np.pad(source, pads, mode=mode))  # type: ignore[call-overload]
    return None


@rule(100)
def _gather(ctx: Context) -> Interval | None:
    if ctx.buffer(2).location is not Location.BLOB:
        return ctx.value(0).flat()
    source = ctx.memory.entries(ctx.buffer(0))
    axis = source.ndim - 1 - int(ctx.number("axis"))
    where = ctx.memory.constants(ctx.buffer(2)).astype(np.int64)
    taken = np.take(source, where, axis)
    target = ctx.buffer(1).desc.shape
    if taken.size != int(np.prod(target)):
        return ctx.value(0).flat()
    ctx.memory.put(ctx.buffer(1), taken.reshape(target))
    return None


@rule(72, 1, 60, 133)
def _selects(ctx: Context) -> Interval:
    """Elements of the same channel."""
    value = ctx.value(0)
    return value.flat() if ctx.stage.type_id == 133 else value


@rule(139)
def _selects_anywhere(ctx: Context) -> Interval:
    return ctx.value(0).flat()


@rule(73, 2, 67)
def _mixes(ctx: Context) -> Interval:
    """Means of elements of the same channel, zeros among them where there is padding."""
    value = ctx.value(0)
    if ctx.stage.type_id == 67:
        return value
    pads = ctx.stage.type_id == 2 and not ctx.number("pad_left") and not ctx.number("pad_top")
    if pads and _inside(ctx):
        return value
    return make(np.minimum(value.lo, 0), np.maximum(value.hi, 0), value.nan)


def _inside(ctx: Context) -> bool:
    """Whether no pooling window reaches beyond the input."""
    before = dict(zip(ctx.buffer(0).desc.dim_ids, ctx.buffer(0).desc.dims, strict=True))
    after = dict(zip(ctx.buffer(1).desc.dim_ids, ctx.buffer(1).desc.dims, strict=True))
    spans = ((0, "w"), (1, "h"))
    return all(
        (after.get(d, 1) - 1) * ctx.number(f"stride_{s}") + ctx.number(f"kernel_{s}")
        <= before.get(d, 1)
        for d, s in spans
    )


@rule(104)
def _topk(ctx: Context) -> Interval:
    """Values and indices together: wide, but of no harm to either."""
    value = ctx.value(0).flat()
    return make(
        min(value.low, 0.0), max(value.high, float(max(ctx.buffer(0).desc.dims))), value.nan
    )
