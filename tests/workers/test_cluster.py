"""Jobs on a Dask cluster end as they do here, whatever they do, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, as_completed
from pathlib import Path
from typing import Any

import pytest

from blobsmith import _version
from blobsmith.errors import BlobsmithError, OperatorError, UsageError
from blobsmith.workers import LimitedExecutor, cluster_link
from blobsmith.workers.cluster import ClusterExecutor, ClusterFault
from tests.clusters import gone, limited_processes, local_cluster, until

from . import jobs

LIMITS: dict[str, Any] = {"timeout": 60.0, "memory": 2 << 30}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_cluster(tmp_path_factory.mktemp("dask"), 2) as found:
        yield found


@pytest.fixture(scope="module")
def executor(cluster: Any) -> Iterator[ClusterExecutor]:
    with ClusterExecutor(cluster.scheduler_address, **LIMITS) as found:
        yield found


def _end(call: Callable[[], Any]) -> tuple[object, ...]:
    """A value, or all that an error says."""
    try:
        return ("value", call())
    except BlobsmithError as error:
        told = (type(error), error.what, error.where, error.remedy)
        return (*told, "jobs.py" in getattr(error, "detail", ""))


@pytest.mark.parametrize(
    ("fn", "args"),
    [
        (jobs.add, (2, 3)),
        (jobs.chatter, ()),
        (jobs.refuse, ()),
        (jobs.fail, ()),
        (jobs.crash, ()),
        (jobs.hostile, ()),
        (jobs.fill_the_disk, ()),
        (jobs.allocate, (4 << 30,)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_end_is_that_of_the_local_pool(
    executor: ClusterExecutor, cluster: Any, fn: Any, args: Any
) -> None:
    before = _pids(cluster)
    with LimitedExecutor(**LIMITS) as local:
        here, there = local.submit(fn, *args), executor.submit(fn, *args)
        assert _end(there.result) == _end(here.result)
    assert _pids(cluster) == before, "no Dask worker was lost"
    assert executor.lost == ()


def test_time_is_limited_as_in_the_local_pool(cluster: Any) -> None:
    with (
        LimitedExecutor(timeout=1) as local,
        ClusterExecutor(cluster.scheduler_address, timeout=1) as executor,
    ):
        here, there = local.submit(jobs.sleep, 300), executor.submit(jobs.sleep, 300)
        assert _end(there.result) == _end(here.result)


def _pids(cluster: Any) -> dict[str, int]:
    from distributed import Client

    with Client(cluster.scheduler_address, set_as_default=False) as client:
        pids: dict[str, int] = client.run(os.getpid)
    return pids


def test_maps_and_completes(executor: ClusterExecutor) -> None:
    assert list(executor.map(jobs.add, range(8), range(8))) == list(range(0, 16, 2))
    futures = {executor.submit(jobs.add, n, b=n) for n in range(4)}
    assert sorted(f.result() for f in as_completed(futures)) == [0, 2, 4, 6]


def test_a_file_travels_and_nothing_stays(cluster: Any, tmp_path: Path) -> None:
    file = tmp_path / "told.txt"
    file.write_text("text")
    with ClusterExecutor(cluster.scheduler_address, **LIMITS) as executor:
        sent = executor.send(file)
        copies = [executor.submit(jobs.read, sent).result() for _ in range(2)]
        file.write_text("another")
        assert executor.submit(jobs.read, executor.send(file)).result()[1] == "another"
        assert set(limited_processes()), "there is a process that waits for more"
        mine = set(limited_processes())
    for path, text in copies:
        assert (Path(path).name, text) == ("told.txt", "text")
        assert Path(path) != file
        assert not Path(path).parents[1].exists()
    assert len(set(limited_processes()) & mine) <= 2  # those of the module's executor
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(jobs.pid)


def test_what_is_cancelled_ends_at_shutdown_also_what_runs(cluster: Any, tmp_path: Path) -> None:
    executor = ClusterExecutor(cluster.scheduler_address, timeout=300)
    marks = [tmp_path / f"{n}" for n in range(6)]
    futures = [executor.submit(jobs.hang_once, str(mark)) for mark in marks]
    until(lambda: sum(mark.exists() and bool(mark.read_text()) for mark in marks) == 2)
    running = [int(mark.read_text().split()[1]) for mark in marks if mark.exists()]
    assert futures[0].cancel()
    executor.shutdown(cancel_futures=True)
    assert all(gone(pid) for pid in running)
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(timeout=0)
    assert executor.lost == ()
    assert sum(mark.exists() for mark in marks) == 2, "none began afterwards"


def test_a_lost_workers_job_runs_again_elsewhere(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with (
        local_cluster(tmp_path / "dask", 2) as cluster,
        ClusterExecutor(cluster.scheduler_address, timeout=300) as executor,
    ):
        future = executor.submit(jobs.hang_once, str(mark))
        dask_worker, child = _ids(mark)
        os.kill(dask_worker, signal.SIGKILL)
        assert future.result(timeout=60) == "again"
        until(lambda: gone(child))
        assert executor.lost == ()


def test_jobs_fail_when_no_worker_is_left_and_when_the_scheduler_goes(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with (
        local_cluster(tmp_path / "dask", 1) as cluster,
        ClusterExecutor(cluster.scheduler_address, timeout=300, patience=0.5) as hasty,
        ClusterExecutor(cluster.scheduler_address, timeout=300, patience=300) as patient,
    ):
        first = hasty.submit(jobs.hang_once, str(mark))
        dask_worker, _ = _ids(mark)
        second = patient.submit(jobs.pid)
        cluster.scale(0)
        with pytest.raises(ClusterFault, match="no worker left") as caught:
            first.result(timeout=60)
        assert f"dask worker {cluster.scheduler_address}" in caught.value.remedy
        os.kill(dask_worker, signal.SIGKILL)  # Dask itself would wait for the job
        cluster.close()
        with pytest.raises(ClusterFault, match="gave the job up"):
            second.result(timeout=60)
        assert (len(hasty.lost), len(patient.lost)) == (1, 1)


def _ids(mark: Path) -> tuple[int, int]:
    """Of the Dask worker and of the process in which a job hangs."""
    until(lambda: mark.exists() and mark.read_text().endswith("\n"))
    dask_worker, child = map(int, mark.read_text().split())
    return dask_worker, child


def test_a_worker_of_another_version_is_named(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_version, "__version__", "9.9")
    with pytest.raises(ClusterFault, match=r"blobsmith \d\S+ \(here: 9\.9\)") as caught:
        ClusterExecutor(cluster.scheduler_address)
    assert caught.value.where in _pids(cluster)
    assert caught.value.where in caught.value.what
    assert "blobsmith[cluster]==9.9" in caught.value.remedy


def test_facts_and_lacks_of_a_room_are_compared_too(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ClusterExecutor(cluster.scheduler_address, same=f"{jobs.__name__}:versions") as found:
        assert found.submit(jobs.add, 1, 1).result() == 2
    with pytest.raises(OperatorError, match=r"on the worker tcp://\S+: no such operator") as lack:
        ClusterExecutor(cluster.scheduler_address, ready=f"{jobs.__name__}:refuse")
    assert lack.value.remedy == "another on that machine"
    monkeypatch.setenv("WEATHER", "foul")
    with pytest.raises(ClusterFault, match=r"has the weather fair \(here: foul\)"):
        ClusterExecutor(cluster.scheduler_address, same=f"{jobs.__name__}:versions")


def test_a_worker_that_joins_later_is_examined_too(cluster: Any) -> None:
    with ClusterExecutor(cluster.scheduler_address) as executor:
        executor._terms.facts["blobsmith"] = "9.9"  # type: ignore[index]
        with pytest.raises(ClusterFault, match=r"worker tcp://\S+ has blobsmith"):
            executor.submit(jobs.add, 1, 1).result()
        assert len(executor.lost) == 1


def test_a_worker_without_blobsmith_is_named(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_link, "_EXAMINE", "__import__('blobsmith_that_is_not_there')")
    with pytest.raises(ClusterFault, match=r"worker tcp://\S+ has no blobsmith, or another"):
        ClusterExecutor(cluster.scheduler_address)


def test_a_client_of_the_users_own_stays_open(cluster: Any) -> None:
    from distributed import Client

    with Client(cluster.scheduler_address, set_as_default=False) as client:
        with ClusterExecutor(client) as executor:
            assert executor.submit(jobs.add, 1, 1).result() == 2
        assert client.status == "running"


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_link, "CONNECT", 0.3)


def test_a_cluster_that_is_not_there(brief: None) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ClusterFault, match="cannot be reached") as caught:
            ClusterExecutor(address)
    assert caught.value.where == address
    assert "dask scheduler" in caught.value.remedy


def test_somebody_who_takes_the_call_and_says_nothing(brief: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ClusterFault, match="nothing there answers as a scheduler"):
            ClusterExecutor(address)


def test_a_cluster_without_workers(brief: None, tmp_path: Path) -> None:
    with (
        local_cluster(tmp_path, 0) as cluster,
        pytest.raises(ClusterFault, match="no workers") as caught,
    ):
        ClusterExecutor(cluster.scheduler_address)
    assert "dask worker tcp://" in caught.value.remedy


@pytest.mark.parametrize("address", ["", "somewhere", "http://a:1", "tcp://a:b"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        ClusterExecutor(address)


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterFault, match="Dask is not installed") as caught:
        ClusterExecutor("tcp://127.0.0.1:1")
    assert caught.value.remedy == "pip install 'blobsmith[cluster]'"


def test_dask_loads_only_when_it_is_used() -> None:
    code = (
        "import sys, blobsmith.coverage_cluster, blobsmith.cli.app\n"
        "print('distributed' in sys.modules, 'dask' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
