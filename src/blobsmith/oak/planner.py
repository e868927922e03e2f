"""Decides what each input of a model gets in a pipeline: pure, without DepthAI."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import UsageError
from ..packaging.archive_config import frame_type
from ..tensors import TensorSpec
from .plan import Constant, FrameLink, FrameRequest, HistoryScript, HostTensor, PipelinePlan
from .shaves import DEFAULT_THREADS, fit_threads, free_shaves

DEFAULT_FPS = 30.0
MAX_HISTORY = 8
"""Frames a Script node keeps at most: the camera has only so many buffers."""

SOCKETS = {"color": "CAM_A", "rgb": "CAM_A", "left": "CAM_B", "right": "CAM_C"}
_SOCKET_NAMES = {f"CAM_{letter}" for letter in "ABCDEFGHIJ"}
_CODES = {"u8": "B", "fp16": "e", "fp32": "f", "i32": "i"}
_PICTURE_FILES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def plan_pipeline(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    shaves: int,
    threads: int = DEFAULT_THREADS,
    fps: float = DEFAULT_FPS,
    feeds: Mapping[str, str] | None = None,
    host_frames: bool = False,
    fp16_frames: bool = False,
) -> PipelinePlan:
    """Decides what each input gets.

    Args:
        inputs: specs of the blob's inputs.
        outputs: specs of its outputs.
        shaves: the blob is compiled for.
        threads: inference threads wanted, 1 or 2; fewer are planned where they do not fit.
        fps: asked of the cameras, above 0.
        feeds: input name -> what it gets: "color", "left", "right" or "CAM_A" to "CAM_J", with
            ":N" for the frame N before; "previous" (short for "color:1"); numbers with commas;
            an .npy or picture file whose content is sent once.
        host_frames: whether the frames come from the host and not from the device's own cameras,
            which take SHAVEs; then vectors are made of frames, too.
        fp16_frames: whether the cameras can give FP16 frames (v2 can, of v3 it is not known).

    Raises:
        UsageError: an unknown input or feed, an input that no camera can fill and that has no
            value, or a blob for more SHAVEs than are free.
        FrameError: a file for an input does not fit it.
    """
    if not 0 < fps <= 240:
        raise UsageError(f"{fps:g} frames a second cannot be asked for", remedy="give 1 to 240")
    wanted = dict(feeds or {})
    unknown = sorted(set(wanted) - {spec.name for spec in inputs})
    if unknown:
        raise UsageError(
            f"the model has no input {unknown[0]!r}",
            remedy=f"its inputs are {', '.join(spec.name for spec in inputs)}",
        )
    usual = _usual_places(inputs)
    links: list[FrameLink] = []
    constants: list[Constant] = []
    for spec in inputs:
        given = wanted.get(spec.name)
        place = usual.get(spec.name) if given is None else _place(given)
        if place is not None:
            links.append(FrameLink(spec.name, _request(spec, place[0], fp16_frames), place[1]))
        elif given is not None:
            constants.append(_constant(spec, given))
    rest = [spec for spec in inputs if spec.name not in usual and spec.name not in wanted]
    usual_constants, tensors = _unasked(rest, host_frames)
    constants += usual_constants
    if not links and not tensors:
        raise UsageError(
            "no input of the model gets frames, so nothing would ever start a run",
            remedy="feed one of its inputs with frames: --feed NAME=color",
        )
    direct, scripts = _routes(links)
    width = max((link.request.width for link in links), default=0)
    height = max((link.request.height for link in links), default=0)
    free = free_shaves(width, height, camera=not host_frames)
    threads, note = fit_threads(shaves, threads, free)
    return PipelinePlan(
        tuple(inputs),
        tuple(outputs),
        direct,
        scripts,
        tuple(constants),
        tensors,
        shaves,
        threads,
        fps,
        (note,) if note else (),
    )


def _usual_places(inputs: Sequence[TensorSpec]) -> dict[str, tuple[str, int]]:
    """Input name -> (socket, frames back), for those that are pictures."""
    names = [spec.name for spec in inputs if frame_type(spec) is not None]
    if len(names) == 3:
        return {name: (s, 0) for name, s in zip(names, ("CAM_B", "CAM_A", "CAM_C"), strict=True)}
    return {name: ("CAM_A", back) for back, name in enumerate(names)}


def _place(text: str) -> tuple[str, int] | None:
    """(socket, frames back) of a feed that means a camera; None for anything else."""
    word, colon, detail = text.partition(":")
    if colon and not detail.isdigit():
        return None
    if word == "previous":
        word, detail = "color", detail or "1"
    elif word == "frame":
        word = "color"
    socket = SOCKETS.get(word, word)
    if socket not in _SOCKET_NAMES:
        return None
    back = int(detail or 0)
    if back >= MAX_HISTORY:
        raise UsageError(
            f"the frame {back} before cannot be kept on the camera",
            remedy=f"go back {MAX_HISTORY - 1} frames at most",
        )
    return socket, back


def _request(spec: TensorSpec, socket: str, fp16_frames: bool) -> FrameRequest:
    kind = frame_type(spec)
    if kind is None:
        raise UsageError(
            f"the input {spec.name!r} {list(spec.shape)} cannot take a camera's frames",
            remedy=f"give it a value: --feed {spec.name}=FILE.npy, or build it as one picture of "
            "1 or 3 channels",
        )
    if "F16" in kind and not fp16_frames:
        raise UsageError(
            f"the input {spec.name!r} takes FP16 pictures, cameras give U8 ones",
            remedy=f"build it with --input {spec.name}={'x'.join(map(str, spec.shape))}:u8, which "
            "is faster, too",
        )
    sizes = dict(zip(spec.layout, spec.shape, strict=True))
    return FrameRequest(socket, sizes["W"], sizes["H"], kind)


def _routes(
    links: Sequence[FrameLink],
) -> tuple[tuple[FrameLink, ...], tuple[HistoryScript, ...]]:
    """Links straight from a camera, and those that share a Script node."""
    groups: dict[FrameRequest, list[FrameLink]] = {}
    for link in links:
        groups.setdefault(link.request, []).append(link)
    kept = {request for request, group in groups.items() if any(link.back for link in group)}
    direct = tuple(link for link in links if link.request not in kept)
    return direct, tuple(
        HistoryScript(request, tuple(groups[request])) for request in groups if request in kept
    )


def _unasked(
    specs: Sequence[TensorSpec], host_frames: bool
) -> tuple[list[Constant], tuple[HostTensor, ...]]:
    """Inputs that are no pictures and for which the user said nothing.

    A mean or scale gets the value that a run on the emulator would give it; the rest can only be
    filled where the host sees the frames.
    """
    if not specs:
        return [], ()
    from ..runtime.feed import plan_inputs

    constants, tensors = [], []
    for spec, feed in zip(specs, plan_inputs(specs).feeds, strict=True):
        if feed.kind == "constant":
            values = list(feed.values) * (spec.elements // len(feed.values))
            constants.append(Constant(spec.name, spec, _pack(spec, values), feed.why))
        elif host_frames:
            tensors.append(HostTensor(spec.name, spec, feed))
        else:
            raise UsageError(
                f"the input {spec.name!r} {list(spec.shape)} is no picture: no camera can fill it",
                remedy=f"give its value: --feed {spec.name}=NUMBERS or --feed "
                f"{spec.name}=FILE.npy; or let frames come from the host with --source",
            )
    return constants, tuple(tensors)


def _constant(spec: TensorSpec, text: str) -> Constant:
    if text.lower().endswith((".npy", *_PICTURE_FILES)):
        return Constant(spec.name, spec, _file_bytes(spec, text), f"{text}, sent once")
    values = _numbers(text)
    if values is None:
        raise UsageError(
            f"{text!r} is nothing that the input {spec.name!r} can be fed with",
            remedy="give color, left, right, previous, numbers with commas, an .npy or a picture",
        )
    if len(values) not in (1, spec.elements):
        raise UsageError(
            f"the input {spec.name!r} takes {spec.elements} numbers, {len(values)} given",
            remedy="give one number for all, or as many as the input has, with commas",
        )
    numbers = values * (spec.elements // len(values))
    return Constant(spec.name, spec, _pack(spec, numbers), f"constant {text}")


def _numbers(text: str) -> list[float] | None:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return None


def _pack(spec: TensorSpec, values: Sequence[float]) -> bytes:
    code = _CODES[spec.dtype]
    numbers: Sequence[float] = [round(v) for v in values] if code in "Bi" else values
    try:
        return struct.pack(f"<{len(values)}{code}", *numbers)
    except (struct.error, OverflowError, ValueError) as error:
        raise UsageError(
            f"a value for the input {spec.name!r} does not fit in {spec.dtype}: {error}",
            remedy="give values in the input's range",
        ) from error


def _file_bytes(spec: TensorSpec, path: str) -> bytes:
    from ..runtime.feed import feeds, plan_inputs

    if path.lower().endswith(".npy"):
        return feeds(plan_inputs([spec], {spec.name: path}), [spec], ())[spec.name].tobytes()
    from ..runtime.arrays import is_picture, to_array
    from ..runtime.sources import read_image

    if not is_picture(spec):
        raise UsageError(
            f"the input {spec.name!r} {list(spec.shape)} cannot show a picture",
            remedy="give it numbers or an .npy file",
        )
    return to_array(read_image(Path(path)), spec).tobytes()
