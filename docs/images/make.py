"""Takes the screenshots of the documentation: ``python docs/images/make.py``. Needs Chromium.

Photographs in them: "astronaut", NASA, public domain; "coffee", Rachel Michetti, CC0 (both as
scikit-image carries them).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from blobsmith import build
from blobsmith.cli.watch import run_live
from blobsmith.report import collect, render

HERE = Path(__file__).resolve().parent
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
OVERFLOWING = """from torch import nn


class Energy(nn.Module):
    def forward(self, image):
        gray = image.mean(1, keepdim=True)
        energy = gray * gray
        return energy * energy
"""
FILTER = """import kornia
from torch import nn


class Edges(nn.Module):
    def forward(self, image):
        return kornia.filters.sobel(image) * 4
"""


def main() -> None:
    """Builds two models, opens their reports and the live page, and takes pictures."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("no Chromium on the PATH: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        corners = _report("corners", Path(folder))
        with _page(browser, corners, 1280, 860) as page:
            page.screenshot(path=HERE / "report.jpg", type="jpeg", quality=88)
        with _page(browser, corners, 1280, 900, dark=True) as page:
            _graph(page)
            page.screenshot(path=HERE / "report-graph.png")
        with _page(browser, corners, 390, 844) as page:
            page.screenshot(path=HERE / "report-phone.png")
        with _page(browser, corners, 1280, 860, dark=True) as page:
            page.locator("#chip").screenshot(path=HERE / "report-chip.png")
        source = Path(folder) / "energy.py"
        source.write_text(OVERFLOWING)
        with _page(browser, _report(f"{source}:Energy", Path(folder)), 1280, 860) as page:
            page.locator("#ranges").screenshot(path=HERE / "report-ranges.png")
        os.chdir(folder)
        _live(browser, Path("edges.py"))
        browser.close()


def _report(source: str, folder: Path) -> str:
    inputs = None if ":" not in source else {"image": (1, 3, 240, 320)}
    data = collect(build(source, inputs=inputs, use_cache=False, verify=inputs is None))
    path = folder / f"{data.title}.html"
    path.write_text(render(data), encoding="utf-8")
    return path.as_uri()


@contextmanager
def _page(
    browser: Browser, url: str, width: int, height: int, *, dark: bool = False
) -> Iterator[Any]:
    scheme: Any = "dark" if dark else "light"
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(url)
    yield page
    page.close()


def _graph(page: Any) -> None:
    """The three graphs, with the details of one node."""
    page.evaluate("document.querySelector('#graph').scrollIntoView()")
    panel = page.locator(".panel").nth(2)
    panel.locator("[data-do=fit]").click()
    panel.locator(".n.k-linear").first.hover()


def _live(browser: Browser, source: Path) -> None:
    source.write_text(FILTER)
    stop, ready, url = threading.Event(), threading.Event(), []

    def opened(address: str) -> None:
        url.append(address)
        ready.set()

    thread = threading.Thread(
        target=run_live, args=(f"{source}:Edges", "sample"),
        kwargs={"inputs": {"image": (1, 3, 300, 400)}, "on_ready": opened, "stop": stop},
    )  # fmt: skip
    thread.start()
    ready.wait(60)
    with _page(browser, url[0], 1280, 800) as page:
        page.wait_for_function("() => +document.body.dataset.frame > 3", timeout=120_000)
        source.write_text(FILTER.replace("* 4", "* 4 +"))
        page.locator("#error").wait_for(state="visible", timeout=60_000)
        page.screenshot(path=HERE / "live.jpg", type="jpeg", quality=85)
    stop.set()
    thread.join()


if __name__ == "__main__":
    main()
