"""The pages: a report, the index of several reports, and the drawing alone. No network, no files.

Templates escape what they are given: names of tensors and nodes come from files that anybody may
have made.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from .charts import memory_shares, range_chart, stage_bars, time_shares
from .collector import summary
from .drawing import Drawing, counts_table, plain
from .model import GraphView, Picture, ReportData
from .svg import inline_svg, legend

if TYPE_CHECKING:
    from jinja2 import Environment

_THUMB = 220
_RISKS = 12


@dataclass(frozen=True)
class IndexEntry:
    """A report in the index: where it is, its numbers, a small picture of an output or None."""

    href: str
    numbers: Mapping[str, Any]
    picture: str | None = None
    alt: str = ""


def render(data: ReportData) -> str:
    """The report as one HTML page that needs nothing else."""
    graphs = {view.title: view.drawing for view in data.graphs}
    risks, fp16 = [], ""
    if data.ranges is not None:
        fp16 = data.ranges.summary.removeprefix(data.ranges.verdict).lstrip(": ")
        risks = [t for t in data.ranges.tensors if t.status in ("over", "may")]
    return _environment().get_template("report.html.j2").render(
        data=data,
        json=_json(data.to_dict()),
        numbers=summary(data),
        panels=_panels(data.graphs),
        legend=legend(graphs),
        tall=_tall(graphs),
        counts=counts_table([drawing.counts for drawing in graphs.values()]),
        ranges=range_chart(data.ranges) if data.ranges is not None else None,
        fp16=fp16,
        risks=risks[:_RISKS],
        more_risks=max(len(risks) - _RISKS, 0),
        bars=stage_bars(data.chip) if data.chip is not None else (),
        shares=time_shares(data.chip) if data.chip is not None else (),
        memory=memory_shares(data.chip) if data.chip is not None else (),
    )  # fmt: skip


def render_graph(drawings: Mapping[str, Drawing], title: str) -> str:
    """The drawings alone as one HTML page.

    Args:
        drawings: arranged, by title.
        title: of the page.
    """
    views = [GraphView(name, name, drawing) for name, drawing in drawings.items()]
    shown = {"graphs": [{"title": n, "drawing": plain(d)} for n, d in drawings.items()]}
    return _environment().get_template("graph.html.j2").render(
        title=title, json=_json(shown), panels=_panels(views), legend=legend(drawings),
        tall=_tall(drawings), titles=list(drawings),
        counts=counts_table([drawing.counts for drawing in drawings.values()]),
    )  # fmt: skip


def index_entry(data: ReportData, href: str) -> IndexEntry:
    """What the index shows of a report at `href`."""
    found: Picture | None = None
    for output in data.frame.outputs if data.frame is not None else ():
        found = found or output.actual
    if found is None:
        return IndexEntry(href, summary(data))
    return IndexEntry(href, summary(data), _thumbnail(found), found.alt)


def render_index(entries: Sequence[IndexEntry], title: str = "blobsmith demo") -> str:
    """One page that leads to several reports."""
    return _environment().get_template("index.html.j2").render(
        entries=entries, title=title, json=_json({"reports": [dict(e.numbers) for e in entries]})
    )  # fmt: skip


def _panels(views: Sequence[GraphView]) -> list[dict[str, Any]]:
    from markupsafe import Markup

    return [
        {
            "title": view.title,
            "total": view.drawing.total,
            "note": view.drawing.note,
            # Every name in it went through html.escape.
            "svg": Markup(inline_svg(view.drawing, f"{view.title}: {view.drawing.total} nodes")),
        }
        for view in views
    ]


def _tall(drawings: Mapping[str, Drawing]) -> int:
    """Pixels that the tallest drawing wants of its panel; the page sets the most it gets."""
    return round(max((drawing.height for drawing in drawings.values()), default=0) * 1.3) + 60


def _json(value: Any) -> Any:
    """JSON that can stand in a script element."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"),
                       ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):  # fmt: skip
        text = text.replace(sign, code)
    return Markup(text)


def _thumbnail(picture: Picture) -> str:
    import cv2
    import numpy as np

    data = base64.b64decode(picture.uri.partition(",")[2])
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    scale = _THUMB / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, small = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return "data:image/png;base64," + base64.b64encode(small.tobytes()).decode()


# ---------------------------------------------------------------------- templates


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("blobsmith.report", "templates"),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(bytes=size_text, ms=ms_text, number=number_text, value=value_text)
    environment.globals["asset"] = _asset
    return environment


def _asset(name: str) -> Any:
    """A style sheet or script of ours, as it is."""
    from importlib.resources import files

    from markupsafe import Markup

    path = files("blobsmith.report") / "templates" / name
    return Markup(path.read_text(encoding="utf-8"))


def size_text(size: float) -> str:
    """Bytes for people: "34.2 KiB"."""
    if size < 1024:
        return f"{size:.0f} B"
    size /= 1024
    return f"{size:.1f} KiB" if size < 1024 else f"{size / 1024:.1f} MiB"


def ms_text(ms: float) -> str:
    """Milliseconds for people, microseconds where they are few."""
    return f"{ms:.2f} ms" if ms >= 0.1 else f"{ms * 1000:.0f} µs"


def number_text(value: float | None, digits: int = 4) -> str:
    """A number with few digits; a dash where there is none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "∞" if value > 0 else ("−∞" if value < 0 else "NaN")
    return f"{value:.{digits}g}".replace("-", "−") if abs(value) < 1e5 else f"{value:.3g}"


def value_text(value: Any) -> str:
    """An option's value for people."""
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(value_text(item) for item in value) if value else "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
