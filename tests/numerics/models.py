"""Functions that leave FP16's range, as users write them."""

# mypy: allow-subclassing-any
from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import kornia
import numpy as np
import torch
from torch import Tensor, nn

from blobsmith import sources
from blobsmith.graph import lines, simplify
from blobsmith.model import Model
from blobsmith.tensors import InputRequest, TensorSpec

GREY = (1, 1, 96, 128)
VECTORS = Path(__file__).parents[1] / "zoo" / "cosine_vectors.json"


class Harris(nn.Module):
    """Kornia's Harris response on levels 0..255, nothing scaled."""

    def forward(self, image: Tensor) -> Tensor:
        return kornia.feature.harris_response(image)


class Corners(nn.Module):
    """The same written out, so that every step has its own line."""

    def forward(self, image: Tensor) -> Tensor:
        gradients = kornia.filters.spatial_gradient(image)
        dx, dy = gradients[:, :, 0], gradients[:, :, 1]
        ixx = kornia.filters.gaussian_blur2d(dx * dx, (7, 7), (1.0, 1.0))
        iyy = kornia.filters.gaussian_blur2d(dy * dy, (7, 7), (1.0, 1.0))
        determinant = ixx * iyy
        return determinant / 4


class Cosine(nn.Module):
    """Cosine similarity without a thought of FP16."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        product = torch.sum(a * b, dim=1, keepdim=True)
        squares = torch.sum(a * a, dim=1, keepdim=True) * torch.sum(b * b, dim=1, keepdim=True)
        return product / torch.sqrt(squares)


class ScaledCosine(nn.Module):
    """The scaling by 1000 that users report for it."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        product = torch.sum(a * b, dim=1, keepdim=True)
        first = torch.sum(a * a, dim=1, keepdim=True) / 1000
        second = torch.sum(b * b, dim=1, keepdim=True) / 1000
        return product / torch.sqrt(first * second)


class TinyKernel(nn.Module):
    """A large box filter on levels 0..1: 1/255 and 1/121 together are below FP16's range."""

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.conv2d(image / 255, torch.full((1, 1, 11, 11), 1 / 121), padding=5)


class Guarded(nn.Module):
    """A local contrast whose guard against 0 the compiler drops."""

    def forward(self, image: Tensor) -> Tensor:
        low = kornia.filters.box_blur(image, (3, 3))
        return (image - low).abs() / (low + 1e-6)


def export(module: nn.Module, shapes: dict[str, InputRequest]) -> Model:
    """The simplified graph of a module, with source lines."""
    model = sources.load(module.eval(), inputs=shapes)
    small = simplify.simplify(model.proto).proto
    return model.with_graph(lines.inherit(model.proto, small))


@cache
def image_model(kind: type[nn.Module], shape: tuple[int, ...] = GREY) -> Model:
    """A module on one U8 image."""
    return export(kind(), {"image": InputRequest(shape=shape, dtype="u8")})


@cache
def vector_model(kind: type[nn.Module], reach: float) -> Model:
    """A module on two FP16 vectors of 256 elements."""
    request = InputRequest(shape=(1, 256), dtype="fp16", value_range=(-reach, reach))
    return export(kind(), {"a": request, "b": request})


def vectors(scale: float) -> dict[str, np.ndarray]:
    """The two published vectors, multiplied."""
    data = json.loads(VECTORS.read_text())
    return {n: np.asarray(data[n], np.float32)[None] * np.float32(scale) for n in ("a", "b")}


def photo(shape: tuple[int, ...]) -> np.ndarray:
    """A photograph in an input's shape, levels 0..255."""
    from blobsmith.numerics.frames import standard

    spec = TensorSpec("image", shape, "u8")
    frames = {frame.label: frame.feeds["image"] for frame in standard([spec])}
    return np.asarray(frames["camera"], np.float32)
