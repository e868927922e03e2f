"""GridSample with a constant grid: rotation, warping, remapping, undistortion.

The compiler has no GridSample (opset 16). With a constant grid every output pixel is a fixed
weighted sum of a few input pixels:

- a grid that treats rows and columns apart (translation, scaling, cropping) is two matrices, and
  only Slices and Pads where they move whole pixels;
- any other is one Gather from the flattened image for each tap, times its weights.

A grid that is computed from data is refused: FP16 holds positions near 160 to 0.06 or 0.125 of a
pixel only, which no rewriting can repair.
"""

from __future__ import annotations

import math

import numpy as np

from ...builder import Builder
from ...editor import Array, Editor
from ...node import Node
from ..rule import Approx, Change, Outcome, Refused, Rule
from .sampling import Sampler, Taps, as_matrix, pixels, taps
from .separable import along

_MODES = {
    "bilinear": "linear", "linear": "linear", "nearest": "nearest",
    "bicubic": "cubic", "cubic": "cubic",
}  # fmt: skip
_SNAP = 1e-4  # of a pixel: what FP32 arithmetic in the exported grid leaves of whole numbers
_APART = 2e-4


def _sampler(node: Node) -> Sampler:
    mode = _MODES[str(node.attrs.get("mode", "bilinear"))]
    padding = str(node.attrs.get("padding_mode", "zeros"))
    return Sampler(mode, padding, bool(node.attrs.get("align_corners", 0)))  # type: ignore[arg-type]


def find(editor: Editor, node: Node) -> Outcome:
    """A GridSample of 2-D images with a constant grid."""
    grid, shape = editor.constant(node.inputs[1]), editor.shape(node.inputs[0])
    if grid is None:
        return Refused("FP16 holds positions in a picture to 1/16 or 1/8 of a pixel only")
    if shape is None or len(shape) != 4:
        return Refused("it samples volumes")
    sampler = _sampler(node)

    def apply() -> None:
        b = Builder(editor, like=node)
        grids = grid if shape[0] > 1 and not (grid == grid[:1]).all() else grid[:1]
        parts = []
        for index, one in enumerate(grids):
            image = node.inputs[0]
            if len(grids) > 1:
                image = b.slice(image, 0, index, index + 1)
            parts.append(_sampled(b, image, one, sampler))
        b.commit([node], {node.output: b.concat(parts, 0)})

    return Change(apply, nodes=(node,))


def _sampled(b: Builder, image: str, grid: Array, sampler: Sampler) -> str:
    """One image, or several with the same grid [h, w, 2]."""
    height, width = b.shape(image)[2:]
    x = _positions(grid[..., 0], width, sampler)
    y = _positions(grid[..., 1], height, sampler)
    for swap in (False, True):
        # turned by a quarter, a row of the result runs down a column of the picture
        rows, columns = (x, y) if swap else (y, x)
        if np.ptp(rows, axis=1).max() > _APART or np.ptp(columns, axis=0).max() > _APART:
            continue
        source = b.transpose(image, [0, 1, 3, 2]) if swap else image
        first, second = b.shape(source)[2:]
        source = along(b, source, 2, as_matrix(taps(rows[:, 0], first, sampler), first))
        return along(b, source, 3, as_matrix(taps(columns[0], second, sampler), second))
    return _gathered(b, image, taps(y, height, sampler), taps(x, width, sampler))


def _positions(grid: Array, size: int, sampler: Sampler) -> Array:
    if sampler.mode == "nearest":  # which of two pixels is nearer is decided in FP32
        return pixels(grid, size, sampler.align_corners, np.float32)
    return _snapped(pixels(grid, size, sampler.align_corners))


def _snapped(position: Array) -> Array:
    whole = np.rint(position)
    return np.where(np.abs(position - whole) < _SNAP, whole, position)


def _gathered(b: Builder, image: str, rows: Taps, columns: Taps) -> str:
    """A Gather from the flattened image for every pair of taps that carries weight."""
    batch, channels, height, width = b.shape(image)
    out = list(rows.index.shape[1:])
    flat = b.reshape(image, [batch, channels, height * width])
    total: list[str] = []
    for row, row_weight in zip(rows.index, rows.weight, strict=True):
        for column, column_weight in zip(columns.index, columns.weight, strict=True):
            weight = (row_weight * column_weight).astype(np.float32)
            weight = np.where(np.abs(weight) < 2.0**-14, 0.0, weight).reshape(1, 1, -1)
            if not weight.any():
                continue
            index = (row * width + column).reshape(-1)
            taken = b.op("Gather", flat, index, axis=2)
            if not (weight == 1).all():
                taken = b.op("Mul", taken, weight.astype(np.float32))
            total.append(taken)
    if not total:
        zeros = np.zeros((batch, channels, math.prod(out)), np.float32)
        total.append(b.op("Mul", b.op("Gather", flat, np.zeros(math.prod(out), np.int64), axis=2),
                          zeros[:1, :1]))  # fmt: skip
    return b.reshape(b.sum(total), [batch, channels, *out])


RULES = (
    Rule(
        "constant-grid", "needed", Approx(1.0, of_scale=1.0),
        "the compiler has no GridSample: matrices, or a Gather for each tap",
        ("GridSample",), find, order=30,
    ),
)  # fmt: skip
