"""From output arrays to something to look at, as each output's `Decoding` says.

* "image": levels, ``value * scale + offset``, clipped to 0..255.
* "mask": white where that level is above one half, so that 0/1 and 0/255 both work.
* "map": colours over the map's own range. A map with negative values (Harris) is blue below 0,
  black at 0, orange above, its small values raised by a square root; one without runs from black
  over purple to yellow. Single points on an empty ground are drawn 3x3 and brighter.
* "vector": the numbers.
* "tensor" (nothing is known): a picture-shaped one is stretched over its own range, grey.

Where a value is not finite the picture is magenta, and a note says how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError
from ..tensors import TensorSpec
from .arrays import Array, to_planes
from .samples import Image

Floats = NDArray[np.float32]

MAGENTA = (255, 0, 255)
SPARSE = 0.06
"""A map with fewer points above 0 than this share is drawn with enlarged points."""

_SIGNED = ((255, 235, 160), (235, 110, 20), (110, 40, 10), (0, 0, 0), (10, 50, 120))
_SIGNED_TOP = ((20, 130, 245), (170, 240, 255))


@dataclass(frozen=True, eq=False)
class DecodedOutput:
    """One output, decoded.

    Attributes:
        name: of the output.
        kind: as in `Decoding.kind`.
        values: the function's own result: float32, the recorded factor taken out.
        image: BGR (height, width, 3), or None for what is no picture.
        note: what the user should be told, or "".
        how: how the values were made visible, e.g. "shown x4", or "".
    """

    name: str
    kind: str
    values: Floats
    image: Image | None
    note: str = ""
    how: str = ""

    @property
    def vector(self) -> Floats | None:
        """The numbers, flat, where the output is no picture."""
        return self.values.ravel() if self.image is None else None

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest finite value; (0, 0) where there is none."""
        finite = self.values[np.isfinite(self.values)]
        return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def decode(array: Array, spec: TensorSpec) -> DecodedOutput:
    """One output array as its spec says.

    Args:
        array: of the spec's shape, any float dtype.
        spec: the output, with its decoding.

    Raises:
        FrameError: the array's size is not the spec's.
    """
    if array.size != spec.elements:
        raise FrameError(
            f"the output {spec.name!r} came as {list(array.shape)}, not {list(spec.shape)}",
            remedy="the blob and its manifest do not belong together: build again",
        )
    values = np.asarray(array, np.float32).reshape(spec.shape) / np.float32(spec.decoding.factor)
    bad = int(values.size - np.count_nonzero(np.isfinite(values)))
    notes = [f"{bad} of {values.size} values are not finite"] if bad else []
    kind = spec.decoding.kind
    image: Image | None = None
    how = ""
    if kind != "vector" and has_pixels(spec):
        image, how = _picture(values, spec)
        if kind == "tensor":
            notes.append(f"how to show it is not known: {how}")
    return DecodedOutput(spec.name, kind, values, image, "; ".join(notes), how)


def decode_all(
    results: Mapping[str, Array], specs: Sequence[TensorSpec]
) -> tuple[DecodedOutput, ...]:
    """All outputs, in the order of the specs.

    Raises:
        FrameError: an output is missing, or has another size than its spec.
    """
    missing = [spec.name for spec in specs if spec.name not in results]
    if missing:
        raise FrameError(
            f"the model gave no output {missing[0]!r}",
            where=f"it gave {', '.join(results) or 'none'}",
            remedy="the blob and its manifest do not belong together: build again",
        )
    return tuple(decode(results[spec.name], spec) for spec in specs)


def has_pixels(spec: TensorSpec) -> bool:
    """Whether an output has two dimensions that can be seen as height and width."""
    sizes = dict(zip(spec.layout, spec.shape, strict=False))
    return sizes.get("H", 1) > 1 and sizes.get("W", 1) > 1


def _picture(values: Floats, spec: TensorSpec) -> tuple[Image, str]:
    planes = np.asarray(to_planes(values, spec.layout), np.float32)
    bad = ~np.isfinite(planes).all(axis=0)
    planes = np.where(np.isfinite(planes), planes, np.float32(0))
    rule, how = spec.decoding, ""
    if rule.kind == "map":
        image = map_colors(planes)
        how = "blue below 0, orange above" if (planes < 0).any() else ""
    elif rule.kind == "mask":
        image = _levels(np.where(planes * rule.scale + rule.offset > 0.5, np.float32(255), 0))
    elif rule.kind == "image":
        image = _levels(planes * np.float32(rule.scale) + np.float32(rule.offset))
        how = _clause(rule.scale, rule.offset, bool((planes < 0).any()))
    else:
        low, high = float(planes.min()), float(planes.max())
        image = _levels((planes - low) * np.float32(255 / (high - low) if high > low else 0))
        how = f"stretched from {low:g} to {high:g}"
    if spec.color == "rgb" and planes.shape[0] == 3:
        image = np.ascontiguousarray(image[:, :, ::-1])
    image[bad] = MAGENTA
    return image, how


def _clause(scale: float, offset: float, negative: bool) -> str:
    parts = [f"shown x{scale:.3g}"] if scale != 1 else []
    if offset:
        parts.append(f"0 is grey {offset:.4g}")
    elif negative:
        parts.append("below 0 black")
    return ", ".join(parts)


def _levels(planes: Floats) -> Image:
    """Planes of levels as BGR; of more than three channels, or two, the strongest counts."""
    if planes.shape[0] not in (1, 3):
        planes = strongest(planes)[None]
    levels = np.clip(np.rint(planes), 0, 255).astype(np.uint8)
    if levels.shape[0] == 1:
        levels = np.repeat(levels, 3, axis=0)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def strongest(planes: Floats) -> Floats:
    """(channels, H, W) to (H, W): at each pixel the value of the largest magnitude."""
    pick = np.abs(planes).argmax(axis=0)
    return np.asarray(np.take_along_axis(planes, pick[None], axis=0)[0], np.float32)


def map_colors(planes: Floats) -> Image:
    """A response of one or more channels in colours over its own range, BGR (H, W, 3)."""
    response = strongest(planes)
    top = float(np.abs(response).max())
    if top == 0:
        return np.zeros((*response.shape, 3), np.uint8)
    low, high = float(response.min()), float(response.max())
    if low >= -1e-3 * high:
        power = 0.5
        if np.count_nonzero(response > 0) < SPARSE * response.size:
            response = cv2.dilate(response, np.ones((3, 3), np.uint8))
            power = 0.35
        shown = np.clip(response / high, 0, 1) ** power
        return _u8(cv2.applyColorMap(_u8(np.rint(shown * 255)), cv2.COLORMAP_INFERNO))
    shares = np.where(response < 0, response / -min(low, -1e-30), response / max(high, 1e-30))
    shown = np.sign(shares) * np.sqrt(np.abs(shares))
    return _u8(signed_table()[np.rint(127.5 + 127.5 * shown).astype(np.uint8)])


def signed_table() -> Image:
    """256 BGR colours: light blue (lowest) over black (0) to light orange (highest)."""
    colors = np.array((*_SIGNED, *_SIGNED_TOP), np.float32)
    steps = np.linspace(0, 255, len(colors))
    table = [np.interp(np.arange(256), steps, colors[:, channel]) for channel in range(3)]
    return _u8(np.rint(np.stack(table, axis=1)))


def _u8(picture: Any) -> Image:
    return np.asarray(picture, dtype=np.uint8)
