"""The pictures of one zoo model: photographs in and out, and a short moving sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ..errors import EnvironmentFault
from ..zoo.catalogue import ZooEntry
from . import samples
from .arrays import is_picture
from .compose import input_tiles, output_tiles, points_tile, side_by_side, stack
from .engines import Engine
from .feed import InputPlan, plan_inputs
from .loop import Step, steps
from .samples import Image
from .sinks import open_sink, write_picture
from .sources import Frame

MOTION_FPS = 12.0
TILE = 300
_ROWS = 3
_FADED = {"contrast"}
"""Models whose photographs are faded first: with black and white in them nothing would change."""
_MOMENTS = {"diff"}
"""Models whose inputs are moments of one scene; others with several pictures get several scenes."""


def demo_photos(count: int = _ROWS) -> list[Image]:
    """Photographs for `run_demo_model`; drawn scenes where none are installed."""
    try:
        return [samples.load(photo) for photo in samples.photos()[:count]]
    except EnvironmentFault:
        return list(samples.drawn_frames(640, 480, count, shot=count))


def demo_sequence(count: int = 32, side: int = 480) -> list[Image]:
    """A short moving sequence for `run_demo_model`, square, over two photographs."""
    shot = max(1, count // 2)
    try:
        return list(samples.sample_frames(side, side, count, shot))
    except EnvironmentFault:
        return list(samples.drawn_frames(side, side, count, shot))


def run_demo_model(
    engine: Engine,
    entry: ZooEntry,
    out_dir: Path,
    photos: Sequence[Image],
    sequence: Sequence[Image],
) -> list[Path]:
    """Runs one zoo model on photographs and on a moving sequence, and leaves pictures.

    Args:
        engine: the entry's model, compiled or not.
        entry: for its name and summary.
        out_dir: where NAME.png (a row for each photograph) and NAME-motion.webp (or .mp4 with an
            OpenCV before 4.11) go.
        photos: BGR pictures of any size; cut to the inputs' shape.
        sequence: BGR frames in order.

    Returns:
        The files written.

    Raises:
        EnvironmentFault: the pictures cannot be written.
        FrameError: the outputs do not fit the engine's specs.
    """
    still = out_dir / f"{entry.name}.png"
    write_picture(still, photo_sheet(engine, entry, photos, sequence))
    return [still, *_motion(engine, entry, out_dir, sequence)]


def photo_sheet(
    engine: Engine, entry: ZooEntry, photos: Sequence[Image], sequence: Sequence[Image]
) -> Image:
    """One row for each photograph: what went in, what came out, labelled. Args as above."""
    width, height = _frame_size(engine)
    plan = plan_inputs(engine.inputs)
    scenes: list[list[Image]]
    if entry.name in _MOMENTS:
        scenes = _moments(sequence, plan.history)
    else:
        views = [samples.view(photo, width, height) for photo in photos]
        if entry.name in _FADED:
            views = [fade(view) for view in views]
        scenes = [
            [views[(first + back) % len(views)] for back in range(plan.history)]
            for first in range(len(views))
        ]
        if plan.history > 2:
            scenes = scenes[:1]
        elif plan.history == 2:
            scenes = [*_moments(sequence, 2)[:1], *scenes[:1]]
    rows: list[Image] = []
    for history in scenes[:_ROWS]:
        frames = (Frame(index, image, "") for index, image in enumerate(reversed(history)))
        step = list(steps(engine, frames, plan))[-1]
        title = "" if rows else f"{entry.name}: {entry.summary} ({engine.name})"
        rows.append(_row(step, engine, plan, entry, title))
    return stack(rows)


def fade(image: Image) -> Image:
    """The picture with its levels pressed into 77 to 172, as through haze."""
    return np.asarray(np.rint(image * np.float32(95 / 255) + 77), np.uint8)


def _row(step: Step, engine: Engine, plan: InputPlan, entry: ZooEntry, title: str) -> Image:
    shapes = {spec.name: f"{'x'.join(map(str, spec.shape))} {spec.dtype}" for spec in engine.inputs}
    inputs = input_tiles(step.feeds, engine.inputs, shapes, step.shown)
    if entry.name in _FADED:
        inputs = [replace(tile, detail=f"{tile.detail}, faded first") for tile in inputs]
    outputs = output_tiles(step.outputs)
    if inputs and is_picture(engine.inputs[0]):
        points = (points_tile(inputs[0].image, output) for output in step.outputs)
        outputs += [tile for tile in points if tile is not None]
    return side_by_side(inputs, outputs, title=title, height=TILE)


def _moments(sequence: Sequence[Image], history: int) -> list[list[Image]]:
    """Two moments of the sequence, a quarter and three quarters on, newest frame first."""
    chosen = []
    for share in (0.25, 0.75):
        newest = max(history - 1, int(len(sequence) * share))
        chosen.append([sequence[max(0, newest - back)] for back in range(history)])
    return chosen


def _motion(
    engine: Engine, entry: ZooEntry, out_dir: Path, sequence: Sequence[Image]
) -> list[Path]:
    suffix = ".webp" if hasattr(cv2, "imwriteanimation") else ".mp4"
    pictures = [fade(image) for image in sequence] if entry.name in _FADED else list(sequence)
    sink = open_sink(out_dir / f"{entry.name}-motion{suffix}", fps=MOTION_FPS)
    plan = plan_inputs(engine.inputs)
    with sink:
        frames = (Frame(index, image, "") for index, image in enumerate(pictures))
        for step in steps(engine, frames, plan):
            sink.write(_row(step, engine, plan, entry, f"{entry.name} ({engine.name})"))
    return list(sink.paths)


def _frame_size(engine: Engine) -> tuple[int, int]:
    """Width and height of the first picture input; (300, 300) where there is none."""
    for spec in filter(is_picture, engine.inputs):
        sizes = dict(zip(spec.layout, spec.shape, strict=True))
        return sizes["W"], sizes["H"]
    return 300, 300
