"""The documentation's site in a real browser: nothing from elsewhere, and its search finds."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from pathlib import Path; from make import main; sys.exit(main(Path('{}')))"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site, built and served."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    (folder / "src").symlink_to(ROOT / "src")
    command = [sys.executable, "-c", BUILD.format(folder)]
    subprocess.run(command, cwd=ROOT / "docs", check=True, capture_output=True)
    handler = functools.partial(_Quiet, directory=str(folder / "out" / "site"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_pages_ask_for_nothing_from_elsewhere(site: str, open_page: Callable[..., Any]) -> None:
    """Also: the console stays silent, which `open_page` asserts."""
    page = open_page(f"{site}/index.html")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("tutorial/8-overflow", "reference/rewrites", "reference/python", "faq"):
        page.goto(f"{site}/{name}.html")
        page.wait_for_load_state("networkidle")
        assert page.locator("h1").count() == 1
    assert asked
    assert [url for url in asked if not url.startswith((site, "data:", "blob:"))] == []


def test_the_search_finds_a_rule(site: str, open_page: Callable[..., Any]) -> None:
    page = open_page(f"{site}/index.html")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Control+k")
    page.locator("input:focus").wait_for()
    page.keyboard.type("spectral-filter", delay=20)
    page.locator("a[href*='rewrites.html?h=']").first.wait_for(timeout=30_000)


def test_a_phone_can_read_a_page(site: str, open_page: Callable[..., Any]) -> None:
    page = open_page(f"{site}/tutorial/4-build.html", width=390, height=844, dark=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
