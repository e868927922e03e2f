"""From arrays to the pictures and numbers of the page: what went in, what came out, how far off."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from ..runtime.arrays import Array, is_picture, to_image, to_planes
from ..runtime.decode import SPARSE, DecodedOutput, decode
from ..runtime.samples import Image
from ..tensors import TensorSpec
from .model import FrameView, InputView, Numbers, OutputView, Picture

BUDGET = 1_500_000
"""Bytes of PNG in one page; beyond it pictures are stored smaller."""
_SHOWN = 16


def frame_view(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    feeds: Mapping[str, Array],
    reference: Mapping[str, Array] | None,
    actual: Mapping[str, Array],
    *,
    label: str,
    reference_label: str,
) -> FrameView:
    """One set of inputs, its outputs in FP32 and from the blob, and their difference.

    Args:
        inputs, outputs: specs at the blob's boundary.
        feeds: what went in, by name.
        reference: the function's own results in FP32; None if they are not known.
        actual: the blob's results, the recorded factor still in them.
        label: what went in, in words.
        reference_label: what computed `reference`.
    """
    shots: dict[str, tuple[Picture, Image]] = {}
    shown_in = tuple(_input(spec, feeds[spec.name], shots) for spec in inputs)
    shown_out = tuple(
        _output(spec, None if reference is None else reference[spec.name], actual[spec.name], shots)
        for spec in outputs
    )
    stored = _stored(shots)
    return FrameView(
        label,
        reference_label,
        tuple(replace(view, picture=_with(view.picture, stored)) for view in shown_in),
        tuple(
            replace(
                view,
                reference=_with(view.reference, stored),
                actual=_with(view.actual, stored),
                difference=_with(view.difference, stored),
            )
            for view in shown_out
        ),
    )


def type_text(spec: TensorSpec) -> str:
    """E.g. "u8 1x3x300x300"."""
    return f"{spec.dtype} {'x'.join(map(str, spec.shape)) or 'scalar'}"


def _input(spec: TensorSpec, array: Array, shots: dict[str, tuple[Picture, Image]]) -> InputView:
    notes = []
    if spec.color is not None:
        notes.append(f"the function expects {spec.color.upper()}")
    for word, values in (("mean", spec.mean), ("scale", spec.scale)):
        if values is not None:
            notes.append(f"{word} {', '.join(f'{v:g}' for v in values)}")
    view = InputView(spec.name, type_text(spec), "; ".join(notes))
    if not is_picture(spec):
        return replace(view, numbers=_numbers(spec.name, array))
    levels = np.asarray(array, np.float32)
    if spec.dtype != "u8":
        low, high = float(levels.min()), float(levels.max())
        levels = (levels - low) * np.float32(255 / (high - low) if high > low else 0)
    alt = f"the frame that went into {spec.name}"
    return replace(
        view, picture=_shot(f"in-{spec.name}", "", "", alt, to_image(levels, spec), shots)
    )


def _output(
    spec: TensorSpec,
    reference: Array | None,
    actual: Array,
    shots: dict[str, tuple[Picture, Image]],
) -> OutputView:
    got = decode(actual, spec)
    want = None if reference is None else _decoded_reference(reference, spec)
    low, high = (want or got).range
    view = OutputView(
        spec.name, type_text(spec), low=low, high=high,
        note=got.note if got.how in got.note else "; ".join(filter(None, (got.how, got.note))),
    )  # fmt: skip
    if want is not None:
        view = replace(view, largest=_largest(want, got))
    if got.image is None:
        view = replace(view, actual_numbers=_numbers("blob, FP16", got.values))
        if want is not None:
            view = replace(view, reference_numbers=_numbers("FP32", want.values))
        return view
    alt = f"the output {spec.name}"
    shot = _shot(f"out-{spec.name}", "emulated blob, FP16", "", f"{alt} of the emulated blob",
                 got.image, shots)  # fmt: skip
    view = replace(view, actual=shot)
    if want is None or want.image is None:
        return view
    picture, amplified = difference_image(want.values, got.values, spec)
    shot = _shot(f"ref-{spec.name}", "FP32", "", f"{alt} in FP32", want.image, shots)
    view = replace(view, reference=shot)
    if not view.largest:
        return view
    if view.largest == float("inf"):
        detail = "magenta: not finite in the blob, finite in FP32"
    else:
        times = f"{amplified:,.0f}" if amplified >= 100 else f"{amplified:.3g}"
        detail = f"largest {view.largest:.4g}, drawn × {times}"
    return replace(
        view,
        difference=_shot(
            f"diff-{spec.name}", "difference", detail,
            f"where the blob's {spec.name} differs from FP32: {detail}", picture, shots,
        ),
        amplified=amplified or None,
    )  # fmt: skip


def _decoded_reference(reference: Array, spec: TensorSpec) -> DecodedOutput:
    """The reference is the function's own result: no factor is in it."""
    return decode(reference, replace(spec, decoding=replace(spec.decoding, factor=1.0)))


def _largest(want: DecodedOutput, got: DecodedOutput) -> float:
    """Largest difference where FP32 is finite; infinite where the blob alone is not."""
    finite = np.isfinite(want.values)
    if not finite.any():
        return 0.0
    expected, found = want.values[finite].astype(np.float64), got.values[finite]
    if not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found.astype(np.float64) - expected).max())


def difference_image(want: Array, got: Array, spec: TensorSpec) -> tuple[Image, float]:
    """The difference from black (none) over purple to yellow (the largest), and its factor.

    Of several channels the largest difference counts. Single points are drawn 3x3. What is finite
    in FP32 alone is magenta.

    Returns:
        A BGR picture, and the levels (of 255) that a difference of one displayed level becomes;
        0 where there is no difference.
    """
    planes = np.asarray(to_planes(np.asarray(want), spec.layout), np.float64)
    found = np.asarray(to_planes(np.asarray(got), spec.layout), np.float64)
    lost = (np.isfinite(planes) & ~np.isfinite(found)).any(axis=0)
    error = np.abs(np.where(np.isfinite(planes) & np.isfinite(found), found - planes, 0.0))
    error = error.max(axis=0)
    top = float(error.max())
    shown = np.rint(error * (255 / top if top else 0)).astype(np.uint8)
    if np.count_nonzero(shown) < SPARSE * shown.size:
        shown = np.asarray(cv2.dilate(shown, np.ones((3, 3), np.uint8)), np.uint8)
    image: Any = np.zeros((*shown.shape, 3), np.uint8)
    if top:
        image = np.asarray(cv2.applyColorMap(shown, cv2.COLORMAP_INFERNO), np.uint8)
    image[lost] = (255, 0, 255)
    levels = top * abs(spec.decoding.scale) if spec.decoding.kind == "image" else top
    return image, 255 / levels if levels else 0.0


def _numbers(title: str, array: Array) -> Numbers:
    values = np.asarray(array, np.float64).ravel()
    return Numbers(title, int(values.size), tuple(float(v) for v in values[:_SHOWN]))


def _shot(
    key: str,
    title: str,
    detail: str,
    alt: str,
    image: Image,
    shots: dict[str, tuple[Picture, Image]],
) -> Picture:
    height, width = image.shape[:2]
    picture = Picture(f"pic-{len(shots)}-{key}", title, detail, alt, width, height, "")
    shots[picture.id] = (picture, image)
    return picture


def _stored(shots: Mapping[str, tuple[Picture, Image]]) -> dict[str, str]:
    """Picture id to data URI; all are shrunk by the same factor until they fit the budget."""
    scale = 1.0
    while True:
        coded = {key: _png(image, scale) for key, (_, image) in shots.items()}
        total = sum(map(len, coded.values()))
        if total <= BUDGET or scale < 0.1:
            break
        scale *= max(0.5, 0.97 * (BUDGET / total) ** 0.5)
    return {
        key: "data:image/png;base64," + base64.b64encode(data).decode()
        for key, data in coded.items()
    }


def _png(image: Image, scale: float) -> bytes:
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    if (image[..., :1] == image).all():
        image = np.ascontiguousarray(image[..., 0])
    _, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return bytes(data.tobytes())


def _with(picture: Picture | None, stored: Mapping[str, str]) -> Picture | None:
    return None if picture is None else replace(picture, uri=stored[picture.id])
