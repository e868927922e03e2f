"""An Executor over the machines of a Dask cluster, with the limits that jobs have here."""

from __future__ import annotations

import contextlib
import pickle
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from ..errors import EnvironmentFault
from .channel import load
from .cluster_host import ClusterFault, Job, SentFile, Terms, end, facts, perform
from .cluster_link import ANSWER, START_WORKER, connect, examine
from .pool import DEFAULT_MEMORY, DEFAULT_TIMEOUT

__all__ = ["ClusterExecutor", "ClusterFault", "SentFile"]

_WATCH = 1.0


class ClusterExecutor(Executor):
    """Runs importable functions on a Dask cluster, each in a limited process of a Dask worker.

    Limits, results and errors are those of `LimitedExecutor`. A job whose worker is lost runs again
    on another; what comes to no answer for the cluster's sake fails with a `ClusterFault`. Workers
    must have the same blobsmith as this process; its functions are imported there by name.

    `Future.cancel` succeeds until the answer is here; a job that runs then is ended at `shutdown`.

    Args:
        cluster: the scheduler's address, such as tcp://host:8786, or a `distributed.Client`, which
            stays open.
        timeout: seconds for one job.
        memory: address space of a job's process in bytes; 0 for no limit.
        same: "module:function", importable here and there, that tells what else must be the same on
            all machines: a mapping of names to texts.
        ready: "module:function" that raises a `BlobsmithError` on a worker that lacks something.
        patience: seconds for which jobs wait when there is no worker left.

    Raises:
        ClusterFault: Dask is not installed, the cluster cannot be reached or has no workers, or a
            worker has other versions.
        BlobsmithError: what `ready` raised on a worker.
        UsageError: the address is none.
    """

    def __init__(
        self,
        cluster: Any,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        memory: int = DEFAULT_MEMORY,
        same: str = "",
        ready: str = "",
        patience: float = 60.0,
    ) -> None:
        self.timeout = timeout
        self.memory = memory
        self._patience = patience
        self._name = uuid.uuid4().hex
        self._terms = Terms(facts(same), same, ready)
        self._owned = isinstance(cluster, str)
        self._client = connect(cluster) if self._owned else cluster
        self._address = str(self._client.scheduler.address)
        self._lock = threading.Lock()
        self._open: dict[Future[Any], Any] = {}
        self._lost: list[ClusterFault] = []
        self._closed = False
        self._done = threading.Event()
        self._watcher: threading.Thread | None = None
        try:
            examine(self._client, self._address, self._terms)
        except BaseException:
            self._disconnect()
            raise

    @property
    def lost(self) -> tuple[ClusterFault, ...]:
        """One fault for each job that came to no answer for the cluster's sake."""
        return tuple(self._lost)

    @staticmethod
    def send(path: Path) -> SentFile:
        """A file as an argument of a job: there, it is the path of a copy.

        Raises:
            OSError: it cannot be read.
        """
        return SentFile(path.name, path.read_bytes())

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Schedules ``fn(*args, **kwargs)`` on the cluster.

        Raises:
            RuntimeError: this executor was shut down.
            ClusterFault: the connection to the cluster is closed.
        """
        job = Job(
            self._name, self._terms, self.timeout, self.memory,
            fn.__module__, fn.__qualname__, args, kwargs,
        )  # fmt: skip
        data = pickle.dumps(job)
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("this executor was shut down")
            try:
                remote = self._client.submit(
                    perform, data, key=f"blobsmith-{uuid.uuid4().hex}", pure=False
                )
            except Exception as error:  # the client has been closed
                raise self._explain(error) from error
            self._open[future] = remote
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, daemon=True)
                self._watcher.start()
        future.add_done_callback(self._cancelled)
        remote.add_done_callback(lambda done: self._answer(future, done))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends what this executor has on the workers, after its jobs or, if asked, at once.

        Args:
            wait: return when nothing is left there; else this happens in a thread.
            cancel_futures: cancel all jobs that have not answered, also those that run.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            pending = list(self._open)
        if cancel_futures:
            for future in pending:
                future.cancel()
        closing = threading.Thread(target=self._close, args=(pending,), daemon=True)
        closing.start()
        if wait:
            closing.join()

    def _close(self, pending: list[Future[Any]]) -> None:
        for future in pending:
            with contextlib.suppress(BaseException):
                future.exception()
        self._done.set()
        # a connection that is lost reaches nobody; without jobs the processes end by themselves
        if self._client.status == "running":
            with contextlib.suppress(Exception):
                self._client.run(end, self._name, on_error="ignore", callback_timeout=ANSWER)
        self._disconnect()

    def _disconnect(self) -> None:
        if self._owned:
            with contextlib.suppress(Exception):
                self._client.close(timeout=ANSWER)

    def _cancelled(self, future: Future[Any]) -> None:
        if future.cancelled() and (remote := self._take(future)) is not None:
            future.set_running_or_notify_cancel()  # tells those who wait
            with contextlib.suppress(Exception):
                remote.cancel()

    def _take(self, future: Future[Any]) -> Any:
        """What runs for a future; whoever takes it settles the future."""
        with self._lock:
            return self._open.pop(future, None)

    def _answer(self, future: Future[Any], remote: Any) -> None:
        """Takes the answer over; runs in a thread of Dask's."""
        error: BaseException | None = None
        value = None
        try:
            kind, value = load(remote.result())
            if kind != "value":
                error = value
            if kind == "refused" and not isinstance(error, ClusterFault):
                error = ClusterFault(value.what, where=value.where, remedy=value.remedy)
        except pickle.UnpicklingError as unexpected:
            error = EnvironmentFault(str(unexpected), remedy="do not trust the file that was read")
        except BaseException as failed:
            error = self._explain(failed)
        self._settle(future, value, error)

    def _settle(self, future: Future[Any], value: Any, error: BaseException | None) -> None:
        if self._take(future) is None or not future.set_running_or_notify_cancel():
            return
        if error is None:
            future.set_result(value)
            return
        if isinstance(error, ClusterFault):
            self._lost.append(error)
        future.set_exception(error)

    def _explain(self, error: BaseException) -> ClusterFault:
        """What the end of a job without an answer means."""
        name = type(error).__name__
        if name == "KilledWorker":
            last = getattr(getattr(error, "last_worker", None), "address", "")
            return ClusterFault(
                "the workers that ran this died, one after the other",
                where=str(last),
                remedy="see the workers' logs; a system short of memory ends them",
            )
        if name in ("CancelledError", "FutureCancelledError", "FuturesCancelledError"):
            return ClusterFault(
                "the cluster gave the job up: its scheduler was lost, or somebody restarted it",
                where=self._address,
                remedy="see the scheduler's log, and run it again",
            )
        return ClusterFault(
            f"a worker could not run the job: {name}: {error}",
            where=self._address,
            remedy="see the workers' logs",
        )

    def _watch(self) -> None:
        """Fails what is open when there is nobody left who could do it."""
        seen = time.monotonic()
        while not self._done.wait(_WATCH):
            try:
                there = bool(self._client.nthreads(callback_timeout=ANSWER))
            except Exception:  # also while the client connects anew
                there = False
            if there or not self._open:
                seen = time.monotonic()
            elif time.monotonic() - seen > self._patience:
                self._give_up()

    def _give_up(self) -> None:
        fault = ClusterFault(
            "the cluster has no worker left, or its scheduler does not answer",
            where=self._address,
            remedy=f"{START_WORKER.format(address=self._address)}, and run it again",
        )
        with self._lock:
            pending = list(self._open.items())
        for future, remote in pending:
            self._settle(future, None, fault)
            with contextlib.suppress(Exception):
                remote.cancel()
