"""Between numpy arrays and DepthAI v3's messages.

Two traps of `NNData.addTensor` are kept out of the way here: with a storage order it stores a
float32 array as FP16, where 70000 becomes infinite, and a second tensor of one name is appended
and never read. (Both seen in depthai 3.12.)
"""

from __future__ import annotations

import datetime
from typing import Any

import cv2
import depthai as dai
import numpy as np

from ..errors import FrameError
from ..runtime.arrays import Array
from ..runtime.samples import Image
from ..tensors import NUMPY_NAMES, TensorSpec

_TENSOR_TYPES = {
    "float16": dai.TensorInfo.DataType.FP16,
    "float32": dai.TensorInfo.DataType.FP32,
    "int32": dai.TensorInfo.DataType.INT,
    "uint8": dai.TensorInfo.DataType.U8F,
}


def tensor_message(tensors: dict[str, Array], sequence: int = 0) -> Any:
    """An NNData of named tensors, each in its own dtype (float16, float32, int32 or uint8)."""
    message = dai.NNData()
    for name, array in tensors.items():
        kind = _TENSOR_TYPES[str(array.dtype)]
        message.addTensor(name, np.ascontiguousarray(array), dataType=kind)
    stamp(message, sequence)
    return message


def stamp(message: Any, sequence: int) -> None:
    """Sets sequence number and time, as a camera does."""
    message.setSequenceNum(sequence)
    clock: Any = dai.Clock  # the stub takes its static method for a bound one
    now = clock.now()
    message.setTimestamp(now)
    message.setTimestampDevice(now)


def frame_message(image: Image, size: tuple[int, int], kind: Any, resize: Any, number: int) -> Any:
    """A camera's frame: an ImgFrame of exactly this size and type.

    Args:
        image: BGR (any height, any width, 3).
        size: (width, height).
        kind: a `dai.ImgFrame.Type`.
        resize: a `dai.ImgResizeMode`: the camera's own default is to crop to the aspect ratio.
        number: sequence number.
    """
    fitted = resized(image, size, resize)
    message = dai.ImgFrame()
    if kind == dai.ImgFrame.Type.GRAYF16:  # setCvFrame fails on it
        grey = cv2.cvtColor(fitted, cv2.COLOR_BGR2GRAY).astype(np.float16)
        message.setData(grey.view(np.uint8).reshape(-1))
        message.setSize(size)
        message.setType(kind)
    else:
        message.setCvFrame(fitted, kind)
    stamp(message, number)
    return message


def resized(image: Image, size: tuple[int, int], resize: Any) -> Image:
    """The picture at another size: cropped to the aspect ratio, stretched, or with black bars."""
    width, height = size
    have_height, have_width = image.shape[:2]
    if (have_width, have_height) == size:
        return image
    ratios = (width / have_width, height / have_height)
    if resize == dai.ImgResizeMode.STRETCH:
        scaled = size
    else:
        ratio = max(ratios) if resize == dai.ImgResizeMode.CROP else min(ratios)
        scaled = (max(1, round(have_width * ratio)), max(1, round(have_height * ratio)))
    shrinks = min(scaled[0] / have_width, scaled[1] / have_height) < 1
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    picture = cv2.resize(image, scaled, interpolation=method)
    left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    if left >= 0 and top >= 0:
        picture = picture[top : top + height, left : left + width]
    else:
        canvas = np.zeros((height, width, 3), np.uint8)
        x, y = max(-left, 0), max(-top, 0)
        part = picture[max(top, 0) :, max(left, 0) :][: height - y, : width - x]
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
        picture = canvas
    return np.ascontiguousarray(picture, dtype=np.uint8)


def input_array(message: Any, spec: TensorSpec, wanted_type: str | None) -> Array:
    """What a message gives one input of a network.

    Args:
        message: ImgFrame, NNData with a tensor of the input's name, or a Buffer of raw bytes.
        spec: of the input.
        wanted_type: name of the `dai.ImgFrame.Type` that fits the input; None for no picture.

    Raises:
        FrameError: the message has another size, type or name. A camera would report it in its
            log and never send a result, or compute with the wrong bytes.
    """
    dtype = np.dtype(NUMPY_NAMES[spec.dtype])
    if isinstance(message, dai.NNData):
        names = message.getAllLayerNames()
        if spec.name not in names:
            raise FrameError(
                f"the message for the input {spec.name!r} has no tensor of that name",
                where=f"it has {', '.join(names) or 'none'}",
                remedy=f"nn_data.addTensor({spec.name!r}, array)",
            )
        array: Array = np.asarray(message.getTensor(spec.name))
    elif isinstance(message, dai.ImgFrame):
        _check_frame(message, spec, wanted_type)
        array = np.asarray(message.getData()).view(dtype)
    else:
        array = np.frombuffer(np.asarray(message.getData()).tobytes(), np.uint8)
        array = array.view(dtype) if array.size % dtype.itemsize == 0 else array
    if array.size != spec.elements:
        raise FrameError(
            f"the input {spec.name!r} got {array.size} values, it has {spec.elements}",
            remedy=f"send an array of {list(spec.shape)} in {spec.dtype}",
        )
    return np.ascontiguousarray(array.reshape(spec.shape).astype(dtype, copy=False))


def _check_frame(message: Any, spec: TensorSpec, wanted: str | None) -> None:
    sizes = dict(zip(spec.layout, spec.shape, strict=True))
    have = (message.getWidth(), message.getHeight())
    want = (sizes.get("W", 0), sizes.get("H", 0))
    if wanted is None or have != want:
        raise FrameError(
            f"the input {spec.name!r} got frames of {have[0]}x{have[1]}, the model takes "
            + (f"{want[0]}x{want[1]}" if wanted else f"no frames there, but {list(spec.shape)}"),
            remedy=f"camera.requestOutput({want}, dai.ImgFrame.Type.{wanted})" if wanted else "",
        )
    if message.getType() != getattr(dai.ImgFrame.Type, wanted):
        raise FrameError(
            f"the input {spec.name!r} got frames of type {message.getType().name}, the model "
            f"takes {wanted}",
            remedy=f"camera.requestOutput({want}, dai.ImgFrame.Type.{wanted})",
        )


def milliseconds(count: int) -> datetime.timedelta:
    """A time-out as DepthAI's queues want it."""
    return datetime.timedelta(milliseconds=count)
