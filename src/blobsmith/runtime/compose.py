"""Inputs and outputs side by side in one labelled picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..tensors import TensorSpec
from .arrays import Array, is_picture, to_image
from .decode import DecodedOutput
from .samples import Image

GROUND = (34, 30, 28)
TEXT = (236, 236, 236)
FAINT = (168, 164, 160)
INPUT = (222, 190, 110)
OUTPUT = (110, 200, 250)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GAP = 14
_HEAD = 30


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture with its label.

    Attributes:
        image: BGR (height, width, 3).
        title: what it is, e.g. an output's name.
        detail: fainter, after the title.
        color: BGR of the title: `INPUT` or `OUTPUT`.
    """

    image: Image
    title: str
    detail: str = ""
    color: tuple[int, int, int] = INPUT


def side_by_side(
    inputs: Sequence[Tile], outputs: Sequence[Tile], *, title: str = "", height: int = 300
) -> Image:
    """Input tiles left, output tiles right, all of one height, labelled.

    Wide results go below their inputs.

    Args:
        inputs: may be empty.
        outputs: may be empty, but not both.
        title: above everything; "": none.
        height: of each tile's picture in pixels.
    """
    rows = [[*inputs, *outputs]]
    if inputs and _width(rows[0], height) > 4.6 * height:
        rows = [list(inputs), list(outputs)] if outputs else [list(inputs)]
    strips = [_strip(row, height) for row in rows if row]
    width = max(max(strip.shape[1] for strip in strips), _text_width(title, 0.62) + 2 * _GAP)
    strips = [_widened(strip, width) for strip in strips]
    if title:
        head = _ground(40, width)
        _write(head, title, (_GAP, 28), 0.62, TEXT)
        strips.insert(0, head)
    return np.vstack(strips)


def stack(pictures: Sequence[Image]) -> Image:
    """Pictures below each other, left-aligned on the common ground."""
    width = max(picture.shape[1] for picture in pictures)
    return np.vstack([_widened(picture, width) for picture in pictures])


def input_tiles(
    feeds: Mapping[str, Array],
    specs: Sequence[TensorSpec],
    why: Mapping[str, str] | None = None,
    shown: Mapping[str, Image] | None = None,
) -> list[Tile]:
    """A tile for each input of a run.

    Args:
        feeds: input name to the array that went in: drawn as a picture, as bars or in numbers.
        specs: the inputs.
        why: input name to a clause that stands behind its name.
        shown: input name to a picture that is drawn instead.
    """
    tiles = []
    for spec in specs:
        array = feeds[spec.name]
        if shown and spec.name in shown:
            image = shown[spec.name]
        else:
            image = to_image(array, spec) if is_picture(spec) else numbers_image(array)
        detail = (why or {}).get(spec.name) or "x".join(map(str, spec.shape))
        tiles.append(Tile(image, spec.name, detail, INPUT))
    return tiles


def output_tiles(outputs: Sequence[DecodedOutput]) -> list[Tile]:
    """A tile for each output: its picture and range, or its numbers."""
    tiles = []
    for output in outputs:
        low, high = output.range
        image = numbers_image(output.values) if output.image is None else output.image
        detail = ", ".join(filter(None, (f"{low:.3g} to {high:.3g}", output.how)))
        if output.image is None:
            detail = f"{output.values.size} number{'s' if output.values.size > 1 else ''}"
        if "not finite" in output.note:
            detail = output.note.partition(";")[0]
        tiles.append(Tile(image, output.name, detail, OUTPUT))
    return tiles


def points_tile(frame: Image, output: DecodedOutput, share: float = 0.08) -> Tile | None:
    """The frame with a ring around each local maximum of a map; None if the output is no such map.

    Args:
        frame: BGR (height, width, 3), of the map's size.
        output: a decoded map that is 0 but at single points.
        share: weaker points than this share of the strongest are left out.
    """
    response = np.squeeze(output.values)
    if output.kind != "map" or response.shape != frame.shape[:2] or (response < 0).any():
        return None
    strong = np.argwhere(response > max(share * float(response.max()), 0.0))
    if not 0 < len(strong) < response.size // 20:
        return None
    picture = frame.copy()
    for row, column in strong.tolist():
        cv2.circle(picture, (column, row), 3, (40, 40, 40), 2, cv2.LINE_AA)
        cv2.circle(picture, (column, row), 3, (90, 255, 120), 1, cv2.LINE_AA)
    detail = f"{len(strong)} above {share:.0%} of the strongest"
    return Tile(picture, f"{output.name} found", detail, OUTPUT)


def numbers_image(array: Array, side: int = 300) -> Image:
    """Numbers as a picture: up to six are written out, more are drawn as bars around 0."""
    values = np.asarray(array, np.float32).ravel()
    picture = np.full((side, side, 3), 52, np.uint8)
    if values.size <= 6:
        for line, value in enumerate(values):
            size = 1.6 if values.size == 1 else 1.1
            text = f"{value:.6g}"
            place = (side - _text_width(text, size)) // 2
            middle = side // 2 + round((line - (values.size - 1) / 2) * 52) + 14
            _write(picture, text, (max(4, place), middle), size, TEXT, 2)
        return picture
    finite = np.where(np.isfinite(values), values, 0)
    top = float(np.abs(finite).max()) or 1.0
    edges = np.linspace(8, side - 8, values.size + 1)
    middle = side // 2
    for left, right, value in zip(edges[:-1], edges[1:], finite, strict=True):
        tip = round(middle - value / top * (middle - 12))
        corner = (max(round(left), round(right) - 1), middle)
        cv2.rectangle(picture, (round(left), tip), corner, (222, 190, 110), -1)
    cv2.line(picture, (8, middle), (side - 8, middle), FAINT, 1)
    _write(picture, f"+-{top:.3g}", (12, 24), 0.5, TEXT)
    return picture


def _strip(tiles: Sequence[Tile], height: int) -> Image:
    parts = [_ground(height + _HEAD + _GAP, _GAP)]
    for tile in tiles:
        part = _tile(tile, height)
        parts += [part, _ground(part.shape[0], _GAP)]
    return np.hstack(parts)


def _tile(tile: Tile, height: int) -> Image:
    width = max(1, round(tile.image.shape[1] * height / tile.image.shape[0]))
    grows = height > tile.image.shape[0]
    whole = grows and height % tile.image.shape[0] == 0
    method = cv2.INTER_NEAREST if whole else cv2.INTER_LINEAR if grows else cv2.INTER_AREA
    picture = cv2.resize(tile.image, (width, height), interpolation=method)
    needed = _text_width(tile.title, 0.55) + _text_width(tile.detail, 0.45) + 14
    result = _ground(height + _HEAD + _GAP, max(width, needed))
    result[_HEAD : _HEAD + height, :width] = picture
    _write(result, tile.title, (0, 20), 0.55, tile.color)
    _write(result, tile.detail, (_text_width(tile.title, 0.55) + 10, 20), 0.45, FAINT)
    return result


def _width(tiles: Sequence[Tile], height: int) -> int:
    return sum(round(tile.image.shape[1] * height / tile.image.shape[0]) + _GAP for tile in tiles)


def _widened(picture: Image, width: int) -> Image:
    missing = width - picture.shape[1]
    return np.hstack([picture, _ground(picture.shape[0], missing)]) if missing else picture


def _ground(height: int, width: int) -> Image:
    return np.full((height, width, 3), GROUND, np.uint8)


def _text_width(text: str, size: float) -> int:
    return int(cv2.getTextSize(text, _FONT, size, 1)[0][0]) if text else 0


def _write(
    picture: Image,
    text: str,
    place: tuple[int, int],
    size: float,
    color: tuple[int, int, int],
    thickness: int = 1,
) -> None:
    """Draws text into `picture`, which is the caller's own; other than ASCII becomes "?"."""
    plain: Any = text.encode("ascii", "replace").decode()
    cv2.putText(picture, plain, place, _FONT, size, color, thickness, cv2.LINE_AA)
