"""Verification can fail: every change of a blob that changes its meaning is found."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import blobsmith
from blobsmith import zoo
from blobsmith.blob import Blob
from blobsmith.blob.records import Location
from blobsmith.errors import CheckFailed, UsageError
from blobsmith.packaging.artifact import Artifact, artifact_from_bytes, open_artifact
from blobsmith.tensors import InputRequest
from blobsmith.verification import verify_artifact

SIZE = (48, 64)


class Difference(torch.nn.Module):
    """Not symmetric in its inputs."""

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return first - 0.5 * second


class Steep(torch.nn.Module):
    """A scale and an offset with a clamp, as one value each."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image * 1.5 - 20).clamp(0, 255)


def built(source: object, tmp_path: Path, **options: object) -> Path:
    path = tmp_path / "m.blob"
    blobsmith.build(source, output=path, **options)  # type: ignore[arg-type]
    return path


@pytest.fixture
def blur(tmp_path: Path) -> Path:
    shapes = {"image": (1, 3, *SIZE)}
    return built("blur", tmp_path, inputs=shapes, optimize=False)


def changed(path: Path, data: bytes) -> Artifact:
    """The artifact with other bytes and everything else as its manifest says."""
    original = open_artifact(path)
    assert original.manifest is not None
    renewed = artifact_from_bytes(data, str(path))
    return replace(renewed, inputs=original.inputs, outputs=original.outputs,
                   manifest=original.manifest)  # fmt: skip


def constants(blob: Blob) -> list[tuple[int, int]]:
    """(offset in the file, bytes) of every FP16 constant operand of a stage."""
    found = set()
    for stage in blob.stages:
        for buffer in stage.buffers:
            if buffer.location == Location.BLOB and buffer.desc.dtype == "fp16":
                found.add((blob.const_offset + buffer.offset, buffer.desc.span))
    return sorted(found)


def test_what_was_built_is_right(blur: Path) -> None:
    found = verify_artifact(open_artifact(blur), "blur")
    assert found.passed
    assert found.frames >= 4
    assert found.outputs[0].typical_ulp <= 4


def test_one_changed_weight_is_found(blur: Path) -> None:
    data = bytearray(blur.read_bytes())
    offset, size = max(constants(Blob.from_bytes(bytes(data))), key=lambda pair: pair[1])
    weights = np.frombuffer(bytes(data[offset : offset + size]), np.float16).copy()
    largest = int(np.argmax(np.abs(weights)))
    weights[largest] *= 1.1
    data[offset : offset + size] = weights.tobytes()
    found = verify_artifact(changed(blur, bytes(data)), "blur")
    assert not found.passed


def test_two_swapped_channels_are_found(blur: Path) -> None:
    """A function that blurs RGB where the blob blurs BGR gives red where blue belongs."""
    artifact = open_artifact(blur)
    swapped = tuple(replace(spec, color="rgb") for spec in artifact.inputs)
    assert artifact.manifest is not None
    claimed = replace(artifact, inputs=swapped, manifest=replace(artifact.manifest, inputs=swapped))
    assert not verify_artifact(claimed, "blur").passed


def test_two_swapped_inputs_are_found(tmp_path: Path) -> None:
    shape = (1, 3, 16, 16)
    path = built(Difference(), tmp_path, inputs={"first": shape, "second": shape})
    data = path.read_bytes()
    swapped = data.replace(b"first\0", b"XXXXX\0").replace(b"second\0", b"first\0\0")
    swapped = swapped.replace(b"XXXXX\0\0", b"second\0")
    assert sorted(Blob.from_bytes(swapped).input_specs, key=str) != data
    assert {s.name for s in Blob.from_bytes(swapped).input_specs} == {"first", "second"}
    assert verify_artifact(open_artifact(path), Difference()).passed
    assert not verify_artifact(changed(path, swapped), Difference()).passed


def test_one_changed_stage_parameter_is_found(tmp_path: Path) -> None:
    path = built(Steep(), tmp_path, inputs={"image": (1, 3, *SIZE)})
    data = bytearray(path.read_bytes())
    blob = Blob.from_bytes(bytes(data))
    stage = next(s for s in blob.stages if s.type_name in ("Power", "Clamp"))
    at = stage.offset + 16
    for field in range(len(stage.params) // 4):
        (value,) = struct.unpack_from("<f", data, at + 4 * field)
        if np.isfinite(value) and abs(value) > 1e-3:
            struct.pack_into("<f", data, at + 4 * field, value * 1.05)
            break
    assert not verify_artifact(changed(path, bytes(data)), Steep()).passed


def test_another_function_is_found(blur: Path) -> None:
    found = verify_artifact(open_artifact(blur), "edge")
    assert not found.passed
    with pytest.raises(CheckFailed):
        found.require()


def test_another_signature_is_told(blur: Path) -> None:
    with pytest.raises(UsageError, match="no input 'image'"):
        verify_artifact(open_artifact(blur), "diff")
    three = {name: InputRequest(shape=(1, 3, 8, 8)) for name in ("img1", "img2", "img3")}
    with pytest.raises(CheckFailed, match="other inputs"):
        verify_artifact(open_artifact(blur), "concat", inputs=three)


def test_another_size_is_told(blur: Path) -> None:
    with pytest.raises(CheckFailed, match="is 1x3x48x64, and 1x3x8x8 was asked for"):
        verify_artifact(open_artifact(blur), "blur", inputs={"image": InputRequest((1, 3, 8, 8))})


def test_user_frames_are_verified_too(blur: Path, tmp_path: Path) -> None:
    import cv2

    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    plain = verify_artifact(open_artifact(blur), "blur").frames
    assert verify_artifact(open_artifact(blur), "blur", frames=folder).frames == plain + 3


@pytest.mark.parametrize("name", zoo.names())
def test_every_zoo_model_is_read_alike_by_depthai(name: str, tmp_path: Path) -> None:
    import depthai as dai

    path = tmp_path / f"{name}.blob"
    result = blobsmith.build(name, output=path, shaves=6)
    theirs = dai.OpenVINO.Blob(str(path))
    assert theirs.numShaves == result.blob.shaves == 6
    assert theirs.numSlices == result.blob.header.cmx_slices
    assert theirs.stageCount == len(result.blob.stages)
    types = {"u8": "U8F", "fp16": "FP16", "fp32": "FP32", "i32": "INT"}
    for mine, found in (
        (result.blob.input_specs, theirs.networkInputs),
        (result.blob.output_specs, theirs.networkOutputs),
    ):
        assert {s.name for s in mine} == set(found)
        for spec in mine:
            info = found[spec.name]
            assert tuple(reversed(list(info.dims))) == spec.shape
            assert info.dataType.name == types[spec.dtype]
    assert {s.name for s in result.manifest.inputs} == set(theirs.networkInputs)
