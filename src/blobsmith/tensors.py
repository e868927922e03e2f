"""What is known about one input or output of a model, from the source to the camera.

This module imports nothing heavy: manifests are read with it before numpy is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from .errors import UsageError

DType = Literal["u8", "fp16", "fp32", "i32"]
Color = Literal["bgr", "rgb", "gray"]
DecodingKind = Literal["image", "mask", "map", "vector", "tensor"]

ITEM_BYTES: dict[str, int] = {"u8": 1, "fp16": 2, "fp32": 4, "i32": 4}
NUMPY_NAMES: dict[str, str] = {"u8": "uint8", "fp16": "float16", "fp32": "float32", "i32": "int32"}


@dataclass(frozen=True)
class Decoding:
    """How an output becomes something to look at.

    Attributes:
        kind: "image" (values are grey or colour levels), "mask" (two levels), "map" (a response
            such as corners: shown colour-mapped over its own range), "vector", "tensor".
        scale: a displayed level is ``value * scale + offset``, then clipped to 0..255.
        offset: see `scale`.
        factor: the blob's output is the function's result times `factor`; readers divide by it.
            Not 1 only where the result cannot fit in FP16.
    """

    kind: DecodingKind = "tensor"
    scale: float = 1.0
    offset: float = 0.0
    factor: float = 1.0


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: the tensor's name in ONNX, blob and pipeline.
        shape: static dimensions, outermost first (NCHW for images).
        dtype: element type at the blob's boundary: "u8", "fp16", "fp32" or "i32".
        layout: one letter for each dimension, e.g. "NCHW", "CHW", "HW", "NC".
        color: the channel order that the *user's function* expects; None for what is no image.
            Cameras deliver planar BGR; for "rgb" the graph itself holds the swap.
        mean: subtracted in the graph before the user's function, one value a channel; None: none.
        scale: divided by in the graph after the mean; None: none.
        decoding: for outputs, how to show them.
        value_range: declared range of a floating-point input (low, high), for FP16 analysis.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType = "u8"
    layout: str = ""
    color: Color | None = None
    mean: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None
    decoding: Decoding = field(default_factory=Decoding)
    value_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.layout:
            object.__setattr__(self, "layout", default_layout(len(self.shape)))

    @property
    def elements(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def nbytes(self) -> int:
        """Size in bytes at the blob's boundary."""
        return self.elements * ITEM_BYTES[self.dtype]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form, as the manifest stores it; fields at their default are kept."""
        out: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Decoding):
                value = {f.name: getattr(value, f.name) for f in fields(value)}
            elif isinstance(value, tuple):
                value = list(value)
            out[item.name] = value
        return out

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TensorSpec:
        """The inverse of `to_dict`; unknown keys are ignored, so that newer manifests load.

        Raises:
            UsageError: a required key is missing or has the wrong type.
        """
        try:
            kwargs: dict[str, Any] = {f.name: data[f.name] for f in fields(cls) if f.name in data}
            for key in ("shape", "mean", "scale", "value_range"):
                if kwargs.get(key) is not None:
                    kwargs[key] = tuple(kwargs[key])
            if isinstance(kwargs.get("decoding"), dict):
                known = {f.name for f in fields(Decoding)}
                kwargs["decoding"] = Decoding(
                    **{k: v for k, v in kwargs["decoding"].items() if k in known}
                )
            return cls(**kwargs)
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"a tensor entry of the manifest cannot be read: {error}",
                remedy="rebuild the blob with this version of blobsmith",
            ) from error


def default_layout(rank: int) -> str:
    """The usual layout letters for a tensor of this rank (4: NCHW, 3: CHW, 2: NC, 1: C)."""
    return {0: "", 1: "C", 2: "NC", 3: "CHW", 4: "NCHW", 5: "NCDHW"}.get(rank, "N" * rank)


@dataclass(frozen=True)
class InputRequest:
    """What the user asks of one input; None leaves it to the source's own declaration.

    Attributes: as in `TensorSpec`.
    """

    shape: tuple[int, ...] | None = None
    dtype: DType | None = None
    color: Color | None = None
    mean: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None
    value_range: tuple[float, float] | None = None
