"""Functions whose blobs the study of the cost model priced, as graphs that do not change.

The study (docs/cost-model.md) priced what Kornia 0.9.0 exports; other releases write the same
functions otherwise. `python -m tests.recipes` writes the graphs, with PyTorch 2.13.0, Kornia 0.9.0
and onnxsim 0.6.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SMALL = (1, 3, 120, 160)


@dataclass(frozen=True)
class Recipe:
    """A function through the plain recipe, and what the study says of its blob at 8 shaves.

    Attributes:
        name: of the function.
        function: makes one frame of another.
        shape: of its frame.
        stages: of the blob, with the copies that the runtime adds.
        total, engine, memory: predicted milliseconds; None where the study does not say.
    """

    name: str
    function: Callable[..., Any]
    shape: tuple[int, ...]
    stages: int
    total: float
    engine: float = 0.0
    memory: float | None = None

    @property
    def file(self) -> Path:
        """The graph as the study's versions export it."""
        return Path(__file__).parent / f"{self.name.replace(' ', '_')}.onnx"


def _kornia(path: str, *arguments: Any) -> Callable[[Any], Any]:
    def call(frame: Any) -> Any:
        from importlib import import_module

        module, _, name = path.rpartition(".")
        return getattr(import_module(f"kornia.{module}"), name)(frame, *arguments)

    return call


def _grey(frame: Any) -> Any:
    return _kornia("color.rgb_to_grayscale")(frame / 255.0)


def _harris(frame: Any) -> Any:
    return _kornia("feature.harris_response")(_grey(frame))


def _max_pool(frame: Any) -> Any:
    import torch

    return torch.nn.functional.max_pool2d(frame, 3, 1, 1)


BLUR = _kornia("filters.gaussian_blur2d", (9, 9), (2.5, 2.5))
RECIPES = [
    Recipe("gaussian 9x9 at 300x300", BLUR, (1, 3, 300, 300), 15, 8.00, 6.91, 0.63),
    Recipe("gaussian 9x9 at 120x160", BLUR, SMALL, 12, 1.93, 1.47, 0.09),
    Recipe("sobel", _kornia("filters.sobel"), SMALL, 13, 1.52, 0.74, 0.38),
    Recipe("laplacian 5", _kornia("filters.laplacian", 5), SMALL, 13, 1.25, 0.0, 0.85),
    Recipe("harris", _harris, SMALL, 37, 2.99, 1.39, 0.46),
    Recipe("grey", _grey, SMALL, 10, 0.54),
    Recipe("padded 3x3 max pool", _max_pool, SMALL, 81, 2.58),
    Recipe("edge at 300x300", _kornia("filters.laplacian", 3), (1, 3, 300, 300), 9, 2.85),
]


def export(function: Callable[..., Any], *shapes: Sequence[int]) -> bytes:
    """The tutorial's recipe: TorchScript export at opset 12, then onnxsim."""
    import onnx
    import torch
    from onnxsim import simplify

    class Wrapped(torch.nn.Module):
        def forward(self, *frames: Any) -> Any:
            return function(*frames)

    module = function.eval() if isinstance(function, torch.nn.Module) else Wrapped()
    buffer = io.BytesIO()
    frames = tuple(torch.rand(shape) * 255 for shape in shapes)
    names = [f"x{i}" for i in range(len(shapes))]
    options: dict[str, Any] = {"opset_version": 12, "dynamo": False, "output_names": ["output"]}
    torch.onnx.export(module, frames, buffer, input_names=names, **options)
    proto, _ = simplify(onnx.load_model_from_string(buffer.getvalue()))
    data: bytes = proto.SerializeToString()
    return data
