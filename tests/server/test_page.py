"""The page in a real browser: a file in, steps and a verdict shown, the blob downloaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from blobsmith.blob import Blob
from blobsmith.packaging.manifest import Manifest
from blobsmith.server.settings import Settings
from tests import graphs

from .conftest import HeldPool, Served, served

pytestmark = pytest.mark.browser

Open = Callable[..., Any]
WAIT = 60_000


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "mine.onnx"
    onnx.save(graphs.one("Relu"), path)
    return path


def _built(page: Any) -> None:
    page.locator("#result").wait_for(state="visible", timeout=WAIT)


def test_a_file_becomes_a_blob(
    server: Served, open_page: Open, model: Path, tmp_path: Path
) -> None:
    page = open_page(server.url)
    page.locator("#model").set_input_files(model)
    page.get_by_label("Shaves").fill("3")
    page.get_by_label("Mean, subtracted in the graph").fill("127.5")
    page.get_by_role("button", name="Build").click()
    _built(page)
    assert page.locator("#status").inner_text() == "built"
    assert page.locator("#name").inner_text() == "mine.blob"
    assert "predicted on the chip" in page.locator("#facts").inner_text()
    assert "right" in page.locator("#verification tbody").inner_text()
    assert "verify" in page.locator("#steps").inner_text()
    assert page.locator("#error").is_hidden()
    found = {}
    for kind in ("artifact", "manifest", "onnx", "report"):
        with page.expect_download() as download:
            page.locator(f"[data-kind={kind}]").click()
        found[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(found[kind])
    assert found["artifact"].name == "mine.blob"
    assert Blob.open(found["artifact"]).shaves == 3
    manifest = Manifest.for_file(found["artifact"])
    assert manifest is not None
    assert manifest.inputs[0].mean == (127.5,)
    assert found["onnx"] == manifest.onnx_file(found["artifact"])
    assert found["report"].read_text().startswith("<!doctype html>")


def test_a_refusal_and_then_a_build(
    server: Served, open_page: Open, model: Path, tmp_path: Path
) -> None:
    """What is in the file's names is shown as text."""
    evil = "<img src=x onerror=alert(1)>"
    bad = tmp_path / "bad.onnx"
    node = helper.make_node("NonZero", ["x"], [evil], name=evil)
    onnx.save(graphs.model([node], {"x": graphs.IMAGE}, {evil: None}), bad)
    page = open_page(server.url)
    page.on("dialog", lambda _: pytest.fail("a script ran"))
    page.locator("#model").set_input_files(bad)
    page.get_by_role("button", name="Build").click()
    page.locator("#error").wait_for(state="visible", timeout=WAIT)
    assert page.locator("#error .what").inner_text()
    assert page.locator("main img").count() == 0
    page.locator("#model").set_input_files(model)
    page.get_by_label("Format").select_option("superblob")
    page.get_by_label("verify on the emulator").uncheck()
    page.get_by_role("button", name="Build").click()
    _built(page)
    assert page.locator("#error").is_hidden()
    assert page.locator("#unverified").is_visible()
    assert page.locator("#name").inner_text() == "mine.superblob"


def test_names_of_a_model_are_shown_as_text(
    server: Served, open_page: Open, tmp_path: Path
) -> None:  # fmt: skip
    evil = "<img/src=x/onerror=alert(1)>"
    path = tmp_path / "evil.onnx"
    node = helper.make_node("Relu", ["x"], [evil])
    onnx.save(graphs.model([node], {"x": graphs.IMAGE}, {evil: graphs.IMAGE}), path)
    page = open_page(server.url)
    page.on("dialog", lambda _: pytest.fail("a script ran"))
    page.locator("#model").set_input_files(path)
    page.get_by_role("button", name="Build").click()
    _built(page)
    assert evil in page.locator("#verification").inner_text()
    assert page.locator("main img").count() == 0


def test_a_file_is_dropped(server: Served, open_page: Open, model: Path) -> None:
    page = open_page(server.url)
    data = page.evaluate_handle(
        """bytes => {
             const data = new DataTransfer();
             data.items.add(new File([new Uint8Array(bytes)], "dropped.onnx"));
             return data;
           }""",
        list(model.read_bytes()),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    page.get_by_role("button", name="Build").click()
    _built(page)
    assert page.locator("#name").inner_text() == "dropped.blob"


def test_a_build_is_stopped(open_page: Open, model: Path) -> None:
    pool = HeldPool()
    with served(Settings(), pool) as server:
        page = open_page(server.url)
        page.locator("#model").set_input_files(model)
        page.get_by_role("button", name="Build").click()
        page.get_by_text("begun").wait_for(timeout=WAIT)
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("stopped").wait_for(timeout=WAIT)
        pool.wait_for(lambda p: p.abandoned == p.jobs)
        page.close()


def test_a_server_with_a_token_asks_for_it(open_page: Open) -> None:
    with served(Settings(token="s3cret"), HeldPool()) as server:
        page = open_page(server.url)
        page.get_by_label("Token of this server").wait_for(timeout=WAIT)
        assert "s3cret" not in page.content()
        page.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_has_no_horizontal_scroll(
    server: Served, open_page: Open, model: Path, dark: bool
) -> None:
    page = open_page(server.url, width=390, height=844, dark=dark)
    page.locator("#model").set_input_files(model)
    page.get_by_role("button", name="Build").click()
    _built(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 120) is dark


def test_every_control_has_a_name_and_the_keyboard_reaches_it(
    server: Served, open_page: Open
) -> None:
    page = open_page(server.url)
    unnamed = page.evaluate(
        "Array.from(document.querySelectorAll('input, select')).filter("
        "e => !e.labels.length || !e.labels[0].textContent.trim()).length"
    )
    assert unnamed == 0
    page.locator("#model").focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "build":
            return
    raise AssertionError("the button is not reached")
