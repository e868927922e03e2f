"""A catalogue on the machines of a Dask cluster: the executor for `run_catalogue`.

    with cluster_executor("tcp://host:8786") as executor:
        table = run_catalogue("cases.py", executor=executor)

The catalogue's file is sent to the workers. They must have the same blobsmith, the same compiler,
and the same packages that make and check a graph: a table mixes no versions.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

from .coverage import CASE_TIMEOUT
from .workers.cluster import ClusterExecutor, ClusterFault

_PACKAGES = ("torch", "kornia", "numpy", "onnx", "onnxruntime", "onnxscript", "onnxsim")


def cluster_executor(
    cluster: Any, *, timeout: float = CASE_TIMEOUT, patience: float = 60.0
) -> ClusterExecutor:
    """An executor for `run_catalogue` whose jobs run on a cluster.

    Args:
        cluster: the scheduler's address, such as tcp://host:8786, or a `distributed.Client`.
        timeout: seconds for one case.
        patience: seconds for which cases wait when there is no worker left.

    Raises:
        ClusterFault: Dask is not installed, the cluster cannot be reached or has no workers, or a
            worker has another blobsmith, compiler or package.
        ToolchainError: a worker has no compiler, or a damaged one.
        UsageError: the address is none.
    """
    here = f"{__name__}:"
    return ClusterExecutor(
        cluster, timeout=timeout, memory=0, patience=patience,
        same=f"{here}{versions.__name__}", ready=f"{here}{compiler.__name__}",
    )  # fmt: skip


def versions() -> dict[str, str]:
    """What decides a case's result, and must be the same on all machines."""
    from .myriad import release

    return {"the compiler": release.IDENTITY, **{name: _version(name) for name in _PACKAGES}}


def compiler() -> None:
    """Looks for the compiler; runs on each worker.

    Raises:
        ToolchainError: there is none, or not the one that belongs to this version.
    """
    from .myriad import toolchain

    toolchain.require()


def all_answered(executor: ClusterExecutor, cases: int) -> None:
    """Sees whether every case was really tried.

    Args:
        executor: what ran them.
        cases: how many there were.

    Raises:
        ClusterFault: some came to no answer for the cluster's sake.
    """
    if executor.lost:
        first = executor.lost[0]
        raise ClusterFault(
            f"{len(executor.lost)} of {cases} cases came to no answer: {first.what}",
            where=first.where,
            remedy=f"{first.remedy}; the table says which, --only runs some again",
        )


def _version(package: str) -> str:
    try:
        # "2.9.1+cpu" computes on the processor what "2.9.1" does
        return importlib.metadata.version(package).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return "missing"
