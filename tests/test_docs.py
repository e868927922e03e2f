"""What the documentation shows runs, prints what it says, and its links lead somewhere."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from blobsmith.cli.app import app
from tests.docs.blocks import as_told, blocks
from tests.docs.runner import PageFailed, run_page

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUNNING = [page for page in PAGES if blocks(page, ROOT)]
GENERATED = {"commands.md", "rewrites.md", "stages.md"}
_LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all pages: some build the same."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def desk(
    tmp_path: Path, toolchain: Path, builds: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:  # fmt: skip
    """An empty folder to work in, as the reader has it."""
    monkeypatch.setenv("BLOBSMITH_TOOLCHAIN", str(toolchain))
    monkeypatch.setenv("BLOBSMITH_CACHE", str(builds))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("page", RUNNING, ids=_name)
def test_every_block_of_a_page_runs(page: Path, desk: Path) -> None:
    before = set(sys.modules)
    try:
        assert run_page(page) == len(blocks(page, ROOT))
    finally:
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(desk)):
                del sys.modules[name]


def test_the_readmes_hold_the_same_code() -> None:
    """Both languages show the same commands and programs, but for comments and words."""

    def bare(page: str) -> list[str]:
        found = []
        for block in blocks(ROOT / page, ROOT):
            code = re.sub(r'""".*?"""', '""', block.code)
            found.append(re.sub(r"\s*#.*", "", code))
        return found

    assert bare("README.md") == bare("README.zh-CN.md")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("```python\n1 / 0\n```\n", "ZeroDivisionError"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "it printed"),
        ("```sh\nblobsmith inspect none.blob\n```\n", "exit code 1"),
        ("```sh\nrm -rf everything\n```\n", "nothing checks"),
        ("```sh\nmake nonsense\n```\n", "nothing checks"),
        ("```sh\npip install 'blobsmith[nonsense]'\n```\n", "nothing checks"),
        ("```\nplain\n```\n", "no language"),
        (
            "<!-- run: camera -->\n```python\nimport depthai as dai\n"
            "with dai.Pipeline() as p:\n    p.create(dai.node.Camera).builds()\n```\n",
            "builds",
        ),
        ("<!-- run: camera -->\n```sh\nblobsmith run x.blob --onn oak\n```\n", "--onn"),
    ],
)
def test_a_wrong_block_is_found(text: str, told: str, desk: Path) -> None:
    page = desk / "page.md"
    page.write_text(text)
    with pytest.raises(PageFailed, match=re.escape(told)):
        run_page(page)


def test_dots_stand_for_anything_in_between() -> None:
    assert as_told("a ... c\n", "a 1 2\n   c\n")
    assert as_told("...\nend\n", "start\nend\n")
    assert not as_told("a ... c\n", "a b\n")
    assert not as_told("a\n", "a b\n")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text()):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path = (page.parent / target) if target else page
        if path.name in GENERATED:
            continue  # the site's own strict build looks at these
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            assert anchor[1:] in _anchors(path), f"{target}{anchor}"


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", head.lower()) for head in heads]
    return {head.strip().replace(" ", "-") for head in kept}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_pages_speak_of_the_project_alone(page: Path) -> None:
    text = page.read_text()
    for word in ("/work/", "/root/", "shared/facts", "pypi" + ".org"):
        assert word not in text


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_lists_and_tables_stand_apart(page: Path) -> None:
    """Without a blank line before them the site shows them as running text."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = text.splitlines()
    for before, line in pairwise(lines):
        starts = re.match(r"[-*] |1\. |\|", line)
        inside = re.match(r"\s*[-*] |\d+\. |\||\s|$", before)
        assert not starts or inside, line


def test_options_that_are_spoken_of_exist() -> None:
    """`--like-this` in running text is an option of some command."""
    top: Any = typer.main.get_command(app)
    known = {"--help", "--version"}
    for command in _commands(top):
        known |= {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    for page in PAGES:
        for code in re.findall(r"`([^`\n]+)`", page.read_text()):
            if code.startswith(("python ", "uv ", "pip ", "onnxruntime-")):
                continue
            for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", code):
                assert option in known, f"{page.name}: {code}"


def _commands(group: Any) -> list[Any]:
    inner = getattr(group, "commands", {}).values()
    return [group, *(leaf for each in inner for leaf in _commands(each))]
