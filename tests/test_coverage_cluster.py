"""A catalogue on a Dask cluster: the same table as here, or a word on why there is none."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blobsmith.cli.app import run
from blobsmith.coverage import load_cases, run_catalogue
from blobsmith.coverage_cluster import all_answered, cluster_executor, versions
from blobsmith.workers import cluster_link
from blobsmith.workers.cluster import ClusterFault
from tests.clusters import limited_processes, local_cluster, set_variable

CATALOGUE = """
import torch
import torch.nn.functional as F

SHAPE = (1, 3, 16, 24)
CASES = [
    ("good", "pool", lambda x: F.max_pool2d(x, 3, 1, 1), (SHAPE,)),
    ("bad", "too large", lambda x: torch.exp(x), (SHAPE,)),
]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_cluster(tmp_path_factory.mktemp("dask"), 1) as found:
        yield found


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    path = tmp_path / "cases.py"
    path.write_text(CATALOGUE)
    return path


def _cases(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [{k: v for k, v in case.items() if k != "seconds"} for case in told["cases"]]


def test_the_command_makes_the_table_that_is_made_here(
    cluster: Any, catalogue: Path, toolchain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = catalogue.with_name("table.md")
    command = ["coverage", str(catalogue), "--cluster", cluster.scheduler_address]
    load_cases(catalogue)  # in one thread
    with ThreadPoolExecutor(1) as beside:
        local = beside.submit(run_catalogue, catalogue, workers=1)
        assert run([*command, "-o", str(table), "--json"]) == 0
        there = json.loads(capsys.readouterr().out)
        here = json.loads(json.dumps(local.result().to_dict()))
    assert _cases(there) == _cases(here)
    assert there["summary"] == here["summary"]
    assert [case["verified"] for case in there["cases"]] == [True, False]
    assert "at cases.py:8 " in there["cases"][1]["reason"], "the line is told, and no folder"
    assert table.read_text().startswith("# Coverage of cases.py\n")
    assert limited_processes() == []


def test_a_worker_without_the_compiler_is_told(
    cluster: Any, catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from distributed import Client

    nowhere = str(tmp_path / "nowhere")
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        (address,) = client.run(set_variable, "BLOBSMITH_TOOLCHAIN", nowhere)
        try:
            code = run(["coverage", str(catalogue), "--cluster", cluster.scheduler_address])
        finally:
            client.run(set_variable, "BLOBSMITH_TOOLCHAIN", None)
    said = capsys.readouterr().err
    assert code == 3
    assert f"on the worker {address}: the MyriadX compiler is not installed" in said
    assert "run `blobsmith toolchain install` on that machine" in said


def test_a_worker_with_another_package_is_told(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blobsmith import coverage_cluster

    monkeypatch.setattr(
        coverage_cluster, "versions", named("versions", {**versions(), "torch": "0.1"})
    )
    with pytest.raises(ClusterFault, match=r"the worker tcp://\S+ has torch .* \(here: 0\.1\)"):
        cluster_executor(cluster.scheduler_address)


def named(name: str, value: Any) -> Any:
    def function() -> Any:
        return value

    function.__name__ = name
    return function


def test_what_a_catalogue_imports_from_its_own_folder_is_not_there(
    cluster: Any, tmp_path: Path, toolchain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "beside_it.py").write_text("SHAPE = (1, 3, 8, 8)\n")
    path = tmp_path / "imports.py"
    path.write_text(
        "from beside_it import SHAPE\nCASES = [('g', str(n), abs, (SHAPE,)) for n in range(9)]\n"
    )
    with (
        cluster_executor(cluster.scheduler_address) as executor,
        pytest.raises(ClusterFault, match="No module named 'beside_it'") as caught,
    ):
        run_catalogue(path, executor=executor)
    assert caught.value.where == "imports.py"
    assert "on every worker" in caught.value.remedy
    assert limited_processes() == []


def test_a_catalogue_that_differs_there_is_refused(
    cluster: Any, tmp_path: Path, toolchain: Path
) -> None:
    path = tmp_path / "differs.py"
    path.write_text("import os\nCASES = [('g', str(os.getpid()), abs, ((1, 1, 8, 8),))]\n")
    with (
        cluster_executor(cluster.scheduler_address) as executor,
        pytest.raises(ClusterFault, match="other cases"),
    ):
        run_catalogue(path, executor=executor)


def test_a_cluster_that_is_not_there_ends_with_5(
    catalogue: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster_link, "CONNECT", 0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        assert run(["coverage", str(catalogue), "--cluster", address, "--json"]) == 5
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "cluster"
    assert error["where"] == address
    assert "dask scheduler" in error["remedy"]


def test_cases_without_an_answer_are_told_at_the_end() -> None:
    whole: Any = SimpleNamespace(lost=())
    all_answered(whole, 5)
    lost: Any = SimpleNamespace(lost=(ClusterFault("all died", where="w", remedy="see"),) * 2)
    with pytest.raises(ClusterFault, match="2 of 5 cases came to no answer: all died") as caught:
        all_answered(lost, 5)
    assert (caught.value.where, "--only" in caught.value.remedy) == ("w", True)
