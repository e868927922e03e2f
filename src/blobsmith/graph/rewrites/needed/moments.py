"""Local variances and covariances: mean of products less product of means, without cancellation.

`F(x y) - F(x) F(y)`, with a smoothing filter F whose weights add up to 1, is how the variance in a
window is written (SSIM, local contrast, guided filters). Both terms lie near the square of the
brightness, and FP16 keeps three digits of each: where the picture is smooth nothing is left of the
difference. A constant taken from x and y changes nothing, so each block of pixels takes its own:
the differences to the middle of the block are small where the variance is.

A convolution makes, for each block of s x s results, the differences of the patch that they read
to the mean of its middle, as channels; squares, their weighted sums and the difference of both
follow on 1/s^2 of the positions, and the pixels return to their places at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...bounds import FP16_MAX, bounds
from ...builder import Builder
from ...editor import Array, Editor
from ...node import Node
from ..rule import Approx, Change, Outcome, Refused, Rule
from .smoothing import Smoothing, smoothing_of

_MOST_CHANNELS = 512
_BLOCKS = range(2, 9)
_ROUNDING = 0.02
_LARGEST = 15.9  # of the differences, so that the weights of their squares are large
_SMALLEST = 2.0**-14


@dataclass(frozen=True)
class _Layout:
    """How results are taken in blocks.

    Attributes:
        block: results of a block in each direction.
        patch: rows and columns of pixels that the results of a block are made of.
        rows: blocks below each other in a channel, the unused ones at its end included.
        width: columns of the padded picture.
        made: shape of the results.
    """

    block: int
    patch: tuple[int, int]
    rows: int
    width: int
    made: tuple[int, ...]


def _factors(editor: Editor, value: str) -> tuple[str, str] | None:
    """The two factors of a product or a square."""
    node = editor.producer(value)
    if node is None:
        return None
    if node.op == "Mul" and not any(i in editor.constants for i in node.inputs):
        return node.inputs[0], node.inputs[1]
    if node.op == "Pow" and editor.scalar(node.inputs[1]) == 2:
        return node.inputs[0], node.inputs[0]
    return None


def find(editor: Editor, node: Node) -> Outcome:
    """F(x y) - F(x) F(y)."""
    means = _factors(editor, node.inputs[1])
    joint = smoothing_of(editor, node.inputs[0]) if means is not None else None
    factors = _factors(editor, joint.source) if joint is not None else None
    if means is None or joint is None or factors is None:
        return None
    apart = [smoothing_of(editor, mean) for mean in means]
    if any(a is None or not a.same_as(joint) for a in apart):
        return None
    sources = tuple(a.source for a in apart if a is not None)
    if sorted(sources) != sorted(factors):
        return None
    shape, made = editor.shape(factors[0]), editor.shape(node.output)
    if shape is None or made is None or editor.shape(factors[1]) != shape:
        return None
    block = _block(joint.kernel)
    if block is None:
        return Refused("its window is too large to be taken in blocks")
    plain = [_unscaled(editor, f) for f in factors]
    magnitude = max(bounds(editor, f).magnitude for f in factors)
    if not 0 < magnitude < math.inf:
        return Refused("nothing bounds what is averaged")

    layout = _layout(joint, block, made)

    def apply() -> None:
        b = Builder(editor, like=node)
        largest = max(bounds(editor, value).magnitude for value, _ in plain)
        scale = 2.0 ** -math.ceil(math.log2(largest / _LARGEST))
        patches = [_patches(b, value, joint, layout, scale) for value, _ in plain]
        result = _covariance(b, patches, joint.kernel, layout, scale**-2)
        factor = math.prod(k for _, k in plain)
        result = result if factor == 1 else b.op("Mul", result, factor)
        b.commit([node], {node.output: _pixels(b, result, layout)})

    exactness = Approx(_ROUNDING, floor=max(magnitude**2, 2.0**-14))
    return Change(apply, nodes=(node,), exactness=exactness)


def _unscaled(editor: Editor, value: str) -> tuple[str, float]:
    """(u, k) for a value k * u: of bytes the differences are exact, of bytes / 255 they are not."""
    node = editor.producer(value)
    if node is None or node.op not in ("Mul", "Div"):
        return value, 1.0
    for index in (0, 1) if node.op == "Mul" else (1,):
        number, inner = editor.scalar(node.inputs[index]), node.inputs[1 - index]
        if number and math.isfinite(number) and editor.shape(inner) == editor.shape(value):
            if bounds(editor, inner).magnitude ** 2 > FP16_MAX:
                break
            return inner, number if node.op == "Mul" else 1 / number
    return value, 1.0


def _block(kernel: Array) -> int | None:
    """The block that makes the fewest elements of patches, smaller than the window."""
    most = max(min(kernel.shape) - 1, 2)
    fits = [s for s in _BLOCKS if s <= most and _patch(kernel, s) <= _MOST_CHANNELS]
    return min(fits, key=lambda s: _patch(kernel, s) / s**2, default=None)


def _patch(kernel: Array, block: int) -> int:
    """How many pixels the results of one block are made of."""
    return math.prod(k + block - 1 for k in kernel.shape)


def _layout(smoothing: Smoothing, block: int, made: tuple[int, ...]) -> _Layout:
    height, width = smoothing.kernel.shape
    rows, columns = (-(-size // block) for size in made[2:])
    return _Layout(
        block, (height + block - 1, width + block - 1),
        rows + -(-(height - 1) // block), columns * block + width - 1, made,
    )  # fmt: skip


def _patches(
    b: Builder, source: str, smoothing: Smoothing, layout: _Layout, scale: float
) -> tuple[str, str]:
    """Differences of each patch to the mean of its middle, and their weighted means.

    Both are (1, channels, rows, columns), with the pixels of a patch, or the results of a block, as
    channels. The channels of the picture lie below each other, so that the engine does not multiply
    them by zeros.
    """
    key = f"patches of {source} {smoothing} {layout} {scale}"
    known = b.editor.memo.get(key)
    if known is None or not all(b.editor.is_known(value) for value in known):
        value = _padded(b, source, smoothing, layout)
        apart = _apart(smoothing.kernel, layout)
        weights = np.float32(scale) * apart.reshape(-1, 1, *layout.patch)
        strides = [layout.block, layout.block]
        made = b.op("Conv", value, weights, strides=strides, kernel_shape=list(layout.patch))
        known = (made, b.op("Conv", made, _means(smoothing.kernel, layout, 1 / scale)))
        b.editor.memo[key] = known
    return known[0], known[1]


def _padded(b: Builder, source: str, smoothing: Smoothing, layout: _Layout) -> str:
    """The picture with its border and what the last blocks want more, all channels in one."""
    channels, height, width = b.shape(source)[1:]
    top, left, bottom, right = smoothing.pads
    below = layout.rows * layout.block - height - top
    beside = layout.width - width - left
    mode = smoothing.mode or "edge"
    if mode == "reflect" and (below >= height or beside >= width):
        source = b.pad(source, [0, 0, top, left, 0, 0, bottom, right], mode=mode)
        top, left, below, beside, mode = 0, 0, below - bottom, beside - right, "edge"
    value = b.pad(source, [0, 0, top, left, 0, 0, below, beside], mode=mode)
    return b.reshape(value, (1, 1, channels * layout.rows * layout.block, layout.width))


def _apart(kernel: Array, layout: _Layout) -> Array:
    """Each pixel of a patch less the mean of the middle, which lies in every window of the block:
    were it beyond an edge that a window does not see, the differences would not be small."""
    rows, columns = layout.patch
    mean = np.zeros((rows, columns))
    middle = (
        range((size - few) // 2, (size - few) // 2 + few)
        for size, few in zip(
            layout.patch, (min(4, k - layout.block + 1) for k in kernel.shape), strict=True
        )
    )
    some = np.ix_(*(list(places) for places in middle))
    mean[some] = 1 / mean[some].size
    apart: Array = (np.eye(rows * columns) - mean.reshape(1, -1)).astype(np.float32)
    return apart


def _means(kernel: Array, layout: _Layout, scale: float) -> Array:
    """Weights of the results of a block, of the pixels of its patch."""
    height, width = kernel.shape
    block = layout.block
    found = np.zeros((block, block, *layout.patch))
    for y in range(block):
        for x in range(block):
            found[y, x, y : y + height, x : x + width] = scale * kernel
    # what is below FP16's normal numbers adds nothing that is seen
    found[np.abs(found) < _SMALLEST] = 0
    return found.reshape(block**2, -1, 1, 1).astype(np.float32)


def _covariance(
    b: Builder, patches: list[tuple[str, str]], kernel: Array, layout: _Layout, scale: float
) -> str:
    """(1, block * block, rows, columns): the results of each block as channels."""
    (first, mean), (second, other) = patches
    both = b.concat([b.op("Mul", first, second), b.op("Mul", mean, other)], 1)
    less = -np.eye(layout.block**2, dtype=np.float32)[:, :, None, None]
    # the engine takes the product of the means away before it rounds
    return b.op("Conv", both, np.concatenate([_means(kernel, layout, scale), less], 1))


def _pixels(b: Builder, value: str, layout: _Layout) -> str:
    """The results of the blocks in their places, cut to the size wanted."""
    block, channels = layout.block, layout.made[1]
    rows, columns = b.shape(value)[2:]
    if channels > 1:  # the last channel's unused rows were too short for a patch
        value = b.pad(value, [0, 0, 0, 0, 0, 0, channels * layout.rows - rows, 0])
        rows = layout.rows
    apart = b.reshape(value, (block, block, channels, rows, columns))
    placed = b.transpose(apart, [2, 3, 0, 4, 1])
    whole = b.reshape(placed, (1, channels, rows * block, columns * block))
    if (rows * block, columns * block) == layout.made[2:]:
        return whole
    return b.slice(whole, (2, 3), (0, 0), layout.made[2:])


RULES = (
    Rule(
        "local-moments", "needed", Approx(_ROUNDING),
        "a variance in a window is taken of differences to the mean near by",
        ("Sub",), find, order=32,
    ),
)  # fmt: skip
