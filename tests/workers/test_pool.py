"""Workers answer, keep their limits, and come back after they died."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from blobsmith.errors import EnvironmentFault, OperatorError, UsageError
from blobsmith.workers import InlineExecutor, LimitedExecutor, default_executor
from blobsmith.workers.pool import WorkerFault

from . import jobs


@pytest.fixture(scope="module", autouse=True)
def importable_jobs() -> Iterator[None]:
    """Workers find this test package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def pool(importable_jobs: None) -> Iterator[LimitedExecutor]:
    with LimitedExecutor(timeout=30, memory=2 << 30) as executor:
        yield executor


def test_returns_values_from_another_process(pool: LimitedExecutor) -> None:
    assert pool.submit(jobs.add, 2, b=3).result() == 5
    assert pool.submit(jobs.pid).result() != os.getpid()


def test_is_persistent(pool: LimitedExecutor) -> None:
    assert pool.submit(jobs.pid).result() == pool.submit(jobs.pid).result()


def test_carries_arrays(pool: LimitedExecutor) -> None:
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    np.testing.assert_array_equal(pool.submit(jobs.double, array).result(), array * 2)


def test_raises_our_errors_as_they_are(pool: LimitedExecutor) -> None:
    with pytest.raises(OperatorError) as caught:
        pool.submit(jobs.refuse).result()
    assert (caught.value.what, caught.value.where) == ("no such operator", "node n")


def test_other_errors_carry_the_workers_traceback(pool: LimitedExecutor) -> None:
    with pytest.raises(WorkerFault, match="by accident") as caught:
        pool.submit(jobs.fail).result()
    assert "jobs.py" in caught.value.detail


def test_jobs_tell_how_far_they_are(pool: LimitedExecutor) -> None:
    heard: list[str] = []
    assert pool.submit_telling(heard.append, jobs.count, 3).result() == 3
    assert heard == ["step 0", "step 1", "step 2"]
    assert pool.submit(jobs.count, 2).result() == 2, "nobody has to listen"


def test_what_native_code_prints_does_not_disturb_the_answer(pool: LimitedExecutor) -> None:
    assert pool.submit(jobs.chatter).result() == "answer"


def test_a_crash_is_an_error_and_the_next_job_works(pool: LimitedExecutor) -> None:
    with pytest.raises(EnvironmentFault, match="SIGSEGV"):
        pool.submit(jobs.crash).result()
    assert pool.submit(jobs.add, 1, 1).result() == 2


def test_memory_is_limited(pool: LimitedExecutor) -> None:
    assert pool.submit(jobs.allocate, 1 << 20).result() == 1 << 20
    with pytest.raises(EnvironmentFault, match="memory"):
        pool.submit(jobs.allocate, 4 << 30).result()


def test_time_is_limited() -> None:
    with LimitedExecutor(timeout=1.0) as executor:
        with pytest.raises(EnvironmentFault, match="longer than 1 s"):
            executor.submit(jobs.sleep, 60).result()
        executor.timeout = 30
        assert executor.submit(jobs.add, 1, 1).result() == 2


def test_a_worker_cannot_send_code(pool: LimitedExecutor) -> None:
    with pytest.raises(EnvironmentFault, match="not expected"):
        pool.submit(jobs.hostile).result()


def test_several_workers_run_beside_each_other() -> None:
    with LimitedExecutor(max_workers=2, timeout=30) as executor:
        pids = {f.result() for f in [executor.submit(jobs.pid) for _ in range(8)]}
        assert 1 <= len(pids) <= 2
        assert sum(executor.map(jobs.add, range(10), range(10))) == 90


def test_refuses_jobs_after_shutdown() -> None:
    executor = LimitedExecutor()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(jobs.pid)


def test_a_child_may_start_before_its_job_and_prepare_itself() -> None:
    with LimitedExecutor(timeout=30) as executor:
        executor.start(f"{jobs.__name__}:prepare")
        executor.start(f"{jobs.__name__}:prepare")  # does nothing: there is one
        first = executor.submit(jobs.pid)
        assert executor.submit(jobs.is_prepared).result()
        assert executor.submit(jobs.pid).result() == first.result()


def test_what_fails_while_a_child_prepares_does_not_stop_its_jobs() -> None:
    with LimitedExecutor(timeout=30) as executor:
        executor.start(f"{jobs.__name__}:fail")
        assert executor.submit(jobs.add, 1, 1).result() == 2


def test_a_child_without_a_job_is_ended_at_once() -> None:
    executor = LimitedExecutor(timeout=30)
    executor.start()
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(jobs.add, 1, 1)


def test_what_the_machine_lacks_is_said_with_a_remedy(pool: LimitedExecutor) -> None:
    with pytest.raises(EnvironmentFault, match="No space left") as full:
        pool.submit(jobs.fill_the_disk).result()
    assert (full.value.where, "TMPDIR" in full.value.remedy) == ("/tmp/some.file", True)
    with pytest.raises(EnvironmentFault, match="memory") as large:
        pool.submit(jobs.load_a_library_too_many).result()
    assert "BLOBSMITH_MEMORY" in large.value.remedy


@pytest.mark.parametrize("given", ["many", "-1", "inf", "nan"])
def test_a_limit_that_is_no_number(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("BLOBSMITH_MEMORY", given)
    with pytest.raises(UsageError, match="BLOBSMITH_MEMORY"):
        default_executor.__wrapped__()


def test_an_abandoned_job_ends_running_or_not_and_the_next_one_works() -> None:
    with LimitedExecutor(timeout=600) as executor:
        begun = threading.Event()
        running = executor.submit_telling(lambda _: begun.set(), jobs.tell_and_sleep, 500.0)
        waiting = executor.submit(jobs.sleep, 500.0)
        assert begun.wait(60)
        executor.abandon(waiting)
        executor.abandon(running)
        with pytest.raises(EnvironmentFault):
            running.result(60)
        assert waiting.cancelled()
        assert executor.submit(jobs.add, 1, 1).result(60) == 2


def test_stopping_ends_what_runs() -> None:
    executor = LimitedExecutor(timeout=600)
    begun = threading.Event()
    pid = executor.submit(jobs.pid).result()
    running = executor.submit_telling(lambda _: begun.set(), jobs.tell_and_sleep, 500.0)
    waiting = executor.submit(jobs.sleep, 500.0)
    assert begun.wait(60)
    executor.stop()
    assert isinstance(running.exception(60), EnvironmentFault)
    assert waiting.cancelled()
    assert not Path(f"/proc/{pid}").exists()


def test_a_killed_child_leaves_no_temporary_files() -> None:
    with LimitedExecutor(timeout=600) as executor:
        told: list[str] = []
        begun = threading.Event()

        def hear(text: str) -> None:
            told.append(text)
            begun.set()

        running = executor.submit_telling(hear, jobs.tell_a_file_and_sleep, 500.0)
        assert begun.wait(60)
        assert Path(told[0]).exists()
        executor.abandon(running)
        with pytest.raises(EnvironmentFault):
            running.result(60)
        executor.submit(jobs.add, 1, 1).result(60)
        assert not Path(told[0]).parent.exists()


def test_the_inline_executor_runs_here_and_keeps_errors() -> None:
    executor = InlineExecutor()
    assert executor.submit(jobs.pid).result() == os.getpid()
    with pytest.raises(OperatorError):
        executor.submit(jobs.refuse).result()


def test_a_child_without_work_is_ended_and_comes_back() -> None:
    with LimitedExecutor(timeout=30, idle=0.05) as executor:
        first = executor.submit(jobs.pid).result()
        assert _ends(first)
        assert executor.submit(jobs.pid).result() != first


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their owner")
def test_a_child_ends_with_its_owner_even_in_the_middle_of_a_job(tmp_path: Path) -> None:
    code = (
        "from blobsmith.workers import LimitedExecutor; from tests.workers import jobs\n"
        "pool = LimitedExecutor(timeout=300)\n"
        "say = lambda text: print(text, flush=True)\n"
        "pool.submit_telling(say, jobs.tell_pid_and_sleep).result()\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # it leaves its temporary files
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    assert _ends(child)


def test_a_fault_keeps_its_traceback_when_it_travels() -> None:
    fault = WorkerFault("what", where="here", remedy="so")
    fault.detail = "Traceback"
    again = pickle.loads(pickle.dumps(fault))
    assert (again.what, again.where, again.remedy) == ("what", "here", "so")
    assert again.detail == "Traceback"


def _ends(pid: int) -> bool:
    """Whether a process is gone, or a zombie, within a generous time."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
