"""DepthAI's errors in the user's terms. Texts are those of depthai 3.12 and 2.30."""

from __future__ import annotations

from ..errors import BlobsmithError, EnvironmentFault, ModelError

_UDEV = (
    'allow it: echo \'SUBSYSTEM=="usb", ATTRS{idVendor}=="03e7", MODE="0666"\' | sudo tee '
    "/etc/udev/rules.d/80-movidius.rules && sudo udevadm control --reload-rules && sudo udevadm "
    "trigger; then plug the camera in again"
)

_NOT_FOUND = ("no available devices", "cannot find any device", "failed to find device")
_LOST = (
    "x_link_error", "communication exception", "device already closed or disconnected",
    "x_link_communication_not_open", "couldn't read data from stream",
    "couldn't write data to stream", "x_link_timeout",
)  # fmt: skip


def no_device(in_use: int = 0) -> EnvironmentFault:
    """No camera that could be opened."""
    if in_use:
        return EnvironmentFault(
            "the OAK camera is in use by another program",
            where=f"{in_use} connected",
            remedy="end the other program, or choose another camera with --device",
        )
    return EnvironmentFault(
        "no OAK camera is attached",
        remedy="plug one in (USB 3 cable, or the camera's IP address with --device), or run "
        "without one: --on depthai-host",
    )


def lost_device(frames: int) -> EnvironmentFault:
    """The camera went away during a run."""
    return EnvironmentFault(
        f"the connection to the camera broke after {_frames(frames)}",
        remedy="check cable and power supply; what was received until then has been written",
    )


def silent_device(frames: int, seconds: float, last_log: str = "") -> EnvironmentFault:
    """The camera is there and sends no results."""
    return EnvironmentFault(
        f"the camera has sent no result for {seconds:.0f} s, after {_frames(frames)}",
        where=last_log,
        remedy="a frame of the wrong size or an input without frames makes the network wait: run "
        "the same with --on depthai-host, which says which",
    )


def is_loss(error: BaseException) -> bool:
    """Whether an error of DepthAI means that the connection to the camera broke."""
    text = str(error).lower()
    return any(part in text for part in _LOST)


def explain(error: Exception, frames: int = 0) -> BlobsmithError:
    """An error of DepthAI in the user's terms; one of blobsmith's own stays as it is.

    Args:
        error: what DepthAI raised.
        frames: results received so far.
    """
    if isinstance(error, BlobsmithError):
        return error
    text = str(error)
    low = text.lower()
    if any(part in low for part in _NOT_FOUND):
        return no_device(1 if "in use" in low else 0)
    if "insufficient permissions" in low or "x_link_insufficient_permissions" in low:
        return EnvironmentFault("you may not use the camera's USB device", remedy=_UDEV)
    if "already_in_use" in low or "already in use" in low:
        return no_device(1)
    if "is for rvc" in low or "platform not supported" in low:
        return wrong_platform(text.rsplit(" ", 1)[-1])
    if "shaves" in low or "cmx" in low:
        return ModelError(
            f"the camera refuses the blob: {_first_line(text)}",
            remedy="build it for fewer shaves: --shaves auto, or a superblob",
        )
    if is_loss(error):
        return lost_device(frames)
    if "requested" in low and ("socket" in low or "camera" in low):
        return EnvironmentFault(
            f"the camera cannot give these frames: {_first_line(text)}",
            remedy="choose another camera for the input: --feed NAME=color",
        )
    return EnvironmentFault(
        f"DepthAI reports: {_first_line(text)}",
        remedy="run it with --debug to see where; `--on depthai-host` runs it without the camera",
    )


def wrong_platform(name: str) -> EnvironmentFault:
    """A camera whose chip runs no blobs."""
    return EnvironmentFault(
        f"the camera has the chip {name}; blobs run on RVC2 (MyriadX) only",
        remedy="for newer chips build an archive with the ONNX inside and convert it with the "
        "vendor's tools",
    )


def missing_camera(socket: str, have: tuple[str, ...], inputs: tuple[str, ...]) -> EnvironmentFault:
    """A device without a camera that an input wants."""
    return EnvironmentFault(
        f"this device has no camera {socket}, which the input {inputs[0]!r} wants",
        where=f"it has {', '.join(have) or 'none'}",
        remedy=f"feed the input otherwise: --feed {inputs[0]}=color",
    )


def _frames(count: int) -> str:
    return f"{count} frame{'' if count == 1 else 's'}"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "an error without a text"
