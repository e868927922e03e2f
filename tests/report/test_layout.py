"""Laws of every drawing, on random graphs, and the pictures of a few small ones."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blobsmith.report.layout import MARGIN, Layout, Net, layout
from blobsmith.report.layout_order import crossings, ordered


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[Net]]:
    """Acyclic graphs: every line goes from a node to later ones."""
    count = draw(st.integers(1, 25))
    sizes = [(draw(st.floats(10, 200)), 24.0) for _ in range(count)]
    nets = []
    for source in range(count - 1):
        later = st.integers(source + 1, count - 1)
        targets = draw(st.lists(later, max_size=4))
        if targets:
            nets.append(Net(source, tuple(targets)))
    return sizes, nets


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_laws(graph: tuple[list[tuple[float, float]], list[Net]]) -> None:
    sizes, nets = graph
    found = layout(sizes, nets)
    assert found == layout(sizes, nets)
    assert [(box.width, box.height) for box in found.boxes] == sizes
    for net in nets:
        for target in net.targets:
            source, reader = found.boxes[net.source], found.boxes[target]
            assert source.layer < reader.layer
            assert source.y + source.height < reader.y
    _apart(found)
    for box in found.boxes:
        assert box.x >= MARGIN - 0.1
        assert box.x + box.width <= found.width - MARGIN + 0.1
        assert box.y >= MARGIN - 0.1
        assert box.y + box.height <= found.height - MARGIN + 0.1


def _apart(found: Layout) -> None:
    rows: dict[int, list[tuple[float, float]]] = {}
    for box in found.boxes:
        rows.setdefault(box.layer, []).append((box.x, box.x + box.width))
    for row in rows.values():
        row.sort()
        for (_, right), (left, _) in pairwise(row):
            assert left - right >= 5


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_each_line_starts_at_its_source_and_ends_at_its_readers(
    graph: tuple[list[tuple[float, float]], list[Net]],
) -> None:
    sizes, nets = graph
    found = layout(sizes, nets)
    for net, path in zip(nets, found.paths, strict=True):
        source = found.boxes[net.source]
        x, y = map(float, re.match(r"M(\S+) (\S+?)[A-Z]", path).groups())  # type: ignore[union-attr]
        assert x == pytest.approx(source.x + source.width / 2, abs=0.2)
        assert y == pytest.approx(source.y + source.height, abs=0.2)
        branches = path.split("M")[1:]
        ends = [tuple(map(float, re.findall(r"-?[\d.]+", part)[-2:])) for part in branches]
        for target in set(net.targets):
            box = found.boxes[target]
            assert any(
                box.x - 0.2 <= x <= box.x + box.width + 0.2 and abs(y - box.y) < 0.2
                for x, y in ends
            )


def test_a_chain_is_straight() -> None:
    found = layout([(60.0, 24.0), (100.0, 24.0), (40.0, 24.0)], [Net(0, (1,)), Net(1, (2,))])
    assert len({box.x + box.width / 2 for box in found.boxes}) == 1


def test_a_picture_that_every_node_reads_does_not_make_the_drawing_wide() -> None:
    count = 60
    chain = [Net(i, (i + 1,)) for i in range(count - 1)]
    alone = layout([(90.0, 24.0)] * count, chain)
    found = layout([(90.0, 24.0)] * count, [*chain, Net(0, tuple(range(2, count)))])
    assert found.width < 3 * alone.width


def test_a_cycle_is_drawn() -> None:
    found = layout([(50.0, 24.0)] * 3, [Net(0, (1,)), Net(1, (2,)), Net(2, (0,))])
    assert len({box.layer for box in found.boxes}) == 3
    assert all(found.paths)


def test_a_node_without_readers_goes_down_to_where_it_is_needed() -> None:
    # 0 -> 1 -> 2 -> 3 <- 4: the input 4 stands beside 2, not at the top.
    found = layout([(50.0, 24.0)] * 5, [Net(0, (1,)), Net(1, (2,)), Net(2, (3,)), Net(4, (3,))])
    assert found.boxes[4].layer == found.boxes[2].layer == 2


def test_crossed_lines_are_uncrossed() -> None:
    rows, links = [[0, 1], [2, 3]], [(0, 3), (1, 2)]
    below = [[3], [2], [], []]
    place = [0.25, 0.75, 0.25, 0.75]
    assert crossings(rows, below, place) == 1
    best = ordered(rows, links)
    assert best[1] == ([3, 2] if best[0] == [0, 1] else [2, 3])


def test_nothing_is_drawn_of_nothing() -> None:
    assert layout([], []).boxes == ()
