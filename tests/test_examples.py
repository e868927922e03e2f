"""The examples that need no camera run, and what they claim holds. (The others: tests/oak.)"""

from __future__ import annotations

import ast
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import depthai as dai
import pytest
from luxonis_ml.nn_archive.config import Config

from blobsmith.packaging.archive import Archive

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, toolchain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder and a cache of its own."""
    monkeypatch.setenv("BLOBSMITH_TOOLCHAIN", str(toolchain))
    monkeypatch.setenv("BLOBSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def _run(script: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(EXAMPLES / script)
    monkeypatch.setattr(sys, "argv", [path, *arguments])
    runpy.run_path(path, run_name="__main__")


def _shares(told: str) -> tuple[float, float, float]:
    """Right in the framework, right on the blob, agreement: as printed, in per cent."""
    first, second, third = (float(each) for each in re.findall(r"([\d.]+)%(?! of the)", told)[-3:])
    return first, second, third


def test_a_trained_network_to_an_archive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run("digits.py", "--epochs", "8", monkeypatch=monkeypatch)
    in_torch, on_blob, agree = _shares(capsys.readouterr().out)
    assert in_torch > 85
    assert on_blob == pytest.approx(in_torch, abs=1)
    assert agree > 99
    data = Path("digits.tar.xz").read_bytes()
    (head,) = Config(**Archive.from_bytes(data).config).model.heads or []
    assert head.parser == "ClassificationParser"
    assert head.outputs == ["scores"]
    assert head.metadata.classes == [str(digit) for digit in range(10)]
    theirs = dai.NNArchive("digits.tar.xz").getConfigV1().model.heads[0].metadata
    assert theirs.classes == head.metadata.classes
    assert theirs.isSoftmax is False


def test_from_another_framework(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run("from_sklearn.py", monkeypatch=monkeypatch)
    in_sklearn, on_blob, agree = _shares(capsys.readouterr().out)
    assert in_sklearn > 90
    assert on_blob == pytest.approx(in_sklearn, abs=1)
    assert agree > 99
    assert Path("digits.blob").exists()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_from_top_to_bottom(
    notebook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Jupyter would: one namespace, and the last expression of a cell is shown."""
    names: dict[str, Any] = {"__name__": "__main__"}
    pictures = 0
    for cell in _cells(notebook):
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, notebook.name, "exec"), names)
        if isinstance(last, ast.Expr):
            shown = eval(compile(ast.Expression(last.value), notebook.name, "eval"), names)
            pictures += bool(hasattr(shown, "_repr_png_") and shown._repr_png_())
    assert pictures >= 3
    told = capsys.readouterr().out
    assert "right on 6 frames" in told
    assert names["np"].abs(names["output"] - names["wanted"]).max() < 2.55


def _cells(notebook: Path) -> list[dict[str, Any]]:
    """The code cells; their outputs are stripped."""
    data = json.loads(notebook.read_text(encoding="utf-8"))
    assert (data["nbformat"], data["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in data["cells"]]
    assert len(set(ids)) == len(ids)
    cells = [cell for cell in data["cells"] if cell["cell_type"] == "code"]
    assert cells
    for cell in cells:
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
    return cells
