"""`blobsmith run --on oak` and `--on depthai-host`: through DepthAI v3."""

from __future__ import annotations

from pathlib import Path

from .run_ import Progress, read_feeds, show
from .session import Session


def run_depthai(
    file: Path,
    out: Session,
    *,
    host: bool,
    source: str,
    output: str | None,
    limit: int | None,
    feed: list[str] | None,
    device: str | None,
    fps: float,
    threads: int,
    shaves: int | None,
    outputs_only: bool = False,
) -> None:
    """Runs a file in a DepthAI pipeline, on a camera or without one.

    Args: as the command's options; on a camera, source "sample" means its own frames.

    Raises:
        EnvironmentFault: DepthAI is not installed, there is no camera, or it was unplugged.
        UsageError, PackageError: the file does not fit.
    """
    from ..oak.run import run_session
    from ..oak.session import device_session, host_session
    from ..packaging.artifact import open_artifact
    from ..runtime.sinks import open_sink

    artifact = open_artifact(file)
    for note in artifact.notes:
        out.warn(note)
    if host:
        opened = host_session(
            artifact, source=source, shaves=shaves, feeds=read_feeds(feed), limit=limit
        )
    else:
        opened = device_session(
            artifact, device=device, source=None if source == "sample" else source,
            shaves=shaves, threads=threads, fps=fps, feeds=read_feeds(feed), limit=limit,
        )  # fmt: skip
    for line in opened.plan.describe():
        out.progress(line)
    target = output if output is not None or host else "window"
    sink = open_sink(target, fps=fps, count=limit)
    with Progress(out, limit) as advance:
        summary = run_session(
            opened, sink, limit=limit, title=file.name, on_progress=advance,
            view="outputs" if outputs_only else "both",
        )  # fmt: skip
    show(summary, out)
