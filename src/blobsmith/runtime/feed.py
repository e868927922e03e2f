"""From frames to the arrays that a model's inputs want.

Which input gets what is decided once, from names and specs, as an `InputPlan`:

* a picture gets a frame. With several pictures the first gets this frame, the second the one
  before, the third the one before that: `diff` sees what changed, `concat` three moments. A
  camera's first frame has none before it and stands in for them.
* a vector of at least 16 numbers gets a thumbnail of a frame, in the same order of frames.
* what is named like a mean or a scale gets ImageNet's, in BGR levels.
* any other input gets seeded noise in its declared range.

Each can be overridden: see `parse_feed`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import FrameError, UsageError
from ..tensors import TensorSpec
from .arrays import Array, cast, is_picture, thumbnail, to_array, value_range
from .samples import Image

Kind = Literal["frame", "source", "thumbnail", "constant", "noise"]

IMAGENET_MEAN = (103.53, 116.28, 123.675)
IMAGENET_SCALE = (57.375, 57.12, 58.395)
"""Mean and standard deviation of ImageNet's pictures in levels, in the order B, G, R."""
SMALLEST_THUMBNAIL = 16


@dataclass(frozen=True)
class InputFeed:
    """What one input gets.

    Attributes:
        name: of the input.
        kind: "frame" (a frame of the run's source), "source" (of a source of its own),
            "thumbnail" (a frame shrunk to a vector), "constant", "noise".
        back: for frames and thumbnails: 0 this one, 1 the one before, ...
        path: for "source": what to open.
        values: for "constant": flat, one number for all or one for each element.
        seed: for "noise".
        why: one clause for the user.
    """

    name: str
    kind: Kind
    back: int = 0
    path: str = ""
    values: tuple[float, ...] = ()
    seed: int = 0
    why: str = ""


@dataclass(frozen=True)
class InputPlan:
    """What each input gets, in the order of the model's inputs."""

    feeds: tuple[InputFeed, ...]

    @property
    def history(self) -> int:
        """How many frames have to be kept, this one included."""
        return 1 + max((feed.back for feed in self.feeds), default=0)

    def describe(self) -> tuple[str, ...]:
        """One line for each input, for the user."""
        return tuple(f"{feed.name}: {feed.why}" for feed in self.feeds)


def plan_inputs(
    specs: Sequence[TensorSpec], overrides: Mapping[str, str] | None = None
) -> InputPlan:
    """Decides what each input gets.

    Args:
        specs: the model's inputs, in order.
        overrides: input name to what the user wants, as `parse_feed` reads it.

    Raises:
        UsageError: an override names no input, or cannot be read.
        FrameError: an .npy file does not fit its input.
    """
    wanted = dict(overrides or {})
    unknown = sorted(set(wanted) - {spec.name for spec in specs})
    if unknown:
        raise UsageError(
            f"the model has no input {unknown[0]!r}",
            remedy=f"its inputs are {', '.join(spec.name for spec in specs)}",
        )
    feeds, pictures, vectors = [], 0, 0
    for spec in specs:
        feed = _default(spec, pictures, vectors)
        pictures += is_picture(spec)
        vectors += feed.kind == "thumbnail"
        if spec.name in wanted:
            feed = parse_feed(spec, wanted[spec.name], feed)
        feeds.append(feed)
    return InputPlan(tuple(feeds))


def _default(spec: TensorSpec, pictures: int, vectors: int) -> InputFeed:
    if is_picture(spec):
        return InputFeed(spec.name, "frame", pictures, why=_moment("frame", pictures))
    if spec.elements in (1, 3):
        for words, values in ((("mean",), IMAGENET_MEAN), (("scale", "std"), IMAGENET_SCALE)):
            if any(word in spec.name.lower() for word in words):
                flat = values if spec.elements == 3 else (sum(values) / 3,)
                return InputFeed(spec.name, "constant", values=flat, why=_numbers(flat))
    if sum(size > 1 for size in spec.shape) == 1 and spec.elements >= SMALLEST_THUMBNAIL:
        why = f"{_moment('frame', vectors)}, shrunk to {spec.elements} numbers"
        return InputFeed(spec.name, "thumbnail", vectors, why=why)
    seed = zlib.crc32(spec.name.encode())
    low, high = value_range(spec)
    return InputFeed(spec.name, "noise", seed=seed, why=f"noise from {low:g} to {high:g}")


def parse_feed(spec: TensorSpec, text: str, default: InputFeed) -> InputFeed:
    """What the user wants for one input.

    Args:
        spec: the input.
        text: "frame"; "previous" or "previous:N"; "noise" or "noise:SEED"; one number or one for
            each element, with commas; an .npy file; or a frame source of its own, as
            `sources.open_source` reads it.
        default: what the input would get otherwise.

    Raises:
        UsageError: the text means nothing, or the count of numbers is wrong.
        FrameError: the .npy file cannot be read or does not fit.
    """
    word, _, detail = text.partition(":")
    if word in ("frame", "previous") and (not detail or detail.isdigit()):
        back = int(detail or 1) if word == "previous" else 0
        if not is_picture(spec) and default.kind != "thumbnail":
            raise UsageError(f"the input {spec.name!r} {list(spec.shape)} cannot show a frame")
        kind: Kind = "frame" if is_picture(spec) else "thumbnail"
        return InputFeed(spec.name, kind, back, why=_moment("frame", back))
    if word == "noise" and (not detail or detail.isdigit()):
        low, high = value_range(spec)
        why = f"noise from {low:g} to {high:g}"
        return InputFeed(spec.name, "noise", seed=int(detail or 0), why=why)
    numbers = _floats(text)
    if numbers is not None:
        if len(numbers) not in (1, spec.elements):
            raise UsageError(
                f"the input {spec.name!r} takes {spec.elements} numbers, {len(numbers)} given",
                remedy="give one number for all, or as many as the input has, with commas",
            )
        return InputFeed(spec.name, "constant", values=numbers, why=_numbers(numbers))
    if text.endswith(".npy"):
        return InputFeed(spec.name, "constant", values=_npy(spec, Path(text)), why=text)
    if is_picture(spec):
        return replace(default, kind="source", back=0, path=text, why=f"frames of {text}")
    raise UsageError(
        f"{text!r} is nothing that the input {spec.name!r} can be fed with",
        remedy="give numbers with commas, an .npy file, or noise",
    )


def feeds(
    plan: InputPlan,
    specs: Sequence[TensorSpec],
    history: Sequence[Image],
    others: Mapping[str, Image] | None = None,
    index: int = 0,
) -> dict[str, Array]:
    """The arrays of one step.

    Args:
        plan: what each input gets.
        specs: the model's inputs.
        history: frames, newest first; where too few, the oldest stands in.
        others: input name to the frame of its own source.
        index: number of the step, which varies the noise.

    Returns:
        Input name to an array of the spec's shape and dtype.
    """
    arrays: dict[str, Array] = {}
    for feed, spec in zip(plan.feeds, specs, strict=True):
        if feed.kind in ("frame", "thumbnail"):
            frame = history[min(feed.back, len(history) - 1)]
            arrays[spec.name] = (to_array if feed.kind == "frame" else thumbnail)(frame, spec)
        elif feed.kind == "source":
            arrays[spec.name] = to_array((others or {})[spec.name], spec)
        elif feed.kind == "constant":
            values = np.array(feed.values, np.float64)
            arrays[spec.name] = cast(np.resize(values, spec.elements).reshape(spec.shape), spec)
        else:
            low, high = value_range(spec)
            noise = np.random.default_rng((feed.seed, index)).uniform(low, high, spec.shape)
            arrays[spec.name] = cast(noise, spec)
    return arrays


def _moment(what: str, back: int) -> str:
    return {0: f"this {what}", 1: f"the {what} before"}.get(back, f"the {what} {back} before")


def _numbers(values: Sequence[float]) -> str:
    return "constant " + ", ".join(f"{value:g}" for value in values[:4])


def _floats(text: str) -> tuple[float, ...] | None:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        return None
    return values if all(math.isfinite(value) for value in values) else None


def _npy(spec: TensorSpec, path: Path) -> tuple[float, ...]:
    try:
        array = np.load(path, allow_pickle=False)
        values = np.asarray(array, dtype=np.float64)
    except (OSError, ValueError, TypeError) as error:
        raise FrameError(
            f"the file for the input {spec.name!r} cannot be read: {error}",
            where=str(path),
            remedy="write it with numpy.save",
        ) from error
    if values.size != spec.elements:
        raise FrameError(
            f"the file for the input {spec.name!r} has the shape {list(array.shape)}",
            where=str(path),
            remedy=f"give an array of {list(spec.shape)}",
        )
    return tuple(values.ravel().tolist())
