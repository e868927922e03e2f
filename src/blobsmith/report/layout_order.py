"""The order of the boxes in each layer: fewer crossings, by sweeps of barycentres."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

Link = tuple[int, int]
_SWEEPS = 10
_PATIENCE = 3


def ordered(rows: Sequence[Sequence[int]], links: Sequence[Link]) -> list[list[int]]:
    """The rows with their elements in an order that crosses few links.

    Args:
        rows: elements by layer, from the top.
        links: (upper, lower) between neighbouring layers.
    """
    count = sum(map(len, rows))
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for upper, lower in links:
        above[lower].append(upper)
        below[upper].append(lower)
    place = [0.0] * count
    now = [list(row) for row in rows]
    for row in now:
        _number(row, place)
    _sweep(now, above, place, down=True)
    best, fewest, waited = [list(row) for row in now], crossings(now, below, place), 0
    for turn in range(_SWEEPS):
        if not fewest or waited >= _PATIENCE:
            break
        down = bool(turn % 2)
        _sweep(now, above if down else below, place, down=down)
        found = crossings(now, below, place)
        waited += 1
        if found < fewest:
            best, fewest, waited = [list(row) for row in now], found, 0
    return best


def crossings(
    rows: Sequence[Sequence[int]], below: Sequence[Sequence[int]], place: Sequence[float]
) -> int:
    """How many pairs of links cross."""
    total = 0
    for row in rows[:-1]:
        seen: list[float] = []
        for upper in row:
            ends = sorted(place[lower] for lower in below[upper])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            if ends:
                seen = sorted(seen + ends)
    return total


def _sweep(
    rows: list[list[int]], neighbours: Sequence[Sequence[int]], place: list[float], *, down: bool
) -> None:
    """Sorts each layer by the mean place of what it is linked to in the layer before."""
    for row in rows if down else reversed(rows):
        keys = {}
        for element in row:
            near = neighbours[element]
            keys[element] = (
                sum(place[other] for other in near) / len(near) if near else place[element]
            )
        row.sort(key=keys.__getitem__)
        _number(row, place)


def _number(row: Sequence[int], place: list[float]) -> None:
    """Places 0 to 1 across the row, so that rows of other lengths compare."""
    for index, element in enumerate(row):
        place[element] = (index + 0.5) / len(row)
