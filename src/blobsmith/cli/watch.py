"""`blobsmith run file.py:Class --watch`: rebuilds when the file is saved, and goes on."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from ..builder import BuildResult, InputsLike, Options
    from ..errors import BlobsmithError
    from ..runtime.live import Board, LiveModel
    from ..runtime.watching import Watch

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class LiveSummary:
    """What a live run did: frames shown, builds that succeeded, builds that failed."""

    frames: int
    builds: int
    failures: int


def run_live(
    source: str,
    frames: str = "sample",
    *,
    port: int = 0,
    on_ready: Callable[[str], None] | None = None,
    on_build: Callable[[BuildResult | BlobsmithError], None] | None = None,
    inputs: InputsLike | None = None,
    outputs: Sequence[str] | None = None,
    options: Options | None = None,
    feeds: Mapping[str, str] | None = None,
    limit: int | None = None,
    stop: threading.Event | None = None,
) -> LiveSummary:
    """Shows frames and what the blob makes of them in a local web page, until Ctrl-C.

    A save starts a build; the blob before goes on until it is done. Why a build failed is shown
    on the page; a blob that failed its verification alone is run all the same, with the verdict.

    Args:
        source: "file.py:Class", "package.module:Class" or an .onnx: its file is watched, and so
            are the modules it imports from its own folder.
        frames: "sample", "webcam" or a path, as `run --source` takes it; starts over at the end.
        port: of the page, on 127.0.0.1; 0: any that is free.
        on_ready: called with the page's address when it can be opened.
        on_build: called after each build, with its result or its error.
        inputs, outputs, options: as `build` takes them.
        feeds: input name to what the user wants, as `run --feed`.
        limit: frames at most.
        stop: ends it from another thread.

    Raises:
        UsageError: there is no file to watch.
        FrameError: there is no such source of frames.
        EnvironmentFault: the port is taken, or there is no such webcam.
    """
    from ..runtime.live import Board, show_frames
    from ..runtime.live_server import LiveServer
    from ..runtime.sources import open_source
    from ..runtime.watching import Watch, source_file

    watch = Watch(source_file(source))
    with open_source(frames):  # a name that means nothing is told at once, not on the page
        pass
    board, ended = Board(source, frames), stop or threading.Event()

    def make() -> LiveModel:
        model, told = _built(source, inputs, outputs, options)
        if on_build is not None:
            on_build(told)
        return model

    builder = threading.Thread(
        target=_build_on_save, args=(board, watch, make, ended, on_build), daemon=True
    )
    done = 0
    with LiveServer(board, port) as server:
        builder.start()
        if on_ready is not None:
            on_ready(server.url)
        try:
            done = show_frames(board, frames, ended, feeds=feeds, limit=limit)
        except KeyboardInterrupt:
            done = int(board.state()[1]["frame"])
        finally:
            ended.set()
    builder.join(timeout=2 * POLL_SECONDS)
    state = board.state()[1]
    return LiveSummary(done, state["builds"], state["failures"])


def _built(
    source: str,
    inputs: InputsLike | None,
    outputs: Sequence[str] | None,
    options: Options | None,
) -> tuple[LiveModel, BuildResult | BlobsmithError]:
    """A build, and what to tell of it: its result, or why it is not right."""
    from ..builder import Options, build
    from ..errors import CheckFailed

    chosen = options or Options()
    try:
        result = build(source, inputs=inputs, outputs=outputs, options=chosen)
    except CheckFailed as error:
        if not chosen.verify:
            raise
        bare = replace(chosen, verify=False)
        result = build(source, inputs=inputs, outputs=outputs, options=bare)
        return replace(live_model(result), fault=error), error
    return live_model(result), result


def live_model(result: BuildResult) -> LiveModel:
    """A finished build as the page shows it."""
    from ..cost import predict
    from ..runtime.engines import emulator_engine
    from ..runtime.live import LiveModel

    blob = result.blob
    engine = emulator_engine(blob, result.manifest.inputs, result.manifest.outputs)
    facts: dict[str, Any] = {
        "stages": len(blob.stages),
        "size": result.manifest.size,
        "sha256": result.manifest.sha256,
        "cached": result.cached,
        "predicted_ms": round(predict(blob).total_ms, 4),
        "steps": [
            {"name": step.name, "seconds": round(step.seconds, 3), "summary": step.summary}
            for step in result.steps
        ],
    }
    return LiveModel(engine, facts, result.warnings)


def _build_on_save(
    board: Board,
    watch: Watch,
    make: Callable[[], LiveModel],
    ended: threading.Event,
    on_build: Callable[[BuildResult | BlobsmithError], None] | None,
) -> None:
    """Builds once, and again after every save, until the end."""
    from ..errors import BlobsmithError
    from ..runtime.watching import forget, imported_from

    before = dict(sys.modules)
    mine: dict[str, Path] = {}
    wanted = True
    while not ended.is_set():
        if not wanted:
            ended.wait(POLL_SECONDS)
            wanted = watch.changed()
            continue
        while watch.changed():  # until the editor has written all of it
            ended.wait(POLL_SECONDS / 2)
        began = time.time_ns()
        board.building()
        forget(mine)
        try:
            with _fresh_code():
                model = make()
        except BlobsmithError as error:
            _failed(board, error, on_build)
        except Exception as error:  # a bug here must not end the session either
            text = f"blobsmith itself failed: {type(error).__name__}: {error}"
            _failed(board, BlobsmithError(text, remedy="report it with the file"), on_build)
        else:
            board.built(model)
        mine = imported_from(watch.main.parent, before)
        watch.look(mine.values(), began)
        wanted = watch.changed()  # saved again while it was building


def _failed(
    board: Board,
    error: BlobsmithError,
    on_build: Callable[[BuildResult | BlobsmithError], None] | None,
) -> None:
    board.failed(error)
    if on_build is not None:
        on_build(error)


@contextlib.contextmanager
def _fresh_code() -> Iterator[None]:
    """No compiled copies of the user's files: Python tells them apart by the second alone, so
    that of two quick saves of one length the first would be run again."""
    old, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = old
