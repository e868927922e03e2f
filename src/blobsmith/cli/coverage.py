"""`blobsmith coverage`: a catalogue of functions through the plain recipe and through blobsmith."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from .session import DebugFlag, JsonFlag, session


def coverage(
    cases: Annotated[Path, typer.Argument(help="A file with CASES.", metavar="CASES.py")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Table to write, .md (and .csv beside it)."),
    ] = None,
    shaves: Annotated[int, typer.Option(help="SHAVEs to compile for.")] = 8,
    workers: Annotated[int, typer.Option(help="Processes, where there is no cluster.")] = 2,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Scheduler of a Dask cluster that runs the cases, as tcp://host:8786.",
            metavar="ADDRESS",
        ),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Cases whose name contains this.")] = None,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Measures which functions reach a right blob, how many stages and how fast by prediction."""
    with session(as_json, debug) as out:
        from rich.progress import Progress

        from ..coverage import run_catalogue
        from ..coverage_cluster import all_answered, cluster_executor

        console = out.console()
        with (
            nullcontext() if debug or not cluster else _without_logs(),
            cluster_executor(cluster) if cluster else nullcontext() as executor,
            Progress(console=console, disable=not console.is_terminal) as bar,
        ):
            task = bar.add_task("cases", total=None)

            def advance(done: int, total: int, name: str) -> None:
                bar.update(task, completed=done, total=total, description=name)

            table = run_catalogue(
                cases, workers=workers, shaves=shaves, only=only, on_progress=advance,
                executor=executor,
            )  # fmt: skip
        if output is not None:
            table.write(output)
        out.data.update(table.to_dict())
        if executor is not None:
            all_answered(executor, len(table.results))
        out.say(table.summary_text())


@contextmanager
def _without_logs() -> Iterator[None]:
    """Dask's client writes long tracebacks about what the command tells in a sentence."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
