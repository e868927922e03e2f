"""An Executor over persistent worker processes with limits on time and memory."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from ..errors import UsageError
from .process import Worker, WorkerFault

__all__ = [
    "DEFAULT_MEMORY", "DEFAULT_TIMEOUT", "LimitedExecutor", "WorkerFault", "default_executor",
    "limits_from_environment",
]  # fmt: skip

DEFAULT_TIMEOUT = 120.0
DEFAULT_MEMORY = 4 << 30
_Item = tuple[Future[Any], tuple[Any, ...], Callable[[str], None] | None]


class LimitedExecutor(Executor):
    """Runs importable functions in persistent child processes under limits.

    A child that exceeds its time is killed, one that dies is replaced; the job's future then holds
    an `EnvironmentFault`. Errors of this package raised in the child come back as they are, other
    exceptions as `WorkerFault`. Functions must be importable by name; arguments and results are
    pickled, results only of this package's classes, NumPy arrays and plain values.

    Args:
        max_workers: number of child processes; they start when first needed.
        timeout: seconds for one job.
        memory: address space of a child in bytes; 0 for no limit.
        idle: seconds after which a child without a job is ended; None: at shutdown.
        folder: where children have their temporary files; None: the system's place for them.
    """

    def __init__(
        self,
        max_workers: int = 1,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        memory: int = DEFAULT_MEMORY,
        idle: float | None = None,
        folder: str | None = None,
    ) -> None:
        self.timeout = timeout
        self.memory = memory
        self._patience = idle
        self._folder = folder
        self._max_workers = max_workers
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)
        self._running: dict[Future[Any], Worker] = {}
        self._unwanted: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = self._stopped = False

    def start(self, prepare: str = "") -> None:
        """Starts a child before there is a job for it; does nothing if there is one already.

        Args:
            prepare: "module:function" that the child calls while it waits, e.g. to load what its
                jobs will need.
        """
        with self._lock:
            if self._threads or self._closed:
                return
            thread = threading.Thread(target=self._serve, args=(prepare,), daemon=True)
            self._threads.append(thread)
            self._idle.release()
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Schedules ``fn(*args, **kwargs)`` in a child process."""
        return self.submit_named(fn.__module__, fn.__qualname__, args, kwargs)

    def submit_named(
        self, module: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Future[Any]:
        """`submit`, of a function that only the child imports."""
        return self._submit((module, name, args, kwargs), None)

    def submit_telling(
        self, progress: Callable[[str], None], fn: Callable[..., Any], /, *args: Any
    ) -> Future[Any]:
        """`submit`, with what the job says through `workers.tell` passed on while it runs.

        Args:
            progress: called in a thread of this executor.
            fn: the function.
            args: its arguments.
        """
        return self._submit((fn.__module__, fn.__qualname__, args, {}), progress)

    def _submit(self, job: tuple[Any, ...], progress: Callable[[str], None] | None) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("this executor was shut down")
            self._queue.put((future, job, progress))
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._max_workers:
                thread = threading.Thread(target=self._serve, daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def _serve(self, prepare: str | None = None) -> None:
        worker: Worker | None = None
        if prepare is not None:
            with contextlib.suppress(OSError):  # it is told when a job needs the child
                worker = Worker(self.memory, prepare, folder=self._folder)
        while True:
            try:
                item = self._queue.get(timeout=None if worker is None else self._patience)
            except queue.Empty:
                if worker is not None:
                    worker.close()
                    worker = None
                continue
            if item is None:
                break
            future, job, progress = item
            if future.set_running_or_notify_cancel():
                try:
                    if worker is None:
                        worker = Worker(self.memory, folder=self._folder)
                    self._begins(future, worker)
                    result = worker.call(job, self.timeout, progress)
                except BaseException as error:
                    self._ended(future)
                    future.set_exception(error)
                else:
                    self._ended(future)
                    future.set_result(result)
                if worker is not None and not worker.alive:
                    worker.close()
                    worker = None
            self._idle.release()
        if worker is not None:
            worker.close()

    def _begins(self, future: Future[Any], worker: Worker) -> None:
        with self._lock:
            self._running[future] = worker
            if self._stopped or future in self._unwanted:
                worker.kill()

    def _ended(self, future: Future[Any]) -> None:
        with self._lock:
            self._running.pop(future, None)

    def abandon(self, future: Future[Any]) -> None:
        """Ends a job of this executor that nobody waits for any more, running or not."""
        if future.cancel():
            return
        with self._lock:
            if future.done():
                return
            self._unwanted.add(future)
            worker = self._running.get(future)
            if worker is not None and worker.alive:
                worker.kill()

    def stop(self) -> None:
        """`shutdown` at once: pending jobs are cancelled, running ones abandoned."""
        self.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for future in running:
            self.abandon(future)
        for thread in self._threads:
            thread.join()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stops the children; pending jobs are finished, or cancelled if asked."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if cancel_futures:
                with contextlib.suppress(queue.Empty):
                    while (item := self._queue.get_nowait()) is not None:
                        item[0].cancel()
            for _ in self._threads:
                self._queue.put(None)
        if wait:
            for thread in self._threads:
                thread.join()


@functools.cache
def default_executor() -> LimitedExecutor:
    """This process's own executor: one persistent worker with the default limits.

    The limits come from BLOBSMITH_TIMEOUT (seconds) and BLOBSMITH_MEMORY (bytes) where set.

    Raises:
        UsageError: one of them is no number.
    """
    timeout, memory = limits_from_environment()
    executor = LimitedExecutor(timeout=timeout, memory=memory)
    atexit.register(executor.shutdown)
    return executor


def limits_from_environment() -> tuple[float, int]:
    """Seconds and bytes that a job may take: BLOBSMITH_TIMEOUT and BLOBSMITH_MEMORY where set.

    Raises:
        UsageError: one of them is no number.
    """
    memory = int(_number("BLOBSMITH_MEMORY", DEFAULT_MEMORY))
    return _number("BLOBSMITH_TIMEOUT", DEFAULT_TIMEOUT), memory


def _number(name: str, default: float) -> float:
    """A limit from the environment."""
    given = os.environ.get(name, "")
    try:
        value = float(given) if given else default
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UsageError(f"{name}={given!r} is no limit", remedy=f"give a number, as {default:g}")
    return value
