"""Reaching a Dask cluster within a bounded time, and looking whether its workers are fit."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..errors import UsageError
from .cluster_host import ClusterFault, Terms, perform, refusal

CONNECT, ANSWER = 15.0, 20.0
"""Seconds within which a scheduler is reached, and within which it answers."""

START_WORKER = "start one with `dask worker {address}`"
# as text, so that a worker without this package, or with another one, can say so
_EXAMINE = "__import__({module!r}, fromlist=['x']).examine({same!r}, {ready!r})"


def connect(address: str) -> Any:
    """A `distributed.Client` of the scheduler at an address.

    Raises:
        ClusterFault: Dask is not installed, or nothing there answers as a scheduler.
        UsageError: it is no address.
    """
    try:
        import distributed
    except ImportError as error:
        raise ClusterFault(
            "Dask is not installed", remedy="pip install 'blobsmith[cluster]'"
        ) from error
    try:
        with ThreadPoolExecutor(1) as apart:  # this thread may have an event loop of its own
            apart.submit(asyncio.run, _greet(address)).result()
        return distributed.Client(address, timeout=CONNECT, set_as_default=False)
    except ValueError as error:
        raise UsageError(
            f"{address!r} is no address of a cluster: {error}",
            remedy="give the scheduler's, as tcp://host:8786",
        ) from error
    except Exception as error:
        told = (str(error).splitlines() or ["nothing there answers as a scheduler"])[0]
        raise ClusterFault(
            f"the cluster cannot be reached: {told}",
            where=address,
            remedy="start `dask scheduler` there, or correct the address",
        ) from error


async def _greet(address: str) -> None:
    """Sees whether somebody answers: a client would wait for an answer without a limit."""
    from distributed.comm import connect
    from distributed.security import Security

    secrets = Security().get_connection_args("client")
    greeting = connect(address, timeout=CONNECT, **secrets)
    comm = await asyncio.wait_for(greeting, CONNECT + 1)
    comm.abort()


def examine(client: Any, address: str, terms: Terms) -> None:
    """Compares every worker of a cluster with this machine.

    Raises:
        ClusterFault: there is no worker, or one is not like this machine.
        BlobsmithError: what a worker lacks.
    """
    text = _EXAMINE.format(module=perform.__module__, same=terms.same, ready=terms.ready)
    try:
        client.wait_for_workers(1, timeout=CONNECT)
        answers = client.run(eval, text, on_error="return", callback_timeout=ANSWER)
    except Exception as error:
        late = isinstance(error, asyncio.TimeoutError)  # and what Dask derives from it
        raise ClusterFault(
            "the cluster has no workers that answer" if late else f"the cluster failed: {error}",
            where=address,
            remedy=START_WORKER.format(address=address),
        ) from error
    for worker, answer in answers.items():
        if isinstance(answer, OSError):
            continue  # it has just been lost, and gets no jobs
        if isinstance(answer, BaseException):
            raise _foreign(worker, answer)
        refused = refusal(worker, terms, *answer)
        if refused is not None:
            raise refused


def _foreign(address: str, error: BaseException) -> ClusterFault:
    return ClusterFault(
        f"the worker {address} has no blobsmith, or another one: {type(error).__name__}: {error}",
        where=address,
        remedy="install the same there as here: pip install 'blobsmith[cluster]'",
    )
