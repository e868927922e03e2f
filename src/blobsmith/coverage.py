"""A catalogue of functions, through the plain recipe and through blobsmith: what works, how well.

A catalogue is a Python file with `CASES`, a list of tuples (group, name, fn, shapes) where `fn`
takes one float tensor in 0..255 for each shape, and optionally `Wrap`, a module class that is given
a case. The recipe is what a user does without blobsmith: export with the TorchScript exporter at
opset 12, onnxsim, compile with U8 in and FP16 out.

    table = run_catalogue("cases.py", workers=2)
    table.write("coverage.md")

Every case runs in a worker process with a time limit: one that hangs or crashes costs itself alone.
With the executor of `coverage_cluster` these processes are those of a Dask cluster's machines.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from pathlib import Path
from types import ModuleType
from typing import Any

from .coverage_case import first_line, run_case
from .coverage_table import CaseResult, CoverageTable
from .errors import SourceError

__all__ = ["CaseResult", "CoverageTable", "load_cases", "measure", "module_of", "run_catalogue"]

Progress = Callable[[int, int, str], None]
CASE_TIMEOUT = 300.0


def run_catalogue(
    path: str | Path,
    *,
    workers: int = 2,
    shaves: int = 8,
    only: str | None = None,
    on_progress: Progress | None = None,
    executor: Executor | None = None,
    timeout: float = CASE_TIMEOUT,
) -> CoverageTable:
    """Runs every case of a catalogue.

    Args:
        path: the catalogue; it is imported, so it is trusted like any program.
        workers: processes, each with torch in it.
        shaves: SHAVEs to compile for.
        only: part of the names of the cases to run.
        on_progress: called with (cases done, cases in all, name) after each.
        executor: runs the cases instead of worker processes of its own; one that is not a
            `ClusterExecutor`, which sends the file, must find it under the same path.
        timeout: seconds for one case in a worker process of its own.

    Raises:
        SourceError: there is no such file, or it has no usable CASES.
        ClusterFault: the cluster's workers cannot use it.
    """
    source = Path(path).resolve()
    names = [case_name(case) for case in load_cases(source)]
    chosen = [i for i, (_, name) in enumerate(names) if only is None or only in name]
    tell = on_progress or (lambda done, total, name: None)
    tell(0, len(chosen), "")
    pool = executor or _own_executor(workers, timeout)
    results: dict[int, CaseResult] = {}
    futures: dict[Future[CaseResult], int] = {}
    try:
        there, look = _handed_over(pool, source)
        for index in chosen:
            futures[pool.submit(measure, there, index, shaves)] = index
        if look is not None:
            _compare(look, names, source)
        for future in as_completed(futures):
            index = futures[future]
            group, name = names[index]
            try:
                results[index] = future.result()
            except Exception as error:  # a worker that died, hung or could not answer
                results[index] = CaseResult(group, name, reason=first_line(error))
            tell(len(results), len(chosen), name)
    finally:
        for future in futures:
            future.cancel()  # after an error or Ctrl-C: what is done stays so
        if executor is None:
            pool.shutdown(wait=True, cancel_futures=True)
    return CoverageTable(tuple(results[i] for i in chosen), shaves, source.name)


def _own_executor(workers: int, timeout: float) -> Executor:
    from .workers import LimitedExecutor

    return LimitedExecutor(workers, timeout=timeout, memory=0)


def _handed_over(pool: Executor, source: Path) -> tuple[Any, Future[list[tuple[str, str]]] | None]:
    """The catalogue as an argument of jobs, and for a cluster, which cases are read there."""
    from .workers.cluster import ClusterExecutor

    if not isinstance(pool, ClusterExecutor):
        return str(source), None
    sent = pool.send(source)
    return sent, pool.submit(case_names, sent)


def _compare(
    look: Future[list[tuple[str, str]]], names: list[tuple[str, str]], source: Path
) -> None:
    """Sees that a worker of a cluster reads the catalogue as it is read here."""
    from .workers.cluster import ClusterFault

    try:
        same = look.result() == names
    except SourceError as error:
        raise ClusterFault(
            f"on the cluster {error.what}",
            where=source.name,
            remedy="the file alone is sent: install what it imports on every worker",
        ) from error
    if not same:
        raise ClusterFault(
            "the catalogue has other cases on the cluster than here",
            where=source.name,
            remedy="let its CASES depend on nothing but the file and installed packages",
        )


def case_names(path: str) -> list[tuple[str, str]]:
    """Group and name of each case; runs in a worker process."""
    return [case_name(case) for case in load_cases(Path(path))]


def load_cases(path: Path) -> Sequence[Any]:
    """The CASES of a catalogue.

    Raises:
        SourceError: there is no such file, it cannot be imported, or it has no CASES.
    """
    cases = getattr(_module(path), "CASES", None)
    if not cases or not all(isinstance(case, tuple) and len(case) == 4 for case in cases):
        raise SourceError(
            "the catalogue has no CASES", where=str(path),
            remedy="define CASES, a list of (group, name, fn, shapes)",
        )  # fmt: skip
    return list(cases)


def case_name(case: Any) -> tuple[str, str]:
    """Group and name of a case."""
    return str(case[0]), str(case[1])


def module_of(path: Path, index: int) -> tuple[Any, Any]:
    """A case, and a torch module of it.

    Raises:
        SourceError: as `load_cases`.
    """
    from .coverage_case import wrapped

    case = load_cases(path)[index]
    return case, wrapped(_module(path), case)


def _module(path: Path) -> ModuleType:
    name = f"blobsmith_catalogue_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SourceError("there is no such catalogue", where=str(path), remedy="give a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise SourceError(
            f"the catalogue cannot be imported: {first_line(error)}", where=str(path)
        ) from error
    return module


def measure(path: str, index: int, shaves: int) -> CaseResult:
    """One case through both roads; runs in a worker process.

    Args:
        path: the catalogue.
        index: which of its CASES.
        shaves: SHAVEs to compile for.
    """
    source = Path(path)
    return run_case(_module(source), load_cases(source)[index], shaves)
