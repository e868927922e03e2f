"""The pages in a real headless browser: nothing breaks, and what is shown is what was built."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blobsmith import zoo
from blobsmith.report import ReportData, index_entry, render, render_index
from blobsmith.report.collector import summary
from blobsmith.report.page import ms_text, size_text

pytestmark = pytest.mark.browser

QUICK = ("threshold", "cosine")
EVERY = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in zoo.names()
]
Collected = Callable[[str], ReportData]
Open = Callable[..., Any]


def _written(folder: Path, data: ReportData) -> str:
    path = folder / f"{data.title}.html"
    path.write_text(render(data), encoding="utf-8")
    assert path.stat().st_size < 3_000_000
    return path.as_uri()


def _box(page: Any, graph: int) -> list[float]:
    text = page.locator(".panel").nth(graph).locator(".canvas svg").get_attribute("viewBox")
    return [float(part) for part in text.split()]


@pytest.mark.parametrize("name", EVERY)
def test_the_report_of_a_zoo_model(
    name: str, collected: Collected, open_page: Open, tmp_path: Path
) -> None:
    data = collected(name)
    page = open_page(_written(tmp_path, data))
    told = json.loads(page.locator("#data").text_content())
    assert told["sha256"] == data.sha256
    _numbers(page, told, summary(data))
    _pictures(page, told)
    _graphs(page, told)


def _numbers(page: Any, told: dict[str, Any], numbers: dict[str, Any]) -> None:
    def shown(key: str) -> str:
        return str(page.locator(f"[data-number={key}]").inner_text().split("\n")[0])

    assert page.locator("h1").inner_text() == told["title"]
    assert shown("stages") == str(numbers["stages"])
    assert shown("nodes_after") == str(numbers["nodes_after"])
    assert shown("size") == size_text(told["size"])
    assert shown("predicted_ms") == ms_text(told["chip"]["predicted_ms"])
    assert shown("fp16") == told["ranges"]["verdict"]
    assert page.locator("#chip tr[data-stage]").count() == len(told["chip"]["stages"])
    assert page.locator("#chip .bar").count() == len(told["chip"]["stages"])
    assert page.locator("#ranges .t").count() == len(told["ranges"]["tensors"])
    rows = {
        row.locator("th").inner_text(): [int(n) for n in row.locator("td").all_inner_texts()]
        for row in page.locator("#graph table").first.locator("tbody tr").all()
    }
    counted = [graph["drawing"]["counts"] for graph in told["graphs"]]
    assert rows == {
        op: [counts.get(op, 0) for counts in counted] for op in {o for c in counted for o in c}
    }
    for check in told["checks"]:
        assert check["passed"]
        assert check["name"] in page.locator("#frames table").inner_text()
    code = page.locator("#load code").first.inner_text()
    for spec in told["outputs"]:
        assert f"getTensor({spec['name']!r})" in code
    for option, value in told["options"].items():
        assert option in page.locator("#built").inner_text()
        if isinstance(value, str):
            assert value in page.locator("#built").inner_text()


def _pictures(page: Any, told: dict[str, Any]) -> None:
    """Every picture of the JSON is there and was decoded by the browser."""
    frame = told["frame"]
    wanted = [view["picture"] for view in frame["inputs"]]
    wanted += [view[side] for view in frame["outputs"]
               for side in ("reference", "actual", "difference")]  # fmt: skip
    ids = {picture["id"] for picture in wanted if picture}
    sizes = page.evaluate(
        "Array.from(document.images, i => [i.id, i.complete, i.naturalWidth, i.naturalHeight])"
    )
    assert {row[0] for row in sizes} == ids
    assert all(complete and width > 0 and height > 0 for _, complete, width, height in sizes)


def _graphs(page: Any, told: dict[str, Any]) -> None:
    assert page.locator(".panel").count() == len(told["graphs"]) == 3
    for index, graph in enumerate(told["graphs"]):
        panel = page.locator(".panel").nth(index)
        assert panel.locator(".n").count() == len(graph["drawing"]["nodes"])
        before = _box(page, index)
        panel.locator("[data-do=in]").click()
        inside = _box(page, index)
        assert inside[2] == pytest.approx(before[2] / 1.4, rel=0.01)
        panel.locator("[data-do=out]").click()
        assert _box(page, index) == pytest.approx(before, abs=0.1)


# ---------------------------------------------------------------------- the drawing


@pytest.fixture
def report(collected: Collected, open_page: Open, tmp_path: Path) -> Any:
    return open_page(_written(tmp_path, collected("threshold")))


def test_zoom_by_wheel_only_where_it_was_asked_for(report: Any) -> None:
    canvas = report.locator(".panel").nth(0).locator(".canvas")
    canvas.scroll_into_view_if_needed()
    canvas.hover(position={"x": 5, "y": 5})
    before = _box(report, 0)
    report.mouse.wheel(0, 240)
    report.wait_for_timeout(100)
    assert _box(report, 0) == before  # the page scrolled instead
    canvas.click(position={"x": 5, "y": 5})
    report.mouse.wheel(0, -240)
    width = "document.querySelector('.canvas svg').viewBox.baseVal.width"
    report.wait_for_function(f"old => {width} < old", arg=before[2])


def test_drag_and_keys_move_it(report: Any) -> None:
    canvas = report.locator(".panel").nth(0).locator(".canvas")
    canvas.scroll_into_view_if_needed()
    frame = canvas.bounding_box()
    before = _box(report, 0)
    report.mouse.move(frame["x"] + 8, frame["y"] + 8)
    report.mouse.down()
    report.mouse.move(frame["x"] + 58, frame["y"] + 38, steps=4)
    report.mouse.up()
    scale = frame["width"] / before[2]
    x, y, *_ = _box(report, 0)
    assert x == pytest.approx(before[0] - 50 / scale, abs=2)
    assert y == pytest.approx(before[1] - 30 / scale, abs=2)
    canvas.focus()
    report.keyboard.press("ArrowRight")
    assert _box(report, 0)[0] > x
    report.keyboard.press("+")
    assert _box(report, 0)[2] < before[2]
    report.keyboard.press("0")
    assert _box(report, 0)[2] == pytest.approx(before[2], rel=1)


def test_a_nodes_details_and_the_same_node_in_the_other_graphs(
    report: Any, collected: Collected
) -> None:
    data = collected("threshold")
    first, second = (view.drawing for view in data.graphs[:2])
    keys = {node.key for node in second.nodes}
    index, node = next(
        (i, n) for i, n in enumerate(first.nodes) if n.key in keys and n.line and not n.change
    )
    panel = report.locator(".panel").nth(0)
    panel.locator("[data-do=fit]").click()
    panel.locator(f".n[data-n='{index}']").hover()
    card = report.locator("#card")
    assert card.is_visible()
    text = card.inner_text()
    assert text.startswith(node.op)
    assert node.inputs[0].name in text
    assert node.inputs[0].type in text
    assert node.line.split("  ")[0] in text
    marked = report.locator(".panel").nth(1).locator(".n.on")
    assert marked.count() == 1
    assert marked.get_attribute("data-k") == node.key
    report.mouse.move(2, 2)
    assert not card.is_visible()
    assert report.locator(".n.on").count() == 0


def test_it_fills_the_window_and_comes_back(report: Any) -> None:
    panel = report.locator(".panel").nth(2)
    button = panel.locator("[data-do=big]")
    button.click()
    assert panel.bounding_box()["width"] == 1280
    assert button.get_attribute("aria-pressed") == "true"
    report.keyboard.press("Escape")
    assert panel.bounding_box()["width"] < 900


def test_charts_tell_their_numbers(report: Any, collected: Collected) -> None:
    data = collected("threshold")
    assert data.chip is not None
    assert data.ranges is not None
    report.locator("#chip .bar[data-s='0']").hover()
    assert data.chip.stages[0].name in report.locator("#card").inner_text()
    point = report.locator("#ranges .t[data-t='0']")
    point.scroll_into_view_if_needed()
    point.hover()
    assert data.ranges.tensors[0].name in report.locator("#card").inner_text()


def test_the_limit_of_fp16_stands_where_its_number_does(report: Any) -> None:
    """65504 lies between the lines of 1e4 and 1e6, at its share of the logarithm."""
    heights = report.evaluate(
        "Array.from(document.querySelectorAll('.plot .axis span'), "
        "s => [s.textContent, parseFloat(s.style.bottom)])"
    )
    places = dict(heights)
    limit = report.evaluate("parseFloat(document.querySelector('.plot .limit').style.bottom)")
    share = (limit - places["1e4"]) / (places["1e6"] - places["1e4"])
    assert share == pytest.approx((4.8163 - 4) / 2, abs=0.01)


def test_copying_the_code(collected: Collected, open_page: Open, tmp_path: Path) -> None:
    page = open_page(_written(tmp_path, collected("cosine")))
    page.locator("#load button").first.click()
    page.wait_for_function(
        "document.querySelector('#load button').textContent === 'copied' || String(getSelection())"
    )


# ---------------------------------------------------------------------- phone, dark, index


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", QUICK)
def test_a_phone_has_no_horizontal_scroll(
    name: str, dark: bool, collected: Collected, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(_written(tmp_path, collected(name)), width=390, height=844, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    level = sum(map(int, re.findall(r"\d+", ground)[:3]))
    assert (level < 120) is dark


def test_a_tap_shows_a_node_on_a_phone(
    collected: Collected, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(_written(tmp_path, collected("threshold")), width=390, height=844)
    box = page.locator(".panel").nth(2).locator(".n").nth(1)
    box.scroll_into_view_if_needed()
    box.tap()
    card = page.locator("#card")
    assert card.is_visible()
    place = card.bounding_box()
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= 390
    assert place["y"] + place["height"] <= 844


def test_the_index_leads_to_the_reports(
    collected: Collected, open_page: Open, tmp_path: Path
) -> None:
    for name in QUICK:
        _written(tmp_path, collected(name))
    index = tmp_path / "index.html"
    entries = [index_entry(collected(name), f"{name}.html") for name in QUICK]
    index.write_text(render_index(entries), encoding="utf-8")
    page = open_page(index.as_uri(), width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("link", name="cosine").click()
    page.wait_for_url("**/cosine.html")
    assert page.locator("h1").inner_text() == "cosine"


@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_the_drawing_alone(suffix: str, open_page: Open, tmp_path: Path) -> None:
    from blobsmith.report.graphs import draw_all
    from blobsmith.report.page import render_graph
    from blobsmith.report.svg import standalone_svg
    from tests import graphs

    drawings = draw_all({name: graphs.one("Relu").SerializeToString() for name in ("A", "B")})
    path = tmp_path / f"g{suffix}"
    make = standalone_svg if suffix == ".svg" else render_graph
    path.write_text(make(drawings, "mine"), encoding="utf-8")
    page = open_page(path.as_uri())
    page.locator("[data-n]").nth(1).hover()
    assert page.locator(".n.on").count() == 2
    if suffix == ".svg":
        page.mouse.wheel(0, -300)
        page.wait_for_function(
            "!document.querySelector('.view').getAttribute('transform').includes('scale(1)')"
        )
