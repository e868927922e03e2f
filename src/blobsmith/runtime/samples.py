"""Real photographs without a download: those that scikit-image and scikit-learn carry inside.

The files are opened where they are installed; neither package is imported, and nothing is fetched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import EnvironmentFault, FrameError

Image = NDArray[np.uint8]
"""A picture: (height, width, 3), BGR, levels 0 to 255."""

SHOT = 30
"""Frames of the moving sequence before it goes on to the next photograph."""
_ZOOM = 1.3
_SWAY = 0.3
_REMEDY = "pip install 'blobsmith[samples]', or name your own pictures with --source PATH"


@dataclass(frozen=True)
class Photo:
    """One photograph of an installed package.

    Attributes:
        name: a short name.
        path: where the file is.
        credit: who made it, and under which terms it may be passed on.
    """

    name: str
    path: Path
    credit: str


@dataclass(frozen=True)
class _Known:
    package: str
    file: str
    credit: str


_MIDDLEBURY = (
    "Middlebury 2014 stereo benchmark: Nesic, Westling, Wang, Kitajima, Krathwohl, Scharstein"
)
_KNOWN: dict[str, _Known] = {
    "coffee": _Known("skimage", "data/coffee.png", "Rachel Michetti, CC0"),
    "china": _Known("sklearn", "datasets/images/china.jpg", "danielbuechele, CC BY 2.0"),
    "astronaut": _Known("skimage", "data/astronaut.png", "NASA, public domain"),
    "cat": _Known("skimage", "data/chelsea.png", "Stefan van der Walt, CC0"),
    "motorcycle": _Known("skimage", "data/motorcycle_left.png", _MIDDLEBURY),
    "rocket": _Known("skimage", "data/rocket.jpg", "SpaceX, public domain"),
    "flower": _Known("sklearn", "datasets/images/flower.jpg", "vultilion, CC BY 2.0"),
    "camera": _Known("skimage", "data/camera.png", "Lav Varshney, CC0"),
}
_RIGHT = _Known("skimage", "data/motorcycle_right.png", _MIDDLEBURY)


def photos() -> tuple[Photo, ...]:
    """The photographs that are installed, always in the same order.

    Raises:
        EnvironmentFault: neither scikit-image nor scikit-learn is installed.
    """
    found = [_find(name, known) for name, known in _KNOWN.items()]
    have = tuple(photo for photo in found if photo is not None)
    if not have:
        raise EnvironmentFault(
            "no sample photographs: they come with scikit-image and scikit-learn",
            remedy=_REMEDY,
        )
    return have


def load(photo: Photo) -> Image:
    """The photograph as BGR (height, width, 3); grey ones get three equal channels.

    Raises:
        FrameError: the installed file cannot be read.
    """
    return _load(photo.path)


def stereo_pair() -> tuple[Image, Image]:
    """A left and a right view of one scene, (500, 741, 3) each.

    Raises:
        EnvironmentFault: scikit-image is not installed.
    """
    pair = (_find("left", _KNOWN["motorcycle"]), _find("right", _RIGHT))
    if pair[0] is None or pair[1] is None:
        raise EnvironmentFault("no stereo pair: it comes with scikit-image", remedy=_REMEDY)
    return _load(pair[0].path), _load(pair[1].path)


def sample_photos(width: int, height: int, count: int) -> list[Image]:
    """The first `count` photographs, cut in the middle to the wanted shape and resized.

    Fewer where fewer are installed.

    Raises:
        EnvironmentFault: as `photos`.
    """
    return [view(load(photo), width, height) for photo in photos()[:count]]


def sample_frames(width: int, height: int, count: int, shot: int = SHOT) -> Iterator[Image]:
    """A moving sequence: the camera pans and zooms over one photograph after another.

    Args:
        width: of each frame.
        height: of each frame.
        count: frames in all.
        shot: frames on each photograph.

    Raises:
        EnvironmentFault: as `photos`, at once and not at the first frame.
    """
    return _moving(photos(), width, height, count, shot)


def _moving(
    have: tuple[Photo, ...], width: int, height: int, count: int, shot: int
) -> Iterator[Image]:
    for index in range(count):
        scene, step = divmod(index, shot)
        yield pan(load(have[scene % len(have)]), width, height, step / shot)


def drawn_frames(width: int, height: int, count: int, shot: int = SHOT) -> Iterator[Image]:
    """A drawn scene in place of photographs: discs and bars that move over a shaded ground."""
    for index in range(count):
        yield draw(width, height, (index % shot) / shot)


def pan(photo: Image, width: int, height: int, phase: float) -> Image:
    """One frame of a camera that circles over a photograph and comes back.

    Args:
        photo: (any height, any width, 3).
        width: of the frame.
        height: of the frame.
        phase: where on the way, 0 to 1; 0 and 1 are the same place.
    """
    turn = 2 * math.pi * phase
    zoom = _ZOOM + 0.12 * math.sin(turn)
    return view(photo, width, height, zoom, _SWAY * math.cos(turn), _SWAY * math.sin(turn))


def view(
    photo: Image, width: int, height: int, zoom: float = 1.0, x: float = 0.0, y: float = 0.0
) -> Image:
    """What a camera of the given frame size sees of a photograph, without distortion.

    Args:
        photo: (any height, any width, 3).
        width: of the result.
        height: of the result.
        zoom: 1: as much as fits; 2: half of that.
        x: where the camera looks, -1 the left edge to 1 the right edge.
        y: -1 the upper edge to 1 the lower edge.
    """
    rows, columns = photo.shape[:2]
    size = min(columns / width, rows / height) / zoom
    left = (columns - size * width) * (x + 1) / 2
    top = (rows - size * height) * (y + 1) / 2
    if size > 1:
        part = photo[
            round(top) : round(top + size * height), round(left) : round(left + size * width)
        ]
        return _u8(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA))
    back = np.array(
        [[size, 0, left + (size - 1) / 2], [0, size, top + (size - 1) / 2]], dtype=np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return _u8(
        cv2.warpAffine(photo, back, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
    )


def draw(width: int, height: int, phase: float) -> Image:
    """One frame of the drawn scene, BGR (height, width, 3)."""
    across = np.linspace(40, 200, width, dtype=np.float32)[None, :, None]
    down = np.linspace(0, 40, height, dtype=np.float32)[:, None, None]
    ground = np.broadcast_to(across + down, (height, width, 3)) * np.array(
        [0.9, 1.0, 0.8], np.float32
    )
    picture = np.ascontiguousarray(ground.astype(np.uint8))
    unit = max(2, min(width, height) // 8)
    turn = 2 * math.pi * phase
    x = round(width / 2 + math.cos(turn) * width / 4)
    y = round(height / 2 + math.sin(turn) * height / 4)
    cv2.circle(picture, (x, y), unit, (60, 60, 220), -1)
    corner = (width - x - unit, height - y - unit)
    cv2.rectangle(picture, corner, (width - x + unit, height - y + unit), (220, 200, 40), -1)
    cv2.line(picture, (0, y), (width - 1, height - 1 - y), (20, 20, 20), max(1, unit // 6))
    return picture


def _find(name: str, known: _Known) -> Photo | None:
    spec = find_spec(known.package)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder) / known.file
        if path.is_file():
            return Photo(name, path, known.credit)
    return None


@lru_cache(maxsize=4)
def _load(path: Path) -> Image:
    data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if picture is None:
        raise FrameError(
            "a sample photograph cannot be read", where=str(path), remedy=f"reinstall it: {_REMEDY}"
        )
    picture.setflags(write=False)
    return _u8(picture)


def _u8(picture: object) -> Image:
    return np.asarray(picture, dtype=np.uint8)
