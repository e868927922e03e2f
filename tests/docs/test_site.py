"""The documentation's site: complete, built from the code, and without a network."""

from __future__ import annotations

import re
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import typer

from blobsmith.cli.app import app
from blobsmith.emulator.plan import planners
from blobsmith.graph.rewrites.registry import rules
from blobsmith.graph.rewrites.unsupported import ADVICE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def make() -> Any:
    """docs/make.py as a module."""
    spec = spec_from_file_location("docs_make", ROOT / "docs" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(make: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a link that leads nowhere would have failed the build."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    (folder / "src").symlink_to(ROOT / "src")
    assert make.main(folder) == 0
    return Path(folder / "out" / "site")


def test_every_rule_and_every_refusal_is_listed(make: Any) -> None:
    page = make.rewrites_page()
    for rule in rules():
        assert f"`{rule.name}`" in page
        assert rule.why.replace("|", "\\|") in page
    for name in ADVICE:
        assert f"| `{name}` |" in page


def test_every_stage_that_runs_is_listed(make: Any) -> None:
    page = make.stages_page()
    rows = {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert rows == set(planners())


def test_every_command_and_option_is_listed(make: Any) -> None:
    page = make.commands_page()
    top: Any = typer.main.get_command(app)
    for name, command in top.commands.items():
        assert f"## blobsmith {name}" in page
        for option in (p for p in command.params if p.param_type_name == "option"):
            assert option.opts[0] in page


def test_the_site_needs_no_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|img|iframe)[^>]*src="?(?:https?:)?//[^">]*', text) == []
        assert re.findall(r'<link[^>]*rel="?(?:stylesheet|preconnect)"?[^>]*//[^>]*', text) == []
    for sheet in site.rglob("*.css"):
        assert re.findall(r"url\(['\"]?https?://", sheet.read_text(encoding="utf-8")) == []


def test_every_page_is_in_the_menu(site: Path, make: Any) -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    sources = [str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")]
    for name in [*sources, *make.GENERATED]:
        assert name in menu
        assert (site / name).with_suffix(".html").exists()


def test_the_reference_has_what_the_package_gives(site: Path) -> None:
    import blobsmith

    text = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in set(blobsmith.__all__) - {"__version__"}:
        assert re.search(rf'id="blobsmith\.[\w.]*\b{name}"', text), name
