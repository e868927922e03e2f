"""`blobsmith graph`: the drawing alone."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer
from onnx import helper
from typer.testing import CliRunner

from blobsmith.cli.graph import graph
from tests import graphs

Run = Callable[..., Any]


@pytest.fixture
def run() -> Run:
    app = typer.Typer()
    app.command()(graph)
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.onnx"
    path.write_bytes(graphs.one("Relu").SerializeToString())
    return path


def test_an_svg_before_and_after(run: Run, onnx_file: Path, tmp_path: Path) -> None:
    made = tmp_path / "g.svg"
    done = run(onnx_file, "-o", made)
    assert done.exit_code == 0, done.output
    root = ElementTree.parse(made).getroot()
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("Relu") == 3
    assert {"As exported: 1 nodes", "Simplified: 1 nodes", "Rewritten: 1 nodes"} <= set(texts)
    assert str(made) in done.output


def test_an_html_of_a_zoo_name(run: Run, tmp_path: Path) -> None:
    made = tmp_path / "g.html"
    done = run("cosine", "-o", made, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["ok"], told["path"]) == (True, str(made))
    titles = [each["title"] for each in told["graphs"]]
    assert titles == ["As exported", "Simplified", "Rewritten"]
    assert all(sum(each["by_type"].values()) == each["nodes"] > 5 for each in told["graphs"])
    assert "<title>cosine" in made.read_text()


def test_a_graph_that_cannot_be_simplified_is_drawn_with_a_word(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    node = helper.make_node("Odd", ["x"], ["y"], "mine", domain="mine")
    proto = graphs.model([node], {"x": graphs.IMAGE}, {"y": graphs.IMAGE})
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    path.write_bytes(proto.SerializeToString())
    done = run(path, "-o", tmp_path / "g.svg", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [each["title"] for each in told["graphs"]] == ["As exported"]
    assert told["graphs"][0]["by_type"] == {"mine.Odd": 1}
    assert "as far as it goes" in told["warnings"][0]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("{file}", "-o", "g.png"), 2, "cannot be drawn as .png"),
        (("{file}", "-o", "g"), 2, "without suffix"),
        (("missing.onnx", "-o", "g.svg"), 1, "no such file"),
        (("no-such-model", "-o", "g.svg"), 1, "no-such-model"),
    ],
)
def test_mistakes_are_one_message(
    arguments: tuple[str, ...], code: int, told: str, run: Run, onnx_file: Path
) -> None:
    done = run(*(argument.format(file=onnx_file) for argument in arguments), "--json")
    assert done.exit_code == code, done.output
    error = json.loads(done.stdout)["error"]
    assert told in error["what"] + error["where"]


def test_netron_gets_the_file_itself(
    run: Run, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is a stand-in: what is checked is what it is handed."""
    calls: list[object] = []
    fake: Any = types.ModuleType("netron")
    fake.start = lambda path: calls.append(Path(path).read_bytes())
    fake.wait = lambda: calls.append("waited")
    monkeypatch.setitem(sys.modules, "netron", fake)
    done = run(onnx_file, "--netron")
    assert done.exit_code == 0, done.output
    assert calls == [onnx_file.read_bytes(), "waited"]


def test_without_netron_it_says_what_to_install(
    run: Run, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "netron", None)
    done = run(onnx_file, "--netron", "--json")
    assert done.exit_code == 5
    assert "pip install netron" in json.loads(done.stdout)["error"]["remedy"]
