"""The page is whole, safe with hostile names, and readable for everybody."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest

from blobsmith.report import ReportData, index_entry, render, render_index
from blobsmith.report.charts import time_shares
from blobsmith.report.collector import summary
from blobsmith.report.graphs import draw_all
from blobsmith.report.page import ms_text, number_text, render_graph, size_text, value_text
from tests import graphs

HOSTILE = "</script><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Elements with their attributes, text by element, and the embedded JSON."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.json = ""
        self._in_json = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_json = tag == "script" and dict(attrs).get("type") == "application/json"

    def handle_data(self, data: str) -> None:
        if self._in_json:
            self.json += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._in_json = False

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(collected: Callable[[str], ReportData]) -> Page:
    return Page(render(collected("threshold")))


def test_it_carries_the_json_it_was_made_from(
    page: Page, collected: Callable[[str], ReportData]
) -> None:
    assert json.loads(page.json) == json.loads(json.dumps(collected("threshold").to_dict()))


def test_nothing_is_fetched(page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "data", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)
    styles = "".join(path.read_text() for path in _templates() if path.name.endswith(".css"))
    assert "url(" not in styles
    assert "@import" not in styles
    policy = next(m for m in page.all("meta") if m.get("http-equiv"))
    assert "default-src 'none'" in str(policy["content"])


def test_it_is_small(collected: Callable[[str], ReportData]) -> None:
    for name in ("threshold", "cosine"):
        assert len(render(collected(name)).encode()) < 3_000_000


def test_landmarks_names_and_unique_ids(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    assert [len(page.all(tag)) for tag in ("header", "nav", "main", "footer", "h1")] == [1] * 5
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    for section in page.all("section"):
        assert section["aria-labelledby"] in ids
    for link in page.all("a"):
        assert str(link["href"]).removeprefix("#") in ids
    assert all(image.get("alt") for image in page.all("img"))
    assert len(page.all("img")) == 4
    for svg in page.all("svg"):
        assert svg.get("aria-label") or svg.get("aria-hidden") == "true"


def test_hostile_names_are_text(collected: Callable[[str], ReportData]) -> None:
    proto = graphs.one("Relu")
    proto.graph.node[0].name = HOSTILE
    proto.graph.node[0].output[0] = proto.graph.output[0].name = HOSTILE
    (drawing,) = draw_all({HOSTILE: proto.SerializeToString()}).values()
    data = collected("cosine")
    made = replace(
        data, title=HOSTILE, origin=HOSTILE, verdict=HOSTILE, warnings=(HOSTILE,),
        graphs=(replace(data.graphs[0], title=HOSTILE, drawing=drawing),),
        rejected=((HOSTILE, HOSTILE, HOSTILE),), options={HOSTILE: HOSTILE},
    )  # fmt: skip
    for text in (render(made), render_graph({HOSTILE: drawing}, HOSTILE),
                 render_index([index_entry(made, HOSTILE)], HOSTILE)):  # fmt: skip
        read = Page(text)
        assert "alert(1)</script>" not in text
        assert not [a for _, a in read.elements if "onerror" in a]
        assert all(image.get("src") != "x" for image in read.all("img"))
        json.loads(read.json)


def test_the_index_leads_to_every_report(collected: Callable[[str], ReportData]) -> None:
    names = ("threshold", "cosine")
    text = render_index([index_entry(collected(name), f"{name}.html") for name in names])
    read = Page(text)
    assert {link["href"] for link in read.all("a")} == {"threshold.html", "cosine.html"}
    assert json.loads(read.json)["reports"] == [summary(collected(name)) for name in names]
    assert len(read.all("img")) == 1  # a cosine has no picture
    assert len(text.encode()) < 300_000


def test_the_drawing_alone() -> None:
    drawings = draw_all({"Before": graphs.one("Relu").SerializeToString()})
    read = Page(render_graph(drawings, "mine"))
    assert json.loads(read.json)["graphs"][0]["drawing"]["counts"] == {"Relu": 1}
    assert len([a for a in read.all("g") if a.get("data-n")]) == 3


def test_a_report_with_nothing_but_the_blob(collected: Callable[[str], ReportData]) -> None:
    data = replace(
        collected("cosine"), frame=None, graphs=(), ranges=None, chip=None, checks=(),
        outcome="unverified", steps=(), rewrites=(), rejected=(), snippets=(),
    )  # fmt: skip
    sections = [s["id"] for s in Page(render(data)).all("section")]
    assert sections == ["load", "built"]


def test_the_shares_of_the_time_are_on_the_page(collected: Callable[[str], ReportData]) -> None:
    data = collected("threshold")
    text = render(data)
    assert data.chip is not None
    for _, name, ms, _ in time_shares(data.chip):
        assert f"{name} {ms_text(ms)}" in text


# ---------------------------------------------------------------------- contrast


def _templates() -> list[Any]:
    return list((files("blobsmith.report") / "templates").iterdir())


def _schemes(text: str) -> list[dict[str, str]]:
    """The colours of the light and of the dark scheme of a style sheet."""
    light, dark = text.split("prefers-color-scheme: dark", 1)
    first = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    dark = dark.split("\n}\n", 1)[0]
    return [first, {**first, **dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", dark))}]


def _contrast(one: str, two: str) -> float:
    """WCAG 2.2 contrast ratio."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


PAGE_PAIRS = [
    *((ink, ground) for ink in ("ink", "soft", "link") for ground in ("paper", "ground")),
    ("good", "good-ground"), ("bad", "bad-ground"), ("warn", "warn-ground"), ("ink", "warn-ground"),
]  # fmt: skip
MARKS = ["hardware", "software", "dma", "activation", "proven", "seen", "may", "over", "mark"]
KINDS = ["linear", "pool", "arithmetic", "curve", "logic", "move", "input"]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme: int) -> None:
    page, graph = (
        _schemes((files("blobsmith.report") / "templates" / name).read_text())[scheme]
        for name in ("page.css", "graph.css")
    )
    for ink, ground in PAGE_PAIRS:
        assert _contrast(page[ink], page[ground]) >= 4.5, (ink, ground)
    for mark in MARKS:
        assert _contrast(page[mark], page["paper"]) >= 3, mark
    for kind in KINDS:
        assert _contrast(graph["ink"], graph[kind]) >= 4.5, kind
        assert _contrast(graph[f"{kind}-edge"], graph["paper"]) >= 3, kind
    assert _contrast(graph["paper"], graph["output"]) >= 4.5


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (size_text(12), "12 B"), (size_text(35008), "34.2 KiB"), (size_text(5 << 20), "5.0 MiB"),
        (ms_text(2.6249), "2.62 ms"), (ms_text(0.031), "31 µs"),
        (number_text(None), "–"), (number_text(float("inf")), "∞"),
        (number_text(float("nan")), "NaN"), (number_text(-0.5), "−0.5"),
        (value_text(None), "default"), (value_text(True), "yes"), (value_text(()), "none"),
        (value_text((1.0, 2.5)), "1, 2.5"),
    ],
)  # fmt: skip
def test_numbers_for_people(found: str, text: str) -> None:
    assert found == text
