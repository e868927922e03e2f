"""What each ready function takes and gives, without importing torch.

The modules themselves are one file each beside this one; a file is imported when its factory is
called. Default sizes are those of Luxonis' tutorial blobs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..errors import EnvironmentFault, UsageError
from ..tensors import Color, Decoding, TensorSpec

Size = tuple[int, int]

IMAGE = Decoding("image")
MAP = Decoding("map")


@dataclass(frozen=True)
class ZooEntry:
    """A ready function and what is known of its tensors.

    Attributes:
        name: the name on the command line.
        summary: one line for lists.
        target: where it is written, "package.module:Class".
        factory: makes the torch module; imports torch and Kornia when called.
        inputs: specs at the wanted size, in the order of `forward`'s parameters.
        outputs: specs at the wanted size, with how each is shown.
    """

    name: str
    summary: str
    target: str
    factory: Callable[[], Any] = field(compare=False)
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Recipe:
    """An entry before its size is known.

    Attributes:
        summary: one line for lists.
        size: default (height, width); for vectors (1, length).
        smallest: the smallest height and width the function is defined for.
        inputs: makes the input specs for (height, width).
        outputs: makes the output specs for (height, width).
    """

    summary: str
    size: Size
    smallest: int
    inputs: Callable[[int, int], tuple[TensorSpec, ...]]
    outputs: Callable[[int, int], tuple[TensorSpec, ...]]


def frame(name: str, height: int, width: int, color: Color = "bgr") -> TensorSpec:
    """A camera frame with a batch of one."""
    return TensorSpec(name, (1, 3, height, width), "u8", "NCHW", color)


def picture(
    name: str, height: int, width: int, decoding: Decoding, channels: int = 3
) -> TensorSpec:
    """An output of the size of a frame."""
    color: Color = "gray" if channels == 1 else "bgr"
    return TensorSpec(name, (1, channels, height, width), "fp16", "NCHW", color, decoding=decoding)


def _filter(
    summary: str,
    decoding: Decoding,
    *,
    color: Color = "bgr",
    channels: int = 3,
    smallest: int = 1,
) -> Recipe:
    """A function from one frame to one picture of the same size."""
    return Recipe(
        summary,
        (300, 300),
        smallest,
        lambda h, w: (frame("image", h, w, color),),
        lambda h, w: (picture("output", h, w, decoding, channels),),
    )


def _constant(name: str, low: float, high: float) -> TensorSpec:
    return TensorSpec(name, (1, 3, 1, 1), "fp16", "NCHW", value_range=(low, high))


def _vector(name: str, length: int) -> TensorSpec:
    return TensorSpec(name, (length,), "fp16", "C", value_range=(-10.0, 10.0))


RECIPES: dict[str, Recipe] = {
    "concat": Recipe(
        "three frames side by side",
        (300, 300),
        1,
        lambda h, w: tuple(frame(name, h, w) for name in ("img1", "img2", "img3")),
        lambda h, w: (picture("output", h, 3 * w, IMAGE),),
    ),
    "blur": _filter("Gaussian blur 9x9, sigma 2.5", IMAGE, smallest=5),
    "edge": _filter("Laplacian, kernel 3, normalised", Decoding("image", scale=8.0), smallest=2),
    "sobel": _filter("strength of the Sobel gradient", Decoding("image", scale=4.0)),
    "harris": _filter("Harris corner response", MAP, smallest=4),
    "corners": Recipe(
        "Shi-Tomasi corners, thinned, and edge strength",
        (300, 300),
        3,
        lambda h, w: (frame("image", h, w, "rgb"),),
        lambda h, w: (
            picture("edges", h, w, Decoding("image", scale=4.0), 1),
            picture("corners", h, w, MAP, 1),
        ),
    ),
    "diff": Recipe(
        "what changed between two frames",
        (720, 720),
        1,
        lambda h, w: tuple(
            TensorSpec(name, (3, h, w), "u8", "CHW", "bgr") for name in ("img1", "img2")
        ),
        lambda h, w: (
            TensorSpec(
                "output", (h, w), "fp16", "HW", "gray", decoding=Decoding("image", 1 / 3, 127.5)
            ),
        ),
    ),
    "normalize": Recipe(
        "(frame - mean) / scale, both given at run time",
        (300, 300),
        1,
        lambda h, w: (
            frame("frame", h, w),
            _constant("scale", 1.0, 255.0),
            _constant("mean", 0.0, 255.0),
        ),
        lambda h, w: (picture("output", h, w, Decoding("image", 50.0, 110.0)),),
    ),
    "cosine": Recipe(
        "cosine similarity of two vectors, times 1000",
        (1, 256),
        1,
        lambda h, w: (_vector("a", w), _vector("b", w)),
        lambda h, w: (TensorSpec("output", (1,), "fp16", "C", decoding=Decoding("vector")),),
    ),
    "contrast": _filter("contrast stretch to 0..255", IMAGE),
    "threshold": _filter(
        "white where grey is above 127.5", Decoding("mask"), color="rgb", channels=1
    ),
}


def entry(name: str, size: int | Size | None) -> ZooEntry:
    """The entry of a known name at a size.

    Args:
        name: a key of `RECIPES`.
        size: (height, width) or the side of a square; for vectors their length; None: default.

    Raises:
        UsageError: the size is smaller than the function is defined for, or for vectors not a
            single length.
    """
    recipe = RECIPES[name]
    height, width = _resolve(name, recipe, size)
    return ZooEntry(
        name,
        recipe.summary,
        f"{__package__}.{name}:{name.capitalize()}",
        partial(create, name),
        recipe.inputs(height, width),
        recipe.outputs(height, width),
    )


def _resolve(name: str, recipe: Recipe, size: int | Size | None) -> Size:
    if size is None:
        return recipe.size
    vector = recipe.size[0] == 1
    if isinstance(size, int):
        height, width = (1 if vector else size), size
    else:
        height, width = size
    if min(height, width) < recipe.smallest or (vector and height != 1):
        wanted = "one length" if vector else f"a height and width of at least {recipe.smallest}"
        raise UsageError(f"zoo model {name!r} cannot have the size {size}", remedy=f"give {wanted}")
    return height, width


def create(name: str) -> Any:
    """The torch module of a known name, in evaluation mode.

    Raises:
        EnvironmentFault: torch or Kornia is not installed.
    """
    import importlib

    try:
        module = importlib.import_module(f"{__package__}.{name}")
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"the zoo's functions are written in PyTorch and Kornia; {error.name} is missing",
            where=f"zoo model {name!r}",
            remedy="pip install 'blobsmith[torch]'",
        ) from error
    return getattr(module, name.capitalize())().eval()
