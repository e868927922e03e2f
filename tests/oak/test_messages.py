"""Arrays to DepthAI's messages and back, and the traps on the way."""

from __future__ import annotations

from typing import Any

import depthai as dai
import numpy as np
import pytest

from blobsmith.errors import FrameError
from blobsmith.oak.messages import frame_message, input_array, resized, tensor_message
from blobsmith.tensors import DType, TensorSpec

CROP, STRETCH, LETTERBOX = (
    dai.ImgResizeMode.CROP, dai.ImgResizeMode.STRETCH, dai.ImgResizeMode.LETTERBOX,
)  # fmt: skip
Type = dai.ImgFrame.Type


def noise(height: int, width: int) -> Any:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "uint8"])
def test_tensors_keep_their_type_and_values(dtype: str) -> None:
    values = np.array([[0, 1, 200], [3, 4, 5]]).astype(dtype)
    message = tensor_message({"y": values}, 7)
    assert np.array_equal(message.getTensor("y"), values)
    assert message.getSequenceNum() == 7
    assert message.getTensorInfo("y").dataType.name == {
        "float16": "FP16", "float32": "FP32", "int32": "INT", "uint8": "U8F",
    }[dtype]  # fmt: skip


def test_large_floats_are_not_narrowed_to_fp16() -> None:
    """The trap: with a storage order, addTensor stores float32 as FP16, and 70000 as inf."""
    values = np.float32([70000.0, 1e-9]).reshape(1, 2)
    narrowed = dai.NNData()
    narrowed.addTensor("y", values, dai.TensorInfo.StorageOrder.NC)
    assert np.isinf(narrowed.getTensor("y").ravel()[0])
    assert np.array_equal(tensor_message({"y": values}).getTensor("y"), values)


def test_special_values_survive() -> None:
    values = np.float16([np.inf, -np.inf, np.nan, -0.0, 65504, 6e-8])
    back = tensor_message({"y": values}).getTensor("y")
    assert np.array_equal(back.astype(np.float16), values, equal_nan=True)
    assert np.signbit(back[3])


SIZED = [
    ("BGR888p", (1, 3, 4, 6), "NCHW", "u8", lambda p: p.transpose(2, 0, 1)[None]),
    ("BGR888i", (1, 4, 6, 3), "NHWC", "u8", lambda p: p[None]),
    ("BGRF16F16F16p", (3, 4, 6), "CHW", "fp16", lambda p: p.transpose(2, 0, 1)),
    (
        "GRAY8",
        (1, 1, 4, 6),
        "NCHW",
        "u8",
        lambda p: np.rint(p @ [0.114, 0.587, 0.299])[None, None],
    ),
    ("GRAYF16", (4, 6), "HW", "fp16", lambda p: np.rint(p @ [0.114, 0.587, 0.299])),
]


@pytest.mark.parametrize(("kind", "shape", "layout", "dtype", "expected"), SIZED)
def test_frames_become_the_inputs_array(
    kind: str, shape: tuple[int, ...], layout: str, dtype: DType, expected: Any
) -> None:
    picture = noise(4, 6)
    message = frame_message(picture, (6, 4), getattr(Type, kind), CROP, 3)
    array = input_array(message, TensorSpec("x", shape, dtype, layout, "bgr"), kind)
    assert array.shape == shape
    assert array.dtype == {"u8": np.uint8, "fp16": np.float16}[dtype]
    assert np.abs(array.astype(float) - expected(picture.astype(float))).max() <= (
        0 if "BGR" in kind else 1
    )
    assert message.getSequenceNum() == 3


def test_a_camera_crops_to_the_aspect_ratio() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = 255
    assert (resized(wide, (10, 10), CROP) == 255).all()
    assert (resized(wide, (10, 10), STRETCH) == 255).mean() < 0.5
    boxed = resized(wide, (40, 40), LETTERBOX)
    assert not boxed[:14].any()
    assert not boxed[26:].any()
    assert boxed[20, 20].all()
    assert resized(wide, (40, 10), CROP) is wide


@pytest.mark.parametrize("size", [(7, 5), (5, 7), (33, 2), (64, 48)])
@pytest.mark.parametrize("mode", [CROP, STRETCH, LETTERBOX])
def test_any_size_fits_any_other(size: tuple[int, int], mode: Any) -> None:
    for source in (noise(48, 64), noise(3, 31), noise(31, 3), noise(1, 1)):
        assert resized(source, size, mode).shape == (size[1], size[0], 3)


SPEC = TensorSpec("x", (1, 3, 4, 6), "u8", "NCHW", "bgr")


def buffer(data: bytes) -> Any:
    message = dai.Buffer()
    message.setData(np.frombuffer(data, np.uint8))
    return message


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (frame_message(noise(4, 6), (8, 4), Type.BGR888p, CROP, 0), "frames of 8x4"),
        (frame_message(noise(4, 6), (6, 4), Type.BGR888i, CROP, 0), "type BGR888i"),
        (frame_message(noise(4, 6), (6, 4), Type.RGB888p, CROP, 0), "type RGB888p"),
        (tensor_message({"z": np.zeros(72, np.uint8)}), "no tensor of that name"),
        (tensor_message({"x": np.zeros(71, np.uint8)}), "got 71 values"),
        (buffer(bytes(5)), "got 5 values"),
    ],
)
def test_messages_that_do_not_fit(message: Any, named: str) -> None:
    with pytest.raises(FrameError, match=named):
        input_array(message, SPEC, "BGR888p")


def test_frames_for_what_is_no_picture() -> None:
    frame = frame_message(noise(4, 6), (6, 4), Type.BGR888p, CROP, 0)
    with pytest.raises(FrameError, match="no frames there"):
        input_array(frame, TensorSpec("v", (72,), "u8"), None)


def test_raw_bytes_and_tensors_are_taken_too() -> None:
    half = TensorSpec("v", (3,), "fp16")
    values = np.float16([1, 2.5, -3])
    assert np.array_equal(input_array(buffer(values.tobytes()), half, None), values)
    assert np.array_equal(input_array(tensor_message({"v": values}), half, None), values)
