"""What runs on a Dask worker: it hands jobs to limited processes of its own, and keeps their files.

The Dask worker itself runs none of a job's code, so that a job that crashes, hangs or takes all
memory costs itself alone.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import pickle
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import _version
from ..errors import BlobsmithError, EnvironmentFault
from .channel import dump
from .pool import LimitedExecutor

IDLE = 30.0
"""Seconds after which a process is ended whose client is gone without a word."""


class ClusterFault(EnvironmentFault):
    """The cluster cannot be reached, is not fit for the work, or lost it."""

    code = "cluster"


@dataclass(frozen=True)
class SentFile:
    """A file that travels with a job: in its place the job gets the path of a copy.

    Attributes:
        name: the copy's name, without a folder.
        data: its bytes.
    """

    name: str
    data: bytes


@dataclass(frozen=True)
class Terms:
    """What a worker must meet before it is given a job.

    Attributes:
        facts: what must be the same there as on the client, such as versions.
        same: "module:function" that tells these facts; empty: only blobsmith itself counts.
        ready: "module:function" that raises a `BlobsmithError` if the machine lacks something.
    """

    facts: Mapping[str, str]
    same: str = ""
    ready: str = ""


@dataclass(frozen=True)
class Job:
    """One call of a function, by name, and the limits of the process that runs it."""

    executor: str
    terms: Terms
    timeout: float
    memory: int
    module: str
    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def facts(same: str) -> dict[str, str]:
    """What must be the same on all machines: this package, and what `same` tells."""
    told: dict[str, str] = _function(same)() if same else {}
    return {"blobsmith": _version.__version__, "blobsmith's code": _code(), **told}


def examine(same: str, ready: str) -> tuple[dict[str, str], BlobsmithError | None]:
    """This machine's facts, and what it lacks."""
    try:
        if ready:
            _function(ready)()
    except BlobsmithError as error:
        return facts(same), error
    return facts(same), None


def refusal(
    address: str, terms: Terms, found: Mapping[str, str], lack: BlobsmithError | None
) -> BlobsmithError | None:
    """Why a worker may not be given a job; None if it may."""
    unlike = [
        f"{name} {found.get(name, 'unknown')} (here: {wanted})"
        for name, wanted in terms.facts.items()
        if found.get(name) != wanted
    ]
    if unlike:
        version = terms.facts["blobsmith"]
        return ClusterFault(
            f"the worker {address} has {', '.join(unlike)}",
            where=address,
            remedy="install the same packages there as here, starting with "
            f"pip install 'blobsmith[cluster]=={version}', and start the worker again",
        )
    if lack is not None:
        return type(lack)(
            f"on the worker {address}: {lack.what}",
            where=lack.where,
            remedy=f"{lack.remedy} on that machine" if lack.remedy else "",
        )
    return None


def perform(data: bytes) -> bytes:
    """Runs a pickled `Job` in a limited process of this Dask worker.

    The answer is a pickled pair: ("value", result), ("error", exception), or ("refused", exception)
    if this worker does not meet the terms.
    """
    from distributed import get_worker

    job: Job = pickle.loads(data)
    worker = get_worker()
    try:
        host = _hosts().of(job, worker)
        if host.refusal is not None:
            return dump(("refused", host.refusal))
        return dump(("value", host.run(job)))
    except Exception as error:
        return dump(("error", error))


def end(executor: str, dask_worker: Any = None) -> None:
    """Ends all that an executor has on this Dask worker, which Dask passes in.

    Jobs of it that come later are refused.
    """
    _hosts().end(executor, str(dask_worker.id))


class _Host:
    """What one executor has on one Dask worker."""

    def __init__(self, job: Job, worker: Any) -> None:
        self.refusal = refusal(worker.address, job.terms, *examine(job.terms.same, job.terms.ready))
        self._lock = threading.Lock()
        # a folder of Dask's, which Dask itself clears up behind workers that were killed
        self._folder = tempfile.TemporaryDirectory(
            prefix="blobsmith-", dir=worker.local_directory, ignore_cleanup_errors=True
        )
        self._pool = LimitedExecutor(
            worker.state.nthreads,
            timeout=job.timeout,
            memory=job.memory,
            idle=IDLE,
            folder=self._folder.name,
        )

    def run(self, job: Job) -> Any:
        args = tuple(self._local(value) for value in job.args)
        kwargs = {name: self._local(value) for name, value in job.kwargs.items()}
        return self._pool.submit_named(job.module, job.name, args, kwargs).result()

    def _local(self, value: Any) -> Any:
        if not isinstance(value, SentFile):
            return value
        digest = hashlib.sha256(value.data).hexdigest()[:16]
        path = Path(self._folder.name) / digest / Path(value.name).name
        with self._lock:
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(value.data)
        return str(path)

    def close(self) -> None:
        self._pool.stop()
        self._folder.cleanup()


class _Hosts:
    """The hosts of this process; several Dask workers may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], _Host] = {}
        self._ended: set[tuple[str, str]] = set()

    def of(self, job: Job, worker: Any) -> _Host:
        key = (job.executor, str(worker.id))
        with self._lock:
            if key in self._ended:  # what was cancelled may still be on its way
                raise ClusterFault("the executor was shut down")
            if key not in self._open:
                self._open[key] = _Host(job, worker)
            return self._open[key]

    def end(self, executor: str, worker: str) -> None:
        with self._lock:
            self._ended.add((executor, worker))
            host = self._open.pop((executor, worker), None)
        if host is not None:
            host.close()


@functools.cache
def _hosts() -> _Hosts:
    return _Hosts()


def _function(name: str) -> Callable[[], Any]:
    module, _, function = name.partition(":")
    found: Callable[[], Any] = getattr(importlib.import_module(module), function)
    return found


def _code() -> str:
    """A digest of this package's files: a version number alone tells no two checkouts apart."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
