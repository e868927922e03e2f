"""From NNData of both generations to pictures, masks and numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from blobsmith.blob import Blob
from blobsmith.errors import FrameError
from blobsmith.oak.decode import decode_outputs, outputs_to_frames
from blobsmith.oak.messages import tensor_message
from blobsmith.packaging.artifact import artifact_from_bytes
from blobsmith.tensors import Decoding, TensorSpec

from ..zoo_blobs import blobs, manifest


@dataclass
class Layer:
    """v2's TensorInfo, as far as it is read."""

    name: str
    offset: int
    dims: list[int]


class NNDataV2:
    """v2's NNData as it comes from a camera: one buffer, and where each layer lies in it.

    (The real class cannot be filled on the host: what is set there cannot be read back.)
    """

    def __init__(self, tensors: dict[str, Any]) -> None:
        self.data, self.layers = b"", []
        for name, array in tensors.items():
            self.layers.append(Layer(name, len(self.data), list(array.shape[::-1])))
            self.data += array.tobytes() + bytes(-array.nbytes % 64)

    def getAllLayerNames(self) -> list[str]:  # noqa: N802
        return [layer.name for layer in self.layers]

    def getAllLayers(self) -> list[Layer]:  # noqa: N802
        return self.layers

    def getData(self) -> Any:  # noqa: N802
        return np.frombuffer(self.data, np.uint8)


GENERATIONS = pytest.mark.parametrize("message", [tensor_message, NNDataV2], ids=["v3", "v2"])
PICTURE = TensorSpec("p", (1, 3, 2, 4), "fp16", "NCHW", "bgr", decoding=Decoding("image", 2.0, 10))
MASK = TensorSpec("m", (2, 4), "fp16", "HW", "gray", decoding=Decoding("mask"))
RESPONSE = TensorSpec("r", (1, 1, 2, 4), "fp16", "NCHW", "gray", decoding=Decoding("map"))
VECTOR = TensorSpec("v", (3,), "fp16", "C", decoding=Decoding("vector"))


def counting(spec: TensorSpec) -> Any:
    return np.arange(spec.elements, dtype=np.float16).reshape(spec.shape)


@GENERATIONS
def test_pictures_masks_maps_and_vectors(message: Any) -> None:
    specs = (PICTURE, MASK, RESPONSE, VECTOR)
    tensors = {spec.name: counting(spec) for spec in specs}
    tensors["m"] = np.float16([[0, 1, 0, 255], [0.4, 0.6, 0, 0]])
    frames = outputs_to_frames(message(tensors), specs)
    levels = 2.0 * counting(PICTURE)[0].transpose(1, 2, 0) + 10
    assert np.array_equal(frames["p"], levels.astype(np.uint8))
    assert np.array_equal(frames["m"][..., 0] == 255, [[0, 1, 0, 1], [0, 1, 0, 0]])
    assert frames["r"].shape == (2, 4, 3)
    assert frames["r"][1, 3].astype(int).sum() > frames["r"][0, 0].astype(int).sum()
    assert frames["v"].tolist() == [0, 1, 2]
    assert {name: frame.dtype.name for name, frame in frames.items()} == {
        "p": "uint8", "m": "uint8", "r": "uint8", "v": "float32",
    }  # fmt: skip


@GENERATIONS
def test_a_recorded_factor_is_taken_out(message: Any) -> None:
    scaled = replace(VECTOR, decoding=Decoding("vector", factor=0.25))
    assert outputs_to_frames(message({"v": np.float16([1, 2, 4])}), [scaled])["v"].tolist() == [
        4, 8, 16,
    ]  # fmt: skip


@GENERATIONS
def test_levels_are_clipped_not_wrapped(message: Any) -> None:
    values = np.float16([[-300, 300], [0, 65504]]).reshape(1, 1, 2, 2)
    spec = TensorSpec("p", (1, 1, 2, 2), "fp16", "NCHW", "gray", decoding=Decoding("image"))
    assert outputs_to_frames(message({"p": values}), [spec])["p"][..., 0].tolist() == [
        [0, 255], [0, 255],
    ]  # fmt: skip


@GENERATIONS
@pytest.mark.parametrize("dtype", ["fp16", "fp32", "i32"])
def test_every_dtype_of_an_output(message: Any, dtype: Any) -> None:
    spec = TensorSpec("v", (3,), dtype, "C", decoding=Decoding("vector"))
    array = np.array([1, 2, 300]).astype({"fp16": "f2", "fp32": "f4", "i32": "i4"}[dtype])
    assert outputs_to_frames(message({"v": array}), [spec])["v"].tolist() == [1, 2, 300]


def test_what_describes_the_outputs() -> None:
    """The manifest, the opened file, and a bare blob, which knows shapes only."""
    blob = blobs("threshold")[6]
    told = manifest("threshold", blob, "blob")
    message = tensor_message({"output": np.full((1, 1, 24, 40), 255, np.float16)})
    for described in (told, artifact_from_bytes(blob, manifest=told)):
        assert (outputs_to_frames(message, described)["output"] == 255).all()
    decoded = decode_outputs(message, Blob.from_bytes(blob))[0]
    assert decoded.kind == "tensor"
    assert "not known" in decoded.note


@GENERATIONS
@pytest.mark.parametrize(
    ("tensors", "named"),
    [({"other": np.float16([1])}, "no output 'v'"), ({"v": np.float16([1, 2])}, "2 values")],
)
def test_messages_of_another_model(message: Any, tensors: Any, named: str) -> None:
    with pytest.raises(FrameError, match=named):
        outputs_to_frames(message(tensors), [VECTOR])
