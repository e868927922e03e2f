"""The numbers of FP16, and rounding that never loses a value that could occur.

Half precision (IEEE 754 binary16): 11 significant bits, largest number 65504, smallest normal
2^-14, subnormals down to 2^-24.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
AnyArray = npt.NDArray[Any]

MAX = 65504.0
"""The largest finite FP16 number."""
OVERFLOW = 65520.0
"""The smallest magnitude that rounds to infinity."""
SMALLEST_NORMAL = 2.0**-14
SMALLEST = 2.0**-24
"""The smallest subnormal."""
SNAP_TO_ZERO = 2.0**-15
"""The compiler turns FP16 constants below this into 0 (docs/blob-format.md, section 7)."""


def round_half(values: AnyArray) -> Array:
    """Values rounded to FP16, nearest even, as float64; 65520 and more become infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.asarray(values, np.float32).astype(np.float16), np.float64)


def round_out(low: Array, high: Array, *, half: bool) -> tuple[Array, Array]:
    """The smallest interval of FP32 (or FP16) numbers that holds every rounded result.

    A result is computed in FP32 and, if `half`, stored in FP16. Rounding is monotone, so the
    bounds are rounded themselves; the FP32 step goes outwards by one unit where it is inexact.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        low32, high32 = low.astype(np.float32), high.astype(np.float32)
        low32 = np.where(low32 != low, np.nextafter(low32, np.float32(-np.inf)), low32)
        high32 = np.where(high32 != high, np.nextafter(high32, np.float32(np.inf)), high32)
        if half:
            low16, high16 = low32.astype(np.float16), high32.astype(np.float16)
            return low16.astype(np.float64), high16.astype(np.float64)
        return low32.astype(np.float64), high32.astype(np.float64)


def snap(values: AnyArray) -> AnyArray:
    """FP16 constants as the compiler stores them, as float32.

    Rounded to FP16; below 2^-15 they become 0, from 2^-15 to 2^-14 they become 2^-14, and finite
    values above 65504 become 65504 (docs/blob-format.md, section 7).
    """
    values = np.asarray(values)
    with np.errstate(over="ignore", invalid="ignore"):
        half = np.asarray(values, np.float32).astype(np.float16).astype(np.float32)
    size = np.abs(half)
    half = np.where(size < SNAP_TO_ZERO, np.float32(0), half)
    lifted = np.copysign(np.float32(SMALLEST_NORMAL), half)
    half = np.where((size >= SNAP_TO_ZERO) & (size < SMALLEST_NORMAL), lifted, half)
    clipped = np.clip(half, -np.float32(MAX), np.float32(MAX))
    return np.asarray(np.where(np.isinf(values), half, clipped), np.float32)


def ulp(value: float) -> float:
    """The distance between FP16 numbers at this magnitude."""
    magnitude = min(max(abs(value), SMALLEST_NORMAL), MAX)
    return float(2.0 ** (np.floor(np.log2(magnitude)) - 10))
