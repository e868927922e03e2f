"""TopK, which is also ArgMax and ArgMin (section 4.1)."""

from __future__ import annotations

import numpy as np

from ..context import Planner, StageContext

_BY_INDEX = 2


def topk(ctx: StageContext) -> None:
    """TopK 104: the k largest (mode 0) or smallest (1) along a memory axis.

    Of equal elements the first one comes first. Without a wish for order, by value.
    """
    source = ctx.source(0)
    axis, mode, sort = ctx.axis(source.desc), ctx.integer("mode"), ctx.integer("sort")
    has_values, has_indices = bool(ctx.integer("has_values")), bool(ctx.integer("has_indices"))
    if mode not in (0, 1) or sort not in (0, 1, 2) or not (has_values or has_indices):
        raise ctx.fail(f"mode {mode}, sort {sort}")
    if len(ctx.stage.buffers) != 2 + has_values + has_indices:
        raise ctx.fail(f"{len(ctx.stage.buffers)} operands")
    x = source.data
    values = ctx.target(2, "values") if has_values else None
    indices = ctx.target(2 + has_values, "indices") if has_indices else None
    shown = values or indices
    assert shown is not None
    k = shown.data.shape[axis] if shown.data.ndim == x.ndim else 0
    wanted = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    for target in (values, indices):
        if target is not None and (target.data.shape != wanted or not 1 <= k <= x.shape[axis]):
            raise ctx.fail(f"the first {k} of {x.shape} do not give {target.data.shape}")
    ctx.spend(x.size * max(1, x.shape[axis].bit_length()))

    def run() -> None:
        if k == 1:
            pick = x.argmin(axis=axis) if mode else x.argmax(axis=axis)
            order = np.expand_dims(pick, axis)
        else:
            order = np.argsort(x if mode else -x, axis=axis, kind="stable")
            order = order[(slice(None),) * axis + (slice(0, k),)]
            if sort == _BY_INDEX:
                order = np.sort(order, axis=axis)
        if values is not None:
            np.copyto(values.data, np.take_along_axis(x, order, axis), casting="unsafe")
        if indices is not None:
            np.copyto(indices.data, order, casting="unsafe")

    ctx.then(run)
    for target in (values, indices):
        if target is not None:
            ctx.finish(target, source)


PLANNERS: dict[int, Planner] = {104: topk}
