"""A catalogue's run: what is measured of each case, and that one case cannot spoil the others."""

from __future__ import annotations

import csv
import math
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from blobsmith.coverage import CaseResult, CoverageTable, load_cases, run_catalogue
from blobsmith.errors import SourceError

CATALOGUE = """
import os
from collections import namedtuple

import torch
import torch.nn.functional as F

Case = namedtuple("Case", "group name fn shapes")
SHAPE = (1, 3, 32, 48)
CASES = [
    Case("good", "pool", lambda x: F.max_pool2d(x, 3, 1, 1), (SHAPE,)),
    Case("good", "difference", lambda a, b: a / 255 - b / 255, (SHAPE, SHAPE)),
    Case("bad", "no export", lambda x: torch.linalg.svd(x)[0], (SHAPE,)),
    Case("bad", "crash", lambda x: os._exit(3), (SHAPE,)),
    Case("bad", "too large", lambda x: torch.exp(x), (SHAPE,)),
]
"""


class Inline(Executor):
    """Runs a job when it is submitted, in this process."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalogue") / "cases.py"
    path.write_text(CATALOGUE)
    return path


@pytest.fixture(scope="module")
def table(catalogue: Path, toolchain: Path) -> CoverageTable:
    seen: list[tuple[int, int, str]] = []
    made = run_catalogue(
        catalogue, workers=2, on_progress=lambda done, total, name: seen.append((done, total, name))
    )
    assert seen[0] == (0, 5, "")
    assert seen[-1][:2] == (5, 5)
    return made


def _named(table: CoverageTable, name: str) -> CaseResult:
    return next(r for r in table.results if r.name == name)


def test_a_padded_pool_is_right_and_faster(table: CoverageTable) -> None:
    pool = _named(table, "pool")
    assert pool.exported
    assert pool.compiled
    assert pool.verified
    assert pool.ms < pool.recipe_ms
    assert pool.stages < pool.recipe_stages
    assert "max-pool-padding" in pool.rewrites
    assert pool.onnx_error == 0
    assert pool.blob_error == 0


def test_two_inputs(table: CoverageTable) -> None:
    assert _named(table, "difference").verified


def test_reasons_are_one_line(table: CoverageTable) -> None:
    for name in ("no export", "crash", "too large"):
        result = _named(table, name)
        assert not result.verified
        assert result.reason
        assert "\n" not in result.reason
    assert not _named(table, "no export").exported
    assert "died" in _named(table, "crash").reason


def test_a_wrong_blob_counts_as_built_but_not_as_verified(table: CoverageTable) -> None:
    large = _named(table, "too large")
    assert large.compiled
    assert not large.verified
    assert large.name in table.lost


def test_order_is_the_catalogues(table: CoverageTable) -> None:
    assert [r.name for r in table.results] == [
        "pool", "difference", "no export", "crash", "too large"
    ]  # fmt: skip


def test_files(table: CoverageTable, tmp_path: Path) -> None:
    markdown, data = table.write(tmp_path / "coverage.md")
    text = markdown.read_text()
    assert text.count("\n| ") == 6  # the head, and five cases
    assert "geometric means" in text
    with data.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == [r.name for r in table.results]
    assert float(rows[0]["ms"]) == pytest.approx(table.results[0].ms, rel=1e-4)


def test_summary(table: CoverageTable) -> None:
    summary = table.to_dict()["summary"]
    assert summary["cases"] == 5
    assert summary["verified"] == 2
    assert summary["slower"] == []
    assert 0 < summary["time_ratio"] < 1
    assert "2 of 5" in table.summary_text()


def test_means_are_geometric_and_over_what_both_compile() -> None:
    def result(name: str, ms: float, recipe: float, *, built: bool = True) -> CaseResult:
        return CaseResult("g", name, exported=True, compiled=True, recipe_stages=8,
                          recipe_ms=recipe, built=built, stages=4, ms=ms)  # fmt: skip

    table = CoverageTable(
        (result("a", 1.0, 4.0), result("b", 4.0, 4.0), result("c", math.nan, 1.0, built=False),
         result("d", 3.0, 2.0)),
        8,
    )  # fmt: skip
    assert table.time_ratio == pytest.approx((0.25 * 1 * 1.5) ** (1 / 3))
    assert table.stage_ratio == pytest.approx(0.5)
    assert table.slower == ("d",)


def test_any_executor_serves(catalogue: Path, toolchain: Path) -> None:
    table = run_catalogue(catalogue, only="pool", executor=Inline())
    assert [r.name for r in table.results] == ["pool"]
    assert table.verified == 1


@pytest.mark.parametrize("text", ["", "CASES = []", "CASES = [1]", "import nothing_of_that_name"])
def test_files_that_are_no_catalogue(text: str, tmp_path: Path) -> None:
    path = tmp_path / f"c{abs(hash(text))}.py"
    path.write_text(text)
    with pytest.raises(SourceError):
        load_cases(path)


def test_no_file() -> None:
    with pytest.raises(SourceError):
        run_catalogue("/nowhere/cases.py")


def test_a_reason_names_no_folder_of_the_machine_and_says_what_to_do() -> None:
    from blobsmith.coverage_case import first_line
    from blobsmith.errors import OperatorError

    refused = OperatorError("no Det", where="a.py:3", remedy="invert it on the host")
    assert first_line(refused) == "no Det; invert it on the host"
    told = first_line(RuntimeError("at /home/me/lib/site-packages/torch/nn/functional.py:5823"))
    assert told == "at torch/nn/functional.py:5823"
