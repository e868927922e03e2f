"""The user's own FP32 function on frames that make its outputs vary: what a blob is held to."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import SourceError
from .tensors import NUMPY_NAMES, TensorSpec

if TYPE_CHECKING:
    import numpy as np

    from .model import Model

    Array = np.ndarray[Any, Any]
    Feeds = dict[str, Array]

_GRAIN = 4 / 255  # of the gradient's noise
_SPECKS = 0.01  # share of a stepped frame
_CHANNEL_AXES = {"NCHW": 1, "CHW": 0, "NHWC": 3, "HWC": 2}


def frames_for(
    specs: Sequence[TensorSpec], *, seed: int = 0, photograph: bool = True
) -> list[Feeds]:
    """Input sets at the blob's boundary: noise, a photograph, a gradient, all low, all high, steps.

    The gradient carries a little noise, as every sensor's picture of one does: on an exact ramp a
    function that compares neighbours is decided by the rounding of FP32 itself. The steps go from
    the lowest to the highest value, along an edge and around specks: what noise and a photograph
    average out is as large there as it gets.

    Args:
        specs: the inputs; U8 in 0..255, floating-point ones in their `value_range`, or -1..1.
        seed: of the noise; every input gets noise of its own.
        photograph: include the photograph (taken from an installed scikit-image; without it a
            synthetic scene of edges and shades stands in).
    """
    import numpy as np

    sets: list[Feeds] = []
    kinds = ["noise", "photograph", "gradient", "low", "high", "steps"]
    for number, kind in enumerate(kinds):
        if kind == "photograph" and not photograph:
            continue
        feeds: Feeds = {}
        for index, spec in enumerate(specs):
            low, high = _range(spec)
            unit = _unit(kind, spec.shape, np.random.default_rng([seed, number, index]), index)
            values = low + unit * (high - low)
            dtype = np.dtype(NUMPY_NAMES[spec.dtype])
            feeds[spec.name] = (np.round(values) if dtype.kind in "ui" else values).astype(dtype)
        sets.append(feeds)
    return sets


def _range(spec: TensorSpec) -> tuple[float, float]:
    if spec.value_range is not None:
        return spec.value_range
    return (0.0, 255.0) if spec.dtype in ("u8", "i32") else (-1.0, 1.0)


def _unit(kind: str, shape: tuple[int, ...], rng: np.random.Generator, index: int) -> Array:
    import numpy as np

    if kind == "low":
        return np.zeros(shape)
    if kind == "high":
        return np.ones(shape)
    if kind == "noise" or len(shape) < 2 or min(shape[-2:]) < 4:
        return rng.random(shape)
    if kind == "steps":
        edge = np.arange(shape[-1]) >= shape[-1] // 2 + 3 * index
        specks = rng.random(shape[-2:]) > 1 - _SPECKS
        return np.broadcast_to(edge ^ specks, shape).astype(np.float64)
    if kind == "gradient":
        rows = np.linspace(0, 1, shape[-2])[:, None]
        columns = np.linspace(0, 1, shape[-1])[None, :]
        ramp = (rows + (index + 1) * columns) / (index + 2)
        grain = rng.uniform(-_GRAIN, _GRAIN, shape)
        spread: Array = np.clip(np.broadcast_to(ramp, shape) + grain, 0, 1)
        return spread
    return _photograph(shape, index)


def _photograph(shape: tuple[int, ...], index: int) -> Array:
    """A photograph of the wanted size, a different one for each input."""
    import cv2
    import numpy as np

    height, width = shape[-2:]
    picture = cv2.resize(_picture(index), (width, height), interpolation=cv2.INTER_AREA)
    planes: Array = np.moveaxis(picture, -1, 0).astype(np.float64) / 255.0
    repeats = -(-int(np.prod(shape[:-2])) // 3)
    stacked: Array = np.concatenate([planes] * repeats)[: int(np.prod(shape[:-2]))]
    shaped: Array = stacked.reshape(shape)
    return shaped


def _picture(index: int) -> Array:
    """A photograph inside an installed scikit-image, which is not imported; else a drawn scene."""
    import importlib.util
    from pathlib import Path

    import cv2

    spec = importlib.util.find_spec("skimage")
    name = ("astronaut.png", "coffee.png", "chelsea.png")[index % 3]
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        picture: Array | None = cv2.imread(str(Path(folder) / "data" / name), cv2.IMREAD_COLOR)
        if picture is not None:
            return picture
    return _scene(index)


def _scene(index: int) -> Array:
    import cv2
    import numpy as np

    rng = np.random.default_rng([7, index])
    scene: Array = np.zeros((384, 512, 3), np.uint8)
    scene[:] = np.linspace(40, 200, 512).astype(np.uint8)[None, :, None]
    for _ in range(40):
        center = (int(rng.integers(0, 512)), int(rng.integers(0, 384)))
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        cv2.circle(scene, center, int(rng.integers(5, 70)), color, -1, cv2.LINE_AA)
    noise = rng.normal(0, 6, scene.shape)
    finished: Array = np.clip(cv2.GaussianBlur(scene, (3, 3), 0) + noise, 0, 255)
    return finished.astype(np.uint8)


def user_view(spec: TensorSpec, array: Array) -> Array:
    """What the user's function is given for a frame at the blob's boundary, in FP32.

    Frames are planar BGR; a function that expects RGB gets the channels swapped, then the mean is
    subtracted and the result divided by the scale. This is written apart from the graph's own
    preprocessing on purpose: a swap lost there shows as a difference here.
    """
    import numpy as np

    values = np.asarray(array).astype(np.float32)
    axis = _CHANNEL_AXES.get(spec.layout, 1 if values.ndim == 4 else 0)
    if spec.color == "rgb" and values.ndim > axis and values.shape[axis] == 3:
        values = np.flip(values, axis).copy()
    shape = [1] * values.ndim
    for constant, operation in ((spec.mean, np.subtract), (spec.scale, np.divide)):
        if constant is not None:
            vector = np.asarray(constant, np.float32)
            if vector.size > 1:
                shape[axis] = vector.size
            values = operation(values, vector.reshape(shape if vector.size > 1 else ()))
    return values


def module_outputs(model: Model, frames: Sequence[Mapping[str, Array]]) -> list[Feeds]:
    """Runs the user's torch module on frames at the blob's boundary.

    Raises:
        SourceError: the module fails, or gives other outputs than the model has.
    """
    import torch

    from .sources import flatten_outputs

    results: list[Feeds] = []
    names = [spec.name for spec in model.outputs]
    with torch.no_grad(), contextlib.redirect_stdout(sys.stderr):  # the function may print
        for frame in frames:
            arguments = [torch.from_numpy(user_view(s, frame[s.name])) for s in model.inputs]
            try:
                found = flatten_outputs(model.module(*arguments))
            except Exception as error:
                raise SourceError(
                    f"the function fails on a test frame: {error}", where=model.origin
                ) from error
            arrays = [value.detach().float().numpy().copy() for value in found]
            if len(arrays) != len(names):
                raise SourceError(
                    f"the function gives {len(arrays)} outputs, the export {len(names)}",
                    where=model.origin,
                )
            results.append(dict(zip(names, arrays, strict=True)))
    return results


def onnx_outputs(
    run: Callable[[Mapping[str, Array]], Mapping[str, Array]],
    model: Model,
    frames: Sequence[Mapping[str, Array]],
) -> list[Feeds]:
    """Runs the user's own ONNX on frames at the blob's boundary.

    Args:
        run: feeds to outputs, FP32.
        model: the model as the user gave it, before any preprocessing was put into the graph.
        frames: input sets.

    Returns:
        The function's results: an output that holds them times a factor is divided by it.
    """
    factors = {s.name: s.decoding.factor for s in model.outputs if s.decoding.factor != 1.0}
    found = []
    for frame in frames:
        feeds = {spec.name: user_view(spec, frame[spec.name]) for spec in model.inputs}
        outputs = run(feeds)
        found.append({n: v / factors[n] if n in factors else v for n, v in outputs.items()})
    return found
