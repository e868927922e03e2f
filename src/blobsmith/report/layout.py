"""Layered drawing of a directed graph: where each box goes, and the lines between them.

The method is Sugiyama's in its usual four steps (Sugiyama, Tagawa, Toda 1981; Gansner et al.,
"A technique for drawing directed graphs", 1993): layers by longest path, bends for long lines,
fewer crossings by barycentres, and coordinates by least squares under the order found.

A tensor with several readers is one line that branches. The bends of a long line are shared by
all its readers, so that a picture which every node reads costs one line, not hundreds.
Pure Python; 500 nodes take a few tenths of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .layout_order import ordered
from .layout_place import placed

GAP_X = 18.0
GAP_Y = 30.0
MARGIN = 12.0
MOST_BENDS = 30_000
"""Beyond this many bends long lines run straight, behind the boxes."""


@dataclass(frozen=True)
class Net:
    """A line from one box to the boxes that read it; indices into the sizes."""

    source: int
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Box:
    """Where a box is: its upper left corner, width and height, and its layer from the top."""

    x: float
    y: float
    width: float
    height: float
    layer: int


@dataclass(frozen=True)
class Layout:
    """A drawing's size, one box for each node, one SVG path for each net."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    paths: tuple[str, ...]


def layout(sizes: Sequence[tuple[float, float]], nets: Sequence[Net]) -> Layout:
    """Draws a graph from the top down.

    Args:
        sizes: width and height of each box.
        nets: lines; a cycle's closing line is drawn but does not count for the layers.
    """
    if not sizes:
        return Layout(2 * MARGIN, 2 * MARGIN, (), ())
    ranks = _ranks(len(sizes), nets)
    chains = _chains(ranks, nets)
    count = len(sizes) + sum(len(chain) for chain in chains)
    widths = [width for width, _ in sizes] + [2.0] * (count - len(sizes))
    rows: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
    for node, rank in enumerate(ranks):
        rows[rank].append(node)
    for net, chain in zip(nets, chains, strict=True):
        for step, bend in enumerate(chain):
            rows[ranks[net.source] + 1 + step].append(bend)
    links = [
        link for net, chain in zip(nets, chains, strict=True) for link in _links(net, chain, ranks)
    ]
    rows = ordered(rows, links)
    xs = placed(rows, links, widths, bends_from=len(sizes), gap=GAP_X)
    return _drawn(sizes, nets, chains, ranks, rows, xs, widths)


def _ranks(count: int, nets: Sequence[Net]) -> list[int]:
    """The layer of each node: below all it reads, and no higher than it must be."""
    after: list[list[int]] = [[] for _ in range(count)]
    before: list[list[int]] = [[] for _ in range(count)]
    for net in nets:
        for target in net.targets:
            if target != net.source:
                after[net.source].append(target)
                before[target].append(net.source)
    waiting = [len(sources) for sources in before]
    ready = [node for node in range(count) if not waiting[node]]
    ranks, done = [0] * count, [False] * count
    order: list[int] = []
    unforced = 0
    while len(order) < count:
        if not ready:  # a cycle: its first node goes ahead
            while done[unforced]:
                unforced += 1
            ready.append(unforced)
        node = ready.pop()
        if done[node]:
            continue
        done[node] = True
        order.append(node)
        for target in after[node]:
            waiting[target] -= 1
            if not done[target]:
                ranks[target] = max(ranks[target], ranks[node] + 1)
                if waiting[target] == 0:
                    ready.append(target)
    for node in reversed(order):
        below = [ranks[target] for target in after[node] if ranks[target] > ranks[node]]
        if below and len(after[node]) >= len(before[node]):
            ranks[node] = max(ranks[node], min(below) - 1)
    return ranks


def _chains(ranks: Sequence[int], nets: Sequence[Net]) -> list[list[int]]:
    """Numbers for the bends of each net, one for each layer it crosses."""
    lengths = [
        max((ranks[target] for target in net.targets), default=0) - ranks[net.source] - 1
        for net in nets
    ]
    chains, following = [], len(ranks)
    free = MOST_BENDS
    for length in lengths:
        length = max(length, 0) if length <= free else 0
        free -= length
        chains.append(list(range(following, following + length)))
        following += length
    return chains


def _links(net: Net, chain: Sequence[int], ranks: Sequence[int]) -> list[tuple[int, int]]:
    """What is joined between neighbouring layers: (upper, lower)."""
    path = [net.source, *chain]
    links = list(zip(path, chain, strict=False))
    for target in dict.fromkeys(net.targets):
        step = ranks[target] - ranks[net.source] - 1
        if 0 <= step < len(path):
            links.append((path[step], target))
    return links


def _drawn(
    sizes: Sequence[tuple[float, float]],
    nets: Sequence[Net],
    chains: Sequence[Sequence[int]],
    ranks: Sequence[int],
    rows: Sequence[Sequence[int]],
    xs: Sequence[float],
    widths: Sequence[float],
) -> Layout:
    left = min(x - width / 2 for x, width in zip(xs, widths, strict=True)) - MARGIN
    right = max(x + width / 2 for x, width in zip(xs, widths, strict=True)) + MARGIN
    tops, y = [], MARGIN
    heights = [max((sizes[i][1] for i in row if i < len(sizes)), default=0.0) for row in rows]
    for height in heights:
        tops.append(y)
        y += height + GAP_Y
    boxes = tuple(
        Box(
            round(xs[i] - left - width / 2, 1),
            round(tops[ranks[i]] + (heights[ranks[i]] - height) / 2, 1),
            width, height, ranks[i],
        )
        for i, (width, height) in enumerate(sizes)
    )  # fmt: skip
    bends = {
        bend: (xs[bend] - left, tops[rank], tops[rank] + heights[rank])
        for net, chain in zip(nets, chains, strict=True)
        for rank, bend in enumerate(chain, ranks[net.source] + 1)
    }
    ports = _ports(nets, boxes)
    paths = tuple(
        _path(index, net, chain, boxes, bends, ports)
        for index, (net, chain) in enumerate(zip(nets, chains, strict=True))
    )
    return Layout(round(right - left, 1), round(y - GAP_Y + MARGIN, 1), boxes, paths)


def _ports(nets: Sequence[Net], boxes: Sequence[Box]) -> dict[tuple[int, int], float]:
    """Where on its upper edge a box takes each line: side by side, in the order they come in."""
    coming: dict[int, list[tuple[float, int]]] = {}
    for index, net in enumerate(nets):
        source = boxes[net.source]
        for target in dict.fromkeys(net.targets):
            coming.setdefault(target, []).append((source.x + source.width / 2, index))
    ports = {}
    for target, lines in coming.items():
        box = boxes[target]
        room = min(10.0 * (len(lines) - 1), max(box.width - 16, 0.0))
        step = room / (len(lines) - 1) if len(lines) > 1 else 0.0
        for place, (_, index) in enumerate(sorted(lines)):
            ports[index, target] = box.x + box.width / 2 - room / 2 + place * step
    return ports


def _path(
    index: int,
    net: Net,
    chain: Sequence[int],
    boxes: Sequence[Box],
    bends: dict[int, tuple[float, float, float]],
    ports: dict[tuple[int, int], float],
) -> str:
    """The net as one SVG path: the trunk through its bends, then a branch for each reader."""
    source = boxes[net.source]
    x, y = source.x + source.width / 2, source.y + source.height
    leave = [(x, y)]
    parts = [f"M{x:.1f} {y:.1f}"]
    for bend in chain:
        at, top, bottom = bends[bend]
        parts.append(_curve(x, y, at, top))
        if bottom > top:
            parts.append(f"V{bottom:.1f}")
        x, y = at, bottom
        leave.append((x, y))
    for target in dict.fromkeys(net.targets):
        box = boxes[target]
        step = min(max(box.layer - source.layer - 1, 0), len(chain))
        x, y = leave[step]
        parts.append(f"M{x:.1f} {y:.1f}" + _curve(x, y, ports[index, target], box.y))
    return "".join(parts)


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    if abs(to_x - x) < 0.5 and to_y >= y:
        return f"L{to_x:.1f} {to_y:.1f}"
    middle = (y + to_y) / 2
    return f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
