"""The pictures of one zoo model: there, and with the outputs in them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from blobsmith import zoo
from blobsmith.runtime import samples
from blobsmith.runtime.demo import demo_photos, demo_sequence, fade, run_demo_model
from blobsmith.zoo import ZooEntry

from .models import FunctionEngine


def engine_of(entry: ZooEntry) -> FunctionEngine:
    """The zoo module itself, in torch."""
    import torch

    module = entry.factory()

    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = [torch.from_numpy(feeds[s.name].astype(np.float32)) for s in entry.inputs]
        with torch.no_grad():
            result = module(*tensors)
        results = result if isinstance(result, tuple) else (result,)
        return {s.name: r.numpy() for s, r in zip(entry.outputs, results, strict=True)}

    return FunctionEngine(run, entry.inputs, entry.outputs)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", zoo.names())
def test_pictures_of_each_model(name: str, tmp_path: Path) -> None:
    entry = zoo.get(name, None if name == "cosine" else (48, 64))
    photos, sequence = demo_photos(2), demo_sequence(4, 64)
    written = run_demo_model(engine_of(entry), entry, tmp_path, photos, sequence)
    assert [path.name for path in written] == [f"{name}.png", f"{name}-motion.webp"]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    still = cv2.imread(str(written[0]))
    assert min(still.shape[:2]) > 300
    good, animation = cv2.imreadanimation(str(written[1]))
    assert good
    assert len(animation.frames) == 4
    assert not np.array_equal(animation.frames[0], animation.frames[2])


def test_faded_photographs_have_room_to_stretch() -> None:
    faded = fade(np.array([[[0, 128, 255]]], np.uint8))
    assert faded.tolist() == [[[77, 125, 172]]]


def test_without_photographs_drawn_scenes_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "find_spec", lambda name: None)
    assert len(demo_photos(2)) == 2
    assert [frame.shape for frame in demo_sequence(3, 40)] == [(40, 40, 3)] * 3
