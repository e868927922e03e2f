"""Designing a filter live, in a real browser: save, broken save, mended save."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blobsmith.builder import BuildResult, Options
from blobsmith.cli.watch import LiveSummary, run_live
from blobsmith.errors import BlobsmithError, FrameError, UsageError

pytestmark = pytest.mark.browser

SOURCE = """import torch
from torch import nn
{imports}

class Mine(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return {expression}
"""
WAIT = 120_000


def _write(path: Path, expression: str, imports: str = "") -> None:
    path.write_text(SOURCE.format(expression=expression, imports=imports))


class Live:
    """A live run in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.path, self.stop, self.url = path, threading.Event(), ""
        self.told: list[BuildResult | BlobsmithError] = []
        self.summary: LiveSummary | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.summary = run_live(
            f"{self.path}:Mine", "sample", inputs={"image": (1, 3, 24, 32)}, stop=self.stop,
            options=Options(optimize=False), on_build=self.told.append, on_ready=self._opened,
        )  # fmt: skip

    def _opened(self, url: str) -> None:
        self.url = url
        self._ready.set()

    def __enter__(self) -> Live:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(60)


@pytest.fixture
def live(tmp_path: Path, toolchain: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setattr("blobsmith.cache.directory", lambda: tmp_path / "cache")
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    path = tmp_path / "mine.py"
    _write(path, "255 - image")
    with Live(path) as running:
        yield running


def _built(page: Any, count: int) -> None:
    """Waits until this many builds have succeeded, and a frame went through the last one."""
    page.wait_for_function(f"() => +document.body.dataset.builds >= {count}", timeout=WAIT)
    _later(page)


def _later(page: Any) -> None:
    """Waits until every picture on the page is of a frame that began after this call."""
    frame = int(page.evaluate("() => document.body.dataset.frame"))
    newer = f"Array.from(document.images).every(i => +i.dataset.frame > {frame + 1})"
    page.wait_for_function(f"() => document.images.length && {newer}", timeout=WAIT)


def _levels(page: Any) -> list[float]:
    """Mean level of each picture on the page."""
    found: list[float] = page.evaluate(
        """() => Array.from(document.images, image => {
             const canvas = document.createElement("canvas");
             canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
             const context = canvas.getContext("2d");
             context.drawImage(image, 0, 0);
             const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
             let sum = 0;
             for (let i = 0; i < data.length; i += 4) {
               sum += (data[i] + data[i + 1] + data[i + 2]) / 3;
             }
             return sum / data.length * 4;
           })"""
    )
    return found


def test_save_broken_save_mended_save(live: Live, open_page: Callable[..., Any]) -> None:
    page = open_page(live.url)
    _built(page, 1)
    assert page.locator("h1").inner_text() == f"{live.path}:Mine"
    assert page.locator("#status").inner_text() == "running"
    assert float(page.locator("#fps").inner_text()) > 0
    assert "predicted on the chip" in page.locator("#predicted").inner_text()
    into, out = _levels(page)
    assert out == pytest.approx(255 - into, abs=12)

    _write(live.path, "image * 0")
    _built(page, 2)
    assert _levels(page)[1] < 3

    _write(live.path, "image.no_such_method()")
    error = page.locator("#error")
    error.wait_for(state="visible", timeout=WAIT)
    assert page.locator("#status").inner_text() == "build failed"
    assert "no_such_method" in error.inner_text()
    assert "mine.py:7" in error.inner_text()
    assert "Shown is build 2" in error.inner_text()
    _later(page)
    assert _levels(page)[1] < 3

    _write(live.path, "image * 0 + 255")
    _built(page, 3)
    error.wait_for(state="hidden", timeout=WAIT)
    assert page.locator("#status").inner_text() == "running"
    assert _levels(page)[1] > 252

    live.stop.set()
    live._thread.join(60)
    page.wait_for_function(
        "() => document.getElementById('status').textContent === 'connection lost'", timeout=WAIT
    )
    assert live.summary is not None
    assert (live.summary.builds, live.summary.failures) == (3, 1)
    assert live.summary.frames > 6
    assert [isinstance(told, BlobsmithError) for told in live.told] == [False, False, True, False]


def test_two_saves_of_one_length_and_a_module_beside_it(
    live: Live, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    """Python tells compiled files apart by size and second: the newer one has to win."""
    page = open_page(live.url, width=390, height=844, dark=True)
    _built(page, 1)
    helper = tmp_path / "blobsmith_live_helper.py"
    helper.write_text("def level(image):\n    return image * 0 + 10\n")
    _write(live.path, "blobsmith_live_helper.level(image)", "import blobsmith_live_helper")
    _built(page, 2)
    assert _levels(page)[1] == pytest.approx(10, abs=3)
    helper.write_text("def level(image):\n    return image * 0 + 90\n")
    _built(page, 3)
    assert _levels(page)[1] == pytest.approx(90, abs=3)
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    assert list(tmp_path.rglob("*.pyc")) == []


def test_what_overflows_is_shown_with_its_warnings(
    live: Live, open_page: Callable[..., Any]
) -> None:
    page = open_page(live.url)
    _built(page, 1)
    _write(live.path, "torch.sqrt(image * image * image)")
    _built(page, 2)
    assert page.locator("#status").inner_text() == "not right"
    text = page.locator("#error").inner_text()
    assert "This blob is not right" in text
    assert "inf or NaN" in text
    warnings = page.locator("#warnings")
    warnings.wait_for(state="visible", timeout=WAIT)
    assert "mine.py:7" in warnings.inner_text()
    assert "overflow" in warnings.inner_text()


@pytest.mark.parametrize(
    ("source", "frames", "error"),
    [("blur", "sample", UsageError), ("mine.py:Mine", "no-such-folder", FrameError)],
)
def test_what_cannot_be_watched_or_shown_is_told_at_once(
    source: str, frames: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        run_live(source, frames)
