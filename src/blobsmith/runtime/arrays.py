"""Between pictures and arrays: layouts, sizes, channels, dtypes."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ..tensors import NUMPY_NAMES, TensorSpec
from .samples import Image

Array = NDArray[np.generic]
"""Any array."""


def is_picture(spec: TensorSpec) -> bool:
    """Whether the tensor is a picture of one or three channels and more than one pixel."""
    sizes = dict(zip(spec.layout, spec.shape, strict=False))
    if "H" not in sizes or "W" not in sizes or len(spec.layout) != len(spec.shape):
        return False
    return sizes["H"] * sizes["W"] > 1 and sizes.get("C", 1) in (1, 3)


def to_array(image: Image, spec: TensorSpec) -> Array:
    """A frame as an input wants it: resized, grey or planar BGR, in the spec's layout and dtype.

    Channels stay in the camera's order: where the user's function wants RGB, the graph swaps.

    Args:
        image: BGR (any height, any width, 3).
        spec: a picture (`is_picture`).
    """
    sizes = dict(zip(spec.layout, spec.shape, strict=True))
    fitted = fit(image, sizes["W"], sizes["H"])
    if sizes.get("C", 1) == 1:
        planes = cv2.cvtColor(fitted, cv2.COLOR_BGR2GRAY)[None]
    else:
        planes = fitted.transpose(2, 0, 1)
    wanted = [letter for letter in spec.layout if letter in "CHW"]
    have = "CHW" if "C" in wanted else "HW"
    ordered = (planes if "C" in wanted else planes[0]).transpose([have.index(c) for c in wanted])
    for axis, letter in enumerate(spec.layout):
        if letter not in "CHW":
            ordered = np.expand_dims(ordered, axis)
    return cast(np.broadcast_to(ordered, spec.shape), spec)


def to_image(array: Array, spec: TensorSpec) -> Image:
    """An input's array as a picture again, BGR (height, width, 3): the inverse of `to_array`.

    Args:
        array: of the spec's shape; of a batch the first is taken.
        spec: a picture (`is_picture`).
    """
    planes = to_planes(np.asarray(array), spec.layout)
    levels = np.clip(np.rint(planes.astype(np.float32)), 0, 255).astype(np.uint8)
    if levels.shape[0] == 1:
        levels = np.repeat(levels, 3, axis=0)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def to_planes(array: Array, layout: str) -> Array:
    """An array of any picture layout as (channels, height, width); of a batch the first."""
    kept = []
    for axis, letter in reversed(list(enumerate(layout))):
        if letter in "CHW":
            kept.append(letter)
        else:
            array = np.take(array, 0, axis=axis)
    present = kept[::-1]
    if "C" not in present:
        array, present = array[None], ["C", *present]
    planes: Array = array.transpose([present.index(letter) for letter in "CHW"])
    return planes


def fit(image: Image, width: int, height: int) -> Image:
    """The frame resized to the wanted shape, its aspect not kept; unchanged if it fits."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] > height and image.shape[1] > width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), dtype=np.uint8)


def thumbnail(image: Image, spec: TensorSpec) -> Array:
    """A frame as a vector in the spec's range: shrunk to a grid, grey, its mean taken off.

    Args:
        image: BGR (any height, any width, 3).
        spec: a vector of `spec.elements` numbers.
    """
    side = math.ceil(math.sqrt(spec.elements))
    grey = cv2.cvtColor(fit(image, side, side), cv2.COLOR_BGR2GRAY).astype(np.float32)
    flat = grey.ravel()[: spec.elements]
    low, high = value_range(spec)
    reach = min(-low, high) if low < 0 < high else 0.0
    if reach:
        return cast(((flat - flat.mean()) / 255 * reach).reshape(spec.shape), spec)
    return cast((low + flat / 255 * (high - low)).reshape(spec.shape), spec)


def value_range(spec: TensorSpec) -> tuple[float, float]:
    """The declared range of an input; undeclared: 0 to 255 for u8, -1 to 1 otherwise."""
    if spec.value_range is not None:
        return spec.value_range
    return (0.0, 255.0) if spec.dtype == "u8" else (-1.0, 1.0)


def cast(values: Array, spec: TensorSpec) -> Array:
    """The values in the spec's dtype; for whole-number types rounded and clipped."""
    dtype = np.dtype(NUMPY_NAMES[spec.dtype])
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max)
    return np.ascontiguousarray(values.astype(dtype))
