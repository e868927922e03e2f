"""Where frames come from: an image, a folder of images, a video, a webcam, or the sample.

with open_source("holiday.mp4") as source:
    for frame in source:
        frame.image                       # BGR (height, width, 3), levels 0 to 255
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import cv2
import numpy as np

from ..errors import BlobsmithError, EnvironmentFault, FrameError
from . import samples
from .samples import Image

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".gif")
SAMPLE_FRAMES = 120
SAMPLE_SIZE = (640, 480)


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        index: 0, 1, 2, ...
        image: BGR (height, width, 3), levels 0 to 255; grey pictures have three equal channels.
        label: where it came from, e.g. a file's name.
    """

    index: int
    image: Image
    label: str


class FrameSource(Protocol):
    """Frames in order; a context manager that frees the camera or file.

    Attributes:
        name: for messages.
        fps: frames a second of a video or camera; None for pictures.
        count: how many frames there are; None if nobody knows.
        notes: what the user should be told, complete when the frames have ended.
    """

    @property
    def name(self) -> str: ...
    @property
    def fps(self) -> float | None: ...
    @property
    def count(self) -> int | None: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    def __iter__(self) -> Iterator[Frame]: ...
    def __enter__(self) -> FrameSource: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_source(
    source: str | Path, *, size: tuple[int, int] | None = None, count: int | None = None
) -> FrameSource:
    """The source that a user means.

    Args:
        source: "sample" (a moving sequence over real photographs), "sample:photos" (the
            photographs themselves), "webcam" or "webcam:INDEX", or the path of an image, a video
            or a folder of images.
        size: (width, height) of the sample's frames; None: 640x480. Others keep their own size.
        count: frames of the sample; None: 120 of the sequence, every photograph.

    Raises:
        FrameError: no such file or folder; no image in it; not an image or video.
        EnvironmentFault: no such webcam.
    """
    text = str(source)
    kind, _, detail = text.partition(":")
    if kind == "sample" and detail in ("", "photos"):
        return _sample(size or SAMPLE_SIZE, count, moving=not detail)
    if kind == "webcam" and (not detail or detail.isdigit()):
        return _Capture(text, int(detail or 0))
    path = Path(source)
    if path.is_dir():
        return _Images(str(path), _images_of(path))
    if not path.exists():
        raise FrameError(
            f"there is no frame source {text!r}",
            remedy="give a picture, a video, a folder of pictures, 'sample' or 'webcam'",
        )
    if path.suffix.lower() in IMAGES:
        return _Images(path.name, (path,))
    if path.suffix.lower() in VIDEOS:
        return _Capture(str(path), path)
    raise FrameError(
        f"{path.suffix or 'a file without suffix'} is neither a picture nor a video",
        where=text,
        remedy=f"pictures: {' '.join(IMAGES)}; videos: {' '.join(VIDEOS)}",
    )


def read_image(path: Path) -> Image:
    """One picture as BGR (height, width, 3): grey is repeated, alpha dropped, 16 bits reduced.

    Raises:
        FrameError: missing, unreadable, empty, cut short, or no picture.
    """
    remedy = "replace the file, or leave it out"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FrameError(
            f"the picture cannot be read: {error.strerror}", where=str(path), remedy=remedy
        ) from error
    if not data:
        raise FrameError("the picture is empty", where=str(path), remedy=remedy)
    if _cut_short(data):
        raise FrameError("the picture is cut short", where=str(path), remedy=remedy)
    picture = None
    with suppress(cv2.error):
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise FrameError("this is no picture that can be read", where=str(path), remedy=remedy)
    return np.asarray(picture, dtype=np.uint8)


def _cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end mark: OpenCV would fill the rest with grey, silently."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < len(data) // 2
    return data.startswith(b"\x89PNG") and b"IEND" not in data


def _images_of(folder: Path) -> tuple[Path, ...]:
    try:
        found = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGES and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        raise FrameError(
            f"the folder cannot be read: {error.strerror}", where=str(folder)
        ) from error
    if not found:
        raise FrameError(
            "the folder holds no pictures",
            where=str(folder),
            remedy=f"put pictures in it: {' '.join(IMAGES)}",
        )
    return tuple(found)


@dataclass(frozen=True)
class _Base:
    name: str

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        return None


@dataclass(frozen=True)
class _Images(_Base):
    paths: tuple[Path, ...]
    fps: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self.paths):
            yield Frame(index, read_image(path), path.name)


@dataclass(frozen=True)
class _Sample(_Base):
    size: tuple[int, int]
    count: int
    moving: bool
    real: bool
    notes: tuple[str, ...]

    @property
    def fps(self) -> float | None:
        return 30.0 if self.moving else None

    def __iter__(self) -> Iterator[Frame]:
        width, height = self.size
        if not self.real:
            pictures = samples.drawn_frames(width, height, self.count)
        elif self.moving:
            pictures = samples.sample_frames(width, height, self.count)
        else:
            pictures = iter(samples.sample_photos(width, height, self.count))
        for index, picture in enumerate(pictures):
            yield Frame(index, picture, f"sample {index}")


def _sample(size: tuple[int, int], count: int | None, *, moving: bool) -> _Sample:
    try:
        have = len(samples.photos())
    except EnvironmentFault as error:
        note = f"{error.what}; a drawn scene stands in. {error.remedy}"
        return _Sample("drawn sample", size, count or SAMPLE_FRAMES, moving, False, (note,))
    if not moving:
        return _Sample("sample photographs", size, min(count or have, have), False, True, ())
    return _Sample("moving sample", size, count or SAMPLE_FRAMES, True, True, ())


@dataclass
class _Capture:
    """A video file, or a webcam by its index."""

    name: str
    target: Path | int
    fps: float | None = None
    count: int | None = None
    _capture: Any = None
    _notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        live = not isinstance(self.target, Path)
        if isinstance(self.target, Path) and self.target.stat().st_size == 0:
            raise FrameError("the video is empty", where=self.name, remedy="replace the file")
        self._capture = cv2.VideoCapture(self.target if live else str(self.target))
        if not self._capture.isOpened():
            self._capture.release()
            raise self._refused(live)
        self.fps = _positive(self._capture.get(cv2.CAP_PROP_FPS))
        frames = _positive(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = None if live or frames is None else int(frames)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def _refused(self, live: bool) -> BlobsmithError:
        if live:
            return EnvironmentFault(
                f"webcam {self.target} cannot be opened",
                remedy="connect it, close other programs that use it, or give --source webcam:N",
            )
        return FrameError("the video cannot be read", where=self.name, remedy="replace the file")

    def __enter__(self) -> _Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def __iter__(self) -> Iterator[Frame]:
        done = 0
        while True:
            good, picture = self._capture.read()
            if not good:
                break
            yield Frame(done, np.asarray(picture, dtype=np.uint8), f"{self.name} {done}")
            done += 1
        if isinstance(self.target, int):
            raise EnvironmentFault(
                f"webcam {self.target} stopped after {done} frames", remedy="connect it again"
            )
        if not done:
            raise FrameError(
                "the video holds no frame that can be read",
                where=self.name,
                remedy="replace the file, or write it anew as .mp4",
            )
        if self.count and done < self.count:
            self._notes.append(f"{self.name} says {self.count} frames, {done} could be read")


def _positive(value: float) -> float | None:
    return float(value) if np.isfinite(value) and value > 0 else None


def take(source: FrameSource, limit: int | None) -> Iterator[Frame]:
    """At most `limit` frames of a source; all of them if None."""
    return islice(iter(source), limit)
