"""Frames that make a function's outputs vary: what every comparison of two graphs runs on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..tensors import TensorSpec

Array = npt.NDArray[Any]

KINDS = ("noise", "zero", "full", "gradient", "photo", "levels")


def probe_feeds(
    specs: Iterable[TensorSpec], seed: int = 0, kinds: Sequence[str] = KINDS
) -> list[dict[str, Array]]:
    """Inputs that make a function's outputs vary; float32, distinct for every input of a model.

    Args:
        specs: the model's inputs. U8 inputs get whole levels 0 to 255, others their
            `value_range`, or -1 to 1 if none is declared.
        seed: of the noise.
        kinds: "noise" (uniform), "zero" (all 0, or the range's low end if 0 is outside), "full"
            (all at the high end: 255), "gradient" (ramps, each input in another direction),
            "photo" (1/f clutter, shapes with edges, sensor noise: what a photograph is like),
            "levels" (each input and channel at a level of its own).

    Returns:
        One dict a kind: input name -> array of the input's shape.
    """
    specs = list(specs)
    feeds: list[dict[str, Array]] = []
    for kind in kinds:
        frame: dict[str, Array] = {}
        for index, spec in enumerate(specs):
            rng = np.random.default_rng([seed, KINDS.index(kind), index])
            unit = _unit_frame(kind, spec.shape, index, rng)
            frame[spec.name] = _scaled(unit, spec, kind)
        feeds.append(frame)
    return feeds


def _scaled(unit: Array, spec: TensorSpec, kind: str) -> Array:
    if spec.dtype == "u8":
        return np.round(unit * 255).astype(np.float32)
    low, high = spec.value_range or (-1.0, 1.0)
    if kind == "zero":
        return np.full(spec.shape, np.clip(0.0, low, high), np.float32)
    return (low + unit * (high - low)).astype(np.float32)


def _unit_frame(kind: str, shape: tuple[int, ...], index: int, rng: np.random.Generator) -> Array:
    if kind == "noise":
        return rng.random(shape)
    if kind == "zero":
        return np.zeros(shape)
    if kind == "full":
        return np.ones(shape)
    if kind == "levels":
        planes = shape[:-2] if len(shape) > 2 else ()
        return np.broadcast_to(rng.random((*planes, *(1,) * (len(shape) - len(planes)))), shape)
    height, width = (1, 1, *shape)[-2:]
    y = np.linspace(0, 1, height)[:, None]
    x = np.linspace(0, 1, width)[None, :]
    if kind == "gradient":
        angle = 0.6 + 1.1 * index
        plane = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
        plane = (plane - plane.min()) / max(float(np.ptp(plane)), 1e-9)
        return np.broadcast_to(plane.reshape(shape[-2:]), shape)
    count = int(np.prod(shape[:-2], dtype=np.int64))
    base = _photo_plane(height, width, rng)
    # of its own in every channel: one more picture, moved by as much each time
    other = 0.25 * _photo_plane(height, width, rng)
    moves = rng.integers(1, 1 << 16, (count, 2))
    planes_ = np.stack([np.roll(other, (int(a), int(b)), (0, 1)) for a, b in moves])
    mixed: Array = np.clip(0.75 * base + planes_, 0, 1).reshape(shape)
    return mixed


def _photo_plane(height: int, width: int, rng: np.random.Generator) -> Array:
    """One plane with a photograph's statistics: 1/f spectrum, occluding edges, some noise."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    spectrum = np.fft.rfft2(rng.standard_normal((height, width)))
    spectrum /= np.maximum(np.hypot(fy, fx), 1.0 / max(height, width, 2))
    plane: Array = np.fft.irfft2(spectrum, s=(height, width))
    plane = 0.5 + 0.2 * (plane - plane.mean()) / max(float(plane.std()), 1e-9)
    y, x = np.mgrid[0:height, 0:width]
    for _ in range(6):
        cy, cx = rng.random(2) * (height, width)
        ry, rx = (0.05 + 0.25 * rng.random(2)) * (height, width)
        if rng.random() < 0.5:
            inside = ((y - cy) / max(ry, 1)) ** 2 + ((x - cx) / max(rx, 1)) ** 2 < 1
        else:
            inside = (abs(y - cy) < ry) & (abs(x - cx) < rx)
        plane = np.where(inside, 0.4 * plane + 0.6 * rng.random(), plane)
    return np.clip(plane + 0.01 * rng.standard_normal((height, width)), 0, 1)
