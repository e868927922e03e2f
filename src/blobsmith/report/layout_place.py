"""Horizontal places of the boxes: each near what it is linked to, none over another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

Link = tuple[int, int]
_SWEEPS = 14
_STIFF = 200.0
"""How much more a bend keeps its place than a box: long lines must not be pushed along."""


def placed(
    rows: Sequence[Sequence[int]],
    links: Sequence[Link],
    widths: Sequence[float],
    *,
    bends_from: int,
    gap: float,
) -> list[float]:
    """The centre of each element.

    Sweeps down and up: in each layer the places wanted (the weighted mean of the neighbours) are
    approached by least squares under the layer's order and distances.

    Args:
        rows: elements by layer, in their order.
        links: (upper, lower) between neighbouring layers.
        widths: of each element.
        bends_from: elements from this number on are bends of lines, which want to be straight.
        gap: smallest distance between two boxes.
    """
    count = len(widths)
    above: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    below: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    for upper, lower in links:
        bends = (upper >= bends_from) + (lower >= bends_from)
        weight = (1.0, 2.0, 1000.0)[bends]
        above[lower].append((upper, weight))
        below[upper].append((lower, weight))
    offsets = [_offsets(row, widths, bends_from, gap) for row in rows]
    xs = [0.0] * count
    for row, distances in zip(rows, offsets, strict=True):
        for element, distance in zip(row, distances, strict=True):
            xs[element] = distance - distances[-1] / 2
    weights = [_STIFF if i >= bends_from else 1.0 for i in range(count)]
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        last = sweep >= _SWEEPS - 2
        layers = range(len(rows)) if down else range(len(rows) - 1, -1, -1)
        for layer in layers:
            row = rows[layer]
            wanted = []
            for element in row:
                near = above[element] if down else below[element]
                if last:
                    near = above[element] + below[element]
                total = sum(weight for _, weight in near)
                wanted.append(
                    sum(xs[other] * weight for other, weight in near) / total
                    if total
                    else xs[element]
                )
            _fit(row, wanted, offsets[layer], weights, xs)
    return xs


def _offsets(
    row: Sequence[int], widths: Sequence[float], bends_from: int, gap: float
) -> list[float]:
    """Smallest distance of each element's centre from the first one's."""
    offsets = [0.0]
    for left, right in pairwise(row):
        both_bend = left >= bends_from and right >= bends_from
        room = gap / 2 if both_bend else gap
        offsets.append(offsets[-1] + (widths[left] + widths[right]) / 2 + room)
    return offsets


def _fit(
    row: Sequence[int],
    wanted: Sequence[float],
    offsets: Sequence[float],
    weights: Sequence[float],
    xs: list[float],
) -> None:
    """Least squares under x[i+1] - x[i] >= offsets[i+1] - offsets[i]: pool adjacent violators."""
    means: list[float] = []
    totals: list[float] = []
    sizes: list[int] = []
    for element, want, offset in zip(row, wanted, offsets, strict=True):
        mean, total, size = want - offset, weights[element], 1
        while means and means[-1] > mean:
            other = totals.pop()
            mean = (mean * total + means.pop() * other) / (total + other)
            total += other
            size += sizes.pop()
        means.append(mean)
        totals.append(total)
        sizes.append(size)
    index = 0
    for mean, size in zip(means, sizes, strict=True):
        for element in row[index : index + size]:
            xs[element] = mean + offsets[index]
            index += 1
