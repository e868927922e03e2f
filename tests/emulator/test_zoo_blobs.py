"""The zoo, compiled, on noise: against the modules themselves, at several numbers of shaves."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from blobsmith import zoo
from blobsmith.blob import Blob
from blobsmith.emulator import Emulator
from tests.zoo import exported

from .models import hw_on_off, model, node, ulp

pytestmark = pytest.mark.usefixtures("toolchain")

COSINE = json.loads((Path(__file__).parents[1] / "zoo" / "cosine_vectors.json").read_text())
"""The two 256-vectors published with Luxonis' tutorial, and what a camera answered."""

MOST = {"concat": 0.0, "diff": 0.0, "edge": 0.07, "sobel": 0.09, "blur": 0.13}
"""Largest error in grey levels, at 300x300 (diff 720x720), hardware acceleration on and off."""


@cache
def recipe(name: str) -> bytes:
    return exported.recipe(zoo.get(name))


def noise(name: str, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        spec.name: rng.integers(0, 256, spec.shape, dtype=np.uint8) for spec in zoo.get(name).inputs
    }


def expected(name: str, frames: dict[str, np.ndarray]) -> np.ndarray:
    made = exported.run(zoo.get(name), [a.astype(np.float32) for a in frames.values()])
    return made["output"].astype(np.float64)


@pytest.mark.parametrize("name", MOST)
def test_noise_within_the_promised_error(name: str) -> None:
    frames = noise(name)
    wanted = expected(name, frames)
    for blob in hw_on_off(recipe(name), dict.fromkeys(frames, "u8"), {}):
        result = Emulator(blob).run(frames)
        assert result.warnings == ()
        assert result["output"].dtype == np.float16
        assert np.abs(result["output"].astype(np.float64) - wanted).max() <= MOST[name]
    assert np.ptp(wanted) > 80


@pytest.mark.parametrize("name", ["blur", "sobel", "edge"])
def test_the_number_of_shaves_changes_nothing(name: str) -> None:
    from blobsmith.myriad import CompileOptions
    from blobsmith.myriad.compile import compile_variants

    frames = noise(name, seed=1)
    options = [CompileOptions(shaves=n, inputs={"image": "u8"}) for n in (1, 4, 6, 8, 16)]
    blobs = [Blob.from_bytes(made) for made in compile_variants(recipe(name), options)]
    assert [blob.shaves for blob in blobs] == [1, 4, 6, 8, 16]
    first, *others = (Emulator(blob).run(frames)["output"].astype(np.float64) for blob in blobs)
    for other in others:
        assert (np.abs(other - first) <= ulp(first)).all()


def test_harris_on_whole_levels_overflows_and_says_so() -> None:
    """The response is of the fourth degree: 255^4 does not fit, 1^4 does."""
    from blobsmith.zoo.harris import Harris

    class Raw(Harris):
        def forward(self, image):  # type: ignore[no-untyped-def]
            return super().forward(image * 255)

    import io

    import torch

    stream = io.BytesIO()
    torch.onnx.export(
        Raw(), (torch.rand(1, 3, 64, 64),), stream, input_names=["image"],
        output_names=["output"], opset_version=12, dynamo=False,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (1, 3, 64, 64), dtype=np.uint8)
    for blob in hw_on_off(stream.getvalue(), {"image": "u8"}, {}):
        result = Emulator(blob).run({"image": frame})
        assert not np.isfinite(result["output"]).all()
        assert {w.kind for w in result.warnings} >= {"overflow", "inherited"}


@pytest.mark.parametrize("shape", [(256,), (1, 256)])
def test_the_tutorials_cosine_agrees_with_the_chip(shape: tuple[int, ...]) -> None:
    """a.b / sqrt((a.a / 1000) * (b.b / 1000)); the published answer of a camera is 294.25."""
    thousand, axis = np.float32(1000), np.array([len(shape) - 1])
    nodes = []
    for name, product in (("ab", "a b"), ("aa", "a a"), ("bb", "b b")):
        nodes += [
            node("Mul", product, f"p{name}"),
            node("ReduceSum", f"p{name} axis", name, keepdims=1),
        ]
    nodes += [
        node("Div", "aa k", "da"), node("Div", "bb k", "db"), node("Mul", "da db", "m"),
        node("Sqrt", "m", "s"), node("Div", "ab s", "output"),
    ]  # fmt: skip
    inputs, out = {"a": shape, "b": shape}, (*shape[:-1], 1)
    data = model(nodes, inputs, {"output": out}, {"k": thousand, "axis": axis})
    vectors = {name: np.array(COSINE[name], np.float16).reshape(shape) for name in "ab"}
    for blob in hw_on_off(data, {"a": "fp16", "b": "fp16"}, {}):
        result = Emulator(blob).run(vectors)
        answer = float(result["output"].squeeze())
        assert abs(answer - COSINE["on_the_chip"]) <= ulp(np.array(COSINE["on_the_chip"]))
        assert result.warnings == ()
