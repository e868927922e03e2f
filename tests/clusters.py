"""Dask clusters of this machine, with processes as workers, and what is left of them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

LIMIT = 60.0
"""Generous seconds for what takes a moment."""


@contextlib.contextmanager
def local_cluster(folder: Path, workers: int, threads: int = 1) -> Iterator[Any]:
    """A `distributed.LocalCluster` whose workers find this test package."""
    import dask.config
    from distributed import LocalCluster

    with (
        pytest.MonkeyPatch.context() as patch,
        dask.config.set({"temporary-directory": str(folder)}),
    ):
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        with LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            processes=True,
            host="127.0.0.1",
            dashboard_address=":0",
            silence_logs=50,
        ) as cluster:
            yield cluster


def set_variable(name: str, value: str | None) -> None:
    """Sets a variable of the environment, or takes it away; runs on Dask workers."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def limited_processes() -> list[int]:
    """The worker processes of blobsmith that Dask workers below this process have."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            dask = any("multiprocessing" in word for word in process.parent().cmdline())
            if dask and any("blobsmith.workers.child" in word for word in process.cmdline()):
                found.append(process.pid)
    return found


def until(met: Callable[[], object]) -> None:
    """Waits for something that happens soon.

    Raises:
        AssertionError: it did not.
    """
    end = time.monotonic() + LIMIT
    while not met():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
