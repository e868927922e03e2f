"""Where frames go: a picture, a folder of pictures, a video, an animation, a window, nowhere.

Files appear whole or not at all: each is written under another name beside its place and renamed
when finished. What was written before an interruption is finished and kept.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import cv2
import numpy as np

from ..errors import EnvironmentFault, UsageError
from .samples import Image

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
ANIMATIONS = (".webp", ".gif")
CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "MJPG"}
DEFAULT_FPS = 2.0
"""Pace of a video that is made of photographs."""


class FrameSink(Protocol):
    """Takes frames; a context manager that finishes the file, also after an interruption.

    Attributes:
        paths: the files that are finished, complete after the context has ended.
    """

    @property
    def paths(self) -> tuple[Path, ...]: ...

    def write(self, picture: Image, label: str = "") -> bool:
        """Takes one BGR (height, width, 3) picture; False: the user wants no more."""
        ...

    def __enter__(self) -> FrameSink: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_sink(
    target: str | Path | None, *, fps: float | None = None, count: int | None = None
) -> FrameSink:
    """The sink that a user means.

    Args:
        target: a picture's path (one frame only), a video's or animation's path, a folder (an
            existing one, one that ends in "/", or a name without suffix), "window", or None for
            nowhere.
        fps: of a video; None: 2.
        count: how many frames will come; None if nobody knows.

    Raises:
        UsageError: no such format; several frames for one picture.
        EnvironmentFault: no screen for a window; the folder cannot be made.
    """
    if target is None:
        return _Nowhere()
    if str(target) == "window":
        return _Window()
    path = Path(target)
    suffix = path.suffix.lower()
    if str(target).endswith(("/", os.sep)) or path.is_dir() or not suffix:
        return _Folder(path)
    if suffix in CODECS:
        return _Video(path, fps or DEFAULT_FPS)
    if suffix in ANIMATIONS:
        return _Animation(path, fps or DEFAULT_FPS)
    if suffix in PICTURES:
        if count != 1:
            frames = "an unknown number of" if count is None else str(count)
            raise UsageError(
                f"{path.name} is one picture, and {frames} frames are to be written",
                remedy=f"give a folder ({path.stem}/), {path.stem}.mp4, or --limit 1",
            )
        return _Picture(path)
    known = " ".join((*PICTURES, *ANIMATIONS, *CODECS))
    raise UsageError(f"frames cannot be written as {suffix}", remedy=f"give a folder or {known}")


def write_picture(path: Path, picture: Image) -> None:
    """Writes one picture whole or not at all, in the format of its suffix.

    Raises:
        UsageError: no such format.
        EnvironmentFault: the disk is full or the place is not writable.
    """
    try:
        good, data = cv2.imencode(path.suffix, picture)
    except cv2.error as error:
        raise UsageError(f"pictures cannot be written as {path.suffix}") from error
    if not good:
        raise UsageError(f"the picture cannot be written as {path.suffix}", where=str(path))
    with _finished(path) as part:
        part.write_bytes(data.tobytes())


@contextmanager
def _finished(path: Path) -> Iterator[Path]:
    """A name to write to, renamed to `path` if all went well, removed otherwise."""
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise EnvironmentFault(
            f"{path.name} cannot be written: {error.strerror or error}",
            where=str(path.parent),
            remedy="free space on the disk, or give another place with -o",
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@dataclass
class _Base:
    _done: list[Path] = field(default_factory=list, init=False)

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(self._done)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        return None


@dataclass
class _Nowhere(_Base):
    def write(self, picture: Image, label: str = "") -> bool:
        return True


@dataclass
class _Picture(_Base):
    path: Path

    def write(self, picture: Image, label: str = "") -> bool:
        write_picture(self.path, picture)
        self._done.append(self.path)
        return False


@dataclass
class _Folder(_Base):
    path: Path

    def __post_init__(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(
                f"{self.path} is a file, not a folder",
                remedy="give a folder, or a file with suffix",
            )

    def write(self, picture: Image, label: str = "") -> bool:
        path = self.path / f"{len(self._done):05d}.png"
        write_picture(path, picture)
        self._done.append(path)
        return True


@dataclass
class _Video(_Base):
    path: Path
    fps: float
    _writer: Any = field(default=None, init=False)
    _size: tuple[int, int] = field(default=(0, 0), init=False)
    _count: int = field(default=0, init=False)
    _context: Any = field(default=None, init=False)
    _part: Path = field(default=Path(), init=False)

    def write(self, picture: Image, label: str = "") -> bool:
        if self._writer is None:
            self._open(picture)
        self._writer.write(fill(picture, *self._size))
        self._count += 1
        return True

    def _open(self, first: Image) -> None:
        # Encoders want even sizes.
        self._size = (first.shape[1] + first.shape[1] % 2, first.shape[0] + first.shape[0] % 2)
        context = _finished(self.path)
        self._part = context.__enter__()
        self._context = context
        code = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(self._part), code, self.fps, self._size)
        if not self._writer.isOpened():
            error = EnvironmentFault(
                f"OpenCV cannot write {self.path.suffix} here",
                where=str(self.path),
                remedy="check that the place is writable, or give a folder for single pictures",
            )
            self._context.__exit__(type(error), error, None)
            self._context = None
            raise error

    def __exit__(self, *_: object) -> None:
        if self._context is None:
            return
        self._writer.release()
        if readable_frames(self._part) < self._count:
            full = OSError(28, "the disk seems to be full, the video is not whole")
            self._context.__exit__(OSError, full, None)
        self._context.__exit__(None, None, None)
        self._done.append(self.path)


@dataclass
class _Animation(_Base):
    path: Path
    fps: float
    _frames: list[Image] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if not hasattr(cv2, "imwriteanimation"):
            raise EnvironmentFault(
                f"this OpenCV ({cv2.__version__}) cannot write {self.path.suffix} animations",
                remedy="pip install -U opencv-python-headless, or give a .mp4",
            )

    def write(self, picture: Image, label: str = "") -> bool:
        first = self._frames[0] if self._frames else picture
        self._frames.append(fill(picture, first.shape[1], first.shape[0]))
        return True

    def __exit__(self, *_: object) -> None:
        if not self._frames:
            return
        animation = cv2.Animation()
        animation.frames = self._frames
        animation.durations = [max(20, round(1000 / self.fps))] * len(self._frames)
        with _finished(self.path) as part:
            good = False
            with suppress(cv2.error):
                good = cv2.imwriteanimation(str(part), animation, [cv2.IMWRITE_WEBP_QUALITY, 75])
            if not good:
                raise OSError(5, "OpenCV refuses")
        self._done.append(self.path)


@dataclass
class _Window(_Base):
    title: str = "blobsmith"

    def __post_init__(self) -> None:
        remedy = "write to a file with -o FILE.mp4"
        screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
        if sys.platform.startswith("linux") and not screen:
            raise EnvironmentFault("there is no screen to open a window on", remedy=remedy)
        try:
            cv2.namedWindow(self.title)
        except cv2.error as error:
            raise EnvironmentFault(
                "the installed OpenCV is the headless one, which has no windows",
                remedy=f"{remedy}; or replace opencv-python-headless by opencv-python",
            ) from error

    def write(self, picture: Image, label: str = "") -> bool:
        cv2.imshow(self.title, picture)
        return int(cv2.waitKey(1)) & 0xFF not in (27, ord("q"))

    def __exit__(self, *_: object) -> None:
        with suppress(cv2.error):
            cv2.destroyWindow(self.title)


def readable_frames(path: Path) -> int:
    """How many frames a video says it has; 0 for what is no video."""
    capture = cv2.VideoCapture(str(path))
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    finally:
        capture.release()


def fill(picture: Image, width: int, height: int) -> Image:
    """The picture cut or filled with black to the given size, its upper left corner kept."""
    if picture.shape[:2] == (height, width):
        return picture
    result = np.zeros((height, width, 3), np.uint8)
    part = picture[:height, :width]
    result[: part.shape[0], : part.shape[1]] = part
    return result
