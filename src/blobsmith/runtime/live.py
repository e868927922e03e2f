"""Designing a filter live: frames go through the newest blob while the next one is being built.

`Board` is what is known at a moment: the newest model, the pictures of the last frame, the last
build and its error. One thread runs frames (`show_frames`), one builds and puts models on the
board, and each page that looks (`live_server`) reads it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2

from ..errors import BlobsmithError, FrameError
from .arrays import is_picture
from .compose import Tile, input_tiles, output_tiles
from .engines import Engine
from .feed import InputPlan, plan_inputs
from .loop import Step, steps
from .sources import Frame, FrameSource, open_source

PICTURE_FPS = 2.0
"""Pace of sources that are pictures."""
SHOWN_FPS = 30.0
"""No source is shown faster."""
RETRY_SECONDS = 1.0
_QUALITY = 90
_AVERAGED = 20


@dataclass(frozen=True, eq=False)
class LiveModel:
    """A finished build that can run.

    Attributes:
        engine: runs the blob.
        facts: JSON-ready: what the page says of the build.
        warnings: sentences of the build, FP16 among them.
        fault: why the blob is not right, where the build's verification found so: it is shown
            all the same, because the picture says most.
    """

    engine: Engine
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    fault: BlobsmithError | None = None


class Board:
    """What is known at a moment; every method may be called from any thread."""

    def __init__(self, title: str, frames: str) -> None:
        self._changed = threading.Condition()
        self._version = 0
        self._model: LiveModel | None = None
        self._pictures: dict[str, bytes] = {}
        self._state: dict[str, Any] = {
            "title": title, "frames": frames, "status": "waiting", "builds": 0, "failures": 0,
            "error": None, "facts": {}, "warnings": [], "run_warnings": [], "run_error": None,
            "frame": 0, "fps": 0.0, "engine_fps": 0.0, "tiles": [],
        }  # fmt: skip

    # ------------------------------------------------------------ builds

    @property
    def model(self) -> LiveModel | None:
        """The newest model that was built; None before the first."""
        return self._model

    def building(self) -> None:
        """A build has begun; the model before goes on."""
        self._update(status="building")

    def built(self, model: LiveModel) -> None:
        """A build succeeded: its model is shown from the next frame on."""
        self._model = model
        self._update(
            status="wrong" if model.fault else "running", builds=self._state["builds"] + 1,
            error=model.fault.to_dict() if model.fault else None, run_error=None,
            facts=dict(model.facts), warnings=list(model.warnings), run_warnings=[],
        )  # fmt: skip

    def failed(self, error: BlobsmithError) -> None:
        """A build failed; the model before goes on."""
        self._update(
            status="failed", failures=self._state["failures"] + 1, error=error.to_dict()
        )  # fmt: skip

    # ------------------------------------------------------------ frames

    def shown(self, step: Step, tiles: list[tuple[str, Tile]], fps: float, engine: float) -> None:
        """A frame went through."""
        pictures = {f"{role}-{i}": _jpeg(tile) for i, (role, tile) in enumerate(tiles)}
        told = [
            {"id": f"{role}-{i}", "role": role, "title": tile.title, "detail": tile.detail,
             "width": tile.image.shape[1], "height": tile.image.shape[0]}
            for i, (role, tile) in enumerate(tiles)
        ]  # fmt: skip
        with self._changed:
            self._pictures = pictures
        self._update(
            frame=self._state["frame"] + 1, fps=round(fps, 2), engine_fps=round(engine, 2),
            tiles=told, run_warnings=list(step.warnings)[:20], run_error=None,
        )  # fmt: skip

    def cannot_run(self, error: BlobsmithError) -> None:
        """A frame could not be read or did not go through."""
        self._update(run_error=error.to_dict())

    # ------------------------------------------------------------ readers

    def picture(self, key: str) -> bytes | None:
        """A picture of the last frame as JPEG; None if there is none of that name."""
        with self._changed:
            return self._pictures.get(key)

    def state(self) -> tuple[int, dict[str, Any]]:
        """(version, everything, JSON-ready)."""
        with self._changed:
            return self._version, dict(self._state)

    def wait(self, known: int, timeout: float) -> tuple[int, dict[str, Any]]:
        """`state`, when its version is no longer `known` or the seconds have passed."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != known, timeout)
            return self._version, dict(self._state)

    def _update(self, **changes: Any) -> None:
        with self._changed:
            self._state.update(changes)
            self._version += 1
            self._changed.notify_all()


def show_frames(
    board: Board,
    frames: str,
    stop: threading.Event,
    *,
    feeds: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> int:
    """Runs frames through the board's newest model until told to stop; they start over at the end.

    Args:
        board: gives the model, takes the pictures.
        frames: as `open_source` reads it.
        stop: ends it.
        feeds: input name to what the user wants, as `plan_inputs` reads it.
        limit: frames at most.

    Returns:
        How many frames went through.

    Raises:
        BlobsmithError: the source cannot be opened at the start.
    """
    endless = Endless(frames, stop)
    done = 0
    try:
        while not stop.is_set() and (limit is None or done < limit):
            model = board.model
            if model is None:
                stop.wait(0.05)
                continue
            try:
                for _ in _through(board, model, endless, feeds):
                    done += 1
                    if stop.is_set() or done == limit:
                        break
            except BlobsmithError as error:
                board.cannot_run(error)
                _pause(board, model, stop)
            except Exception as error:  # the page must live on, whatever the blob does
                text = f"the blob cannot be run: {type(error).__name__}: {error}"
                board.cannot_run(BlobsmithError(text, remedy="report it with the .blob"))
                _pause(board, model, stop)
    finally:
        endless.close()
    return done


def _pause(board: Board, model: LiveModel, stop: threading.Event) -> None:
    """Waits a moment, or until there is another model: a camera may be back, a blob may not."""
    until = time.monotonic() + RETRY_SECONDS
    while board.model is model and time.monotonic() < until and not stop.is_set():
        stop.wait(0.05)


def _through(
    board: Board, model: LiveModel, endless: Endless, feeds: Mapping[str, str] | None
) -> Iterator[None]:
    """Frames through one model, one item each, until there is a newer one."""
    engine = model.engine
    known = {spec.name for spec in engine.inputs}
    plan = plan_inputs(engine.inputs, {k: v for k, v in (feeds or {}).items() if k in known})
    endless.size = _size(engine)
    took: deque[float] = deque(maxlen=_AVERAGED)
    times: deque[float] = deque([time.monotonic()], maxlen=_AVERAGED)
    for step in steps(engine, endless, plan):
        took.append(step.seconds)
        times.append(time.monotonic())
        rate = (len(times) - 1) / max(times[-1] - times[0], 1e-6)
        board.shown(step, _tiles(step, engine, plan), rate, len(took) / max(sum(took), 1e-9))
        yield
        if board.model is not model:
            return


def _tiles(step: Step, engine: Engine, plan: InputPlan) -> list[tuple[str, Tile]]:
    why = {feed.name: feed.why for feed in plan.feeds}
    tiles = [("input", tile) for tile in input_tiles(step.feeds, engine.inputs, why, step.shown)]
    return [*tiles, *(("output", tile) for tile in output_tiles(step.outputs))]


def _size(engine: Engine) -> tuple[int, int] | None:
    """Width and height of the first picture input."""
    for spec in filter(is_picture, engine.inputs):
        sizes = dict(zip(spec.layout, spec.shape, strict=True))
        return sizes["W"], sizes["H"]
    return None


def _jpeg(tile: Tile) -> bytes:
    _, data = cv2.imencode(".jpg", tile.image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(data.tobytes())


class Endless:
    """A source's frames at its own pace, again from the start when they end.

    Attributes:
        size: wanted (width, height) of the sample's frames.
    """

    def __init__(
        self,
        name: str,
        stop: threading.Event,
        opener: Callable[..., FrameSource] = open_source,
    ) -> None:
        self.size: tuple[int, int] | None = None
        self._name, self._stop, self._opener = name, stop, opener
        self._source: FrameSource | None = None
        self._frames: Iterator[Frame] = iter(())
        self._opened_for: tuple[int, int] | None = None
        self._due = 0.0
        self._count = 0

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if self._name.startswith("sample") and self._opened_for != self.size:
            self.close()
        try:
            frame = self._next() or self._next()
        except BlobsmithError:
            self.close()
            raise
        if frame is None:
            raise FrameError(f"{self._name} holds no frames", remedy="give another --source")
        self._keep_pace()
        self._count += 1
        return Frame(self._count - 1, frame.image, frame.label)

    def _next(self) -> Frame | None:
        """The next frame; at the end None, and the source is closed."""
        if self._source is None:
            self._source = self._opener(self._name, size=self.size)
            self._opened_for = self.size
            self._source.__enter__()
            self._frames = iter(self._source)
        frame = next(self._frames, None)
        if frame is None:
            self.close()
        return frame

    def _keep_pace(self) -> None:
        assert self._source is not None
        live = self._name.startswith("webcam")
        rate = min(self._source.fps or PICTURE_FPS, SHOWN_FPS)
        now = time.monotonic()
        if not live and self._due > now:
            self._stop.wait(self._due - now)
        self._due = max(self._due, now) + 1 / rate

    def close(self) -> None:
        """Frees the camera or file."""
        if self._source is not None:
            self._source.__exit__(None, None, None)
            self._source = None
