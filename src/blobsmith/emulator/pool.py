"""Windows reduced along rows and columns, planned for fixed memory."""

from __future__ import annotations

import numpy as np

from .arrays import Array
from .context import StageContext

_SHORT = 8  # up to this many rows or columns, adding them one by one is faster


def plan_windows(
    ctx: StageContext,
    x: Array,
    out: Array,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    combine: np.ufunc,
) -> None:
    """Adds the steps of ``out[..., y, x] = combine over the window at (y, x) * stride``.

    Rows first, then columns: equal to the two-dimensional window for maxima, and for sums up to
    the order of the additions.

    Args:
        ctx: the stage.
        x: (C, H, W) float32; every window lies inside.
        out: (C, OH, OW) float32, any strides.
        kernel: window height and width.
        stride: vertical and horizontal.
        combine: np.maximum or np.add.
    """
    height, width = out.shape[1:]
    (kh, kw), (sy, sx) = kernel, stride
    used = x[:, : (height - 1) * sy + kh, : (width - 1) * sx + kw]
    if kh == kw == 1:
        part = used[:, ::sy, ::sx]
        ctx.then(lambda: np.copyto(out, part))
        return
    ctx.spend((kh + kw) * 64 + used.size // max(used.shape[1], 1) * (kh + kw))
    if height == width == 1:
        whole = out[:, 0, 0]
        ctx.then(lambda: combine.reduce(used, axis=(1, 2), out=whole))
        return
    ctx.spend(kh * x.shape[0] * height * used.shape[2] + kw * out.size)
    rows = ctx.scratch.array("rows", (x.shape[0], height, used.shape[2]))
    if _SHORT < kh == used.shape[1]:
        flat = rows[:, 0]
        ctx.then(lambda: combine.reduce(used, axis=1, out=flat))
    else:
        _slide(ctx, [used[:, k : k + (height - 1) * sy + 1 : sy] for k in range(kh)], rows, combine)
    if _SHORT < kw == rows.shape[2]:
        column = out[:, :, 0]
        ctx.then(lambda: combine.reduce(rows, axis=2, out=column))
    else:
        shifted = [rows[:, :, k : k + (width - 1) * sx + 1 : sx] for k in range(kw)]
        _slide(ctx, shifted, out, combine)


def _slide(
    ctx: StageContext,
    parts: list[Array],
    out: Array,
    combine: np.ufunc,
) -> None:
    if len(parts) == 1:
        ctx.then(lambda: np.copyto(out, parts[0]))
        return

    def run() -> None:
        combine(parts[0], parts[1], out=out)
        for part in parts[2:]:
            combine(out, part, out=out)

    ctx.then(run)
