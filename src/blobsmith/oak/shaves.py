"""How many SHAVEs to compile for: what the vendor publishes, applied and explained.

The chip has 16 SHAVE processors. The camera's image pipeline takes some for itself: 13 are left
for networks while the sensor runs at up to 1080p, 10 at 4K, all 16 with no camera in the pipeline
(luxonis/oak-examples issues 89 and 70); other nodes (stereo depth, object tracker, ImageManip)
take more, how many is not published. A network runs on `threads` inference threads, each of which
occupies the SHAVEs that the blob was compiled for. The vendor's advice is half of what is free,
and two threads; more helps little, since each thread also needs one of the two convolution
engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UsageError
from ..tensors import TensorSpec

CHIP_SHAVES = 16
FREE_1080P = 13
FREE_4K = 10
DEFAULT_THREADS = 2
MAX_THREADS = 2
RESOLUTIONS: dict[str, tuple[int, int]] = {
    "400p": (640, 400),
    "480p": (640, 480),
    "720p": (1280, 720),
    "800p": (1280, 800),
    "1080p": (1920, 1080),
    "1200p": (1920, 1200),
    "4k": (3840, 2160),
    "12mp": (4056, 3040),
}


@dataclass(frozen=True)
class ShaveAdvice:
    """A number of SHAVEs, and why.

    Attributes:
        shaves: to compile for, 1 to 16.
        threads: inference threads that this is meant for.
        free: SHAVEs that the camera leaves to networks.
        explanation: one or two sentences for the user.
    """

    shaves: int
    threads: int
    free: int
    explanation: str


def recommend(
    inputs: Sequence[TensorSpec] = (),
    *,
    resolution: str | tuple[int, int] | None = None,
    threads: int = DEFAULT_THREADS,
    camera: bool = True,
) -> ShaveAdvice:
    """How many SHAVEs to compile for.

    Args:
        inputs: the model's inputs: frames larger than 1080p need the sensor's 4K mode.
        resolution: of the sensor: "400p" to "12mp", or (width, height); None: the smallest mode
            that has frames of the inputs' size.
        threads: inference threads, 1 or 2.
        camera: whether a camera of the device is in the pipeline (not, when frames come from the
            host).

    Raises:
        UsageError: an unknown resolution, or more threads than there are convolution engines.
    """
    threads = check_threads(threads)
    width, height = _size(resolution) if resolution is not None else _needed(inputs)
    free = free_shaves(width, height, camera=camera)
    shaves = free // threads
    where = (
        f"the sensor at up to 1080p leaves {free} of the chip's {CHIP_SHAVES} SHAVEs to networks"
        if free == FREE_1080P
        else f"a sensor at {width}x{height} (4K mode) leaves {free} of {CHIP_SHAVES} SHAVEs"
        if camera
        else f"without a camera in the pipeline all {free} SHAVEs are free"
    )
    split = f"shared by {threads} inference threads: {shaves} each" if threads > 1 else "one thread"
    return ShaveAdvice(
        shaves,
        threads,
        free,
        f"{shaves} shaves: {where}, {split}. Vendor's figures; stereo depth or other nodes beside "
        "it take more, so build a superblob where you cannot know.",
    )


def check_threads(threads: int) -> int:
    """The number of threads, if the chip can run so many.

    Raises:
        UsageError: not 1 or 2.
    """
    if not 1 <= threads <= MAX_THREADS:
        raise UsageError(
            f"{threads} inference threads cannot run",
            remedy="give 1 or 2: the chip has two convolution engines",
        )
    return threads


def free_shaves(width: int, height: int, *, camera: bool = True) -> int:
    """SHAVEs left to networks when frames of this size come from the sensor."""
    if not camera:
        return CHIP_SHAVES
    return FREE_1080P if max(width, height) <= 1920 and min(width, height) <= 1200 else FREE_4K


def fit_threads(shaves: int, threads: int, free: int) -> tuple[int, str]:
    """How many of the wanted threads a blob can run with, and a note if fewer.

    Args:
        shaves: the blob was compiled for.
        threads: wanted.
        free: SHAVEs left to networks.

    Raises:
        UsageError: not even one thread fits: the device would refuse the pipeline.
    """
    threads = check_threads(threads)
    if shaves > free:
        raise UsageError(
            f"the blob is compiled for {shaves} shaves, but the camera leaves only {free}",
            remedy=f"build it with --shaves {free // 2} (or auto), use a superblob, or ask for "
            "smaller frames",
        )
    fitting = min(threads, free // shaves)
    if fitting == threads:
        return threads, ""
    return fitting, (
        f"{threads} threads of {shaves} shaves do not fit in the {free} that are free: running "
        f"with {fitting}; a blob for {free // threads} shaves would run with {threads}"
    )


def _size(resolution: str | tuple[int, int]) -> tuple[int, int]:
    if not isinstance(resolution, str):
        return resolution
    size = RESOLUTIONS.get(resolution.lower())
    if size is None:
        raise UsageError(
            f"the resolution {resolution!r} is not known",
            remedy=f"give one of {', '.join(RESOLUTIONS)}",
        )
    return size


def _needed(inputs: Sequence[TensorSpec]) -> tuple[int, int]:
    width = height = 0
    for spec in inputs:
        sizes = dict(zip(spec.layout, spec.shape, strict=False))
        if "H" in sizes and "W" in sizes:
            width, height = max(width, sizes["W"]), max(height, sizes["H"])
    return width, height
