"""Finding and opening the camera that a user means."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ..errors import EnvironmentFault, UsageError
from .faults import explain, missing_camera, no_device, wrong_platform
from .logs import native_output_to_stderr
from .plan import PipelinePlan


def open_device(dai: Any, wanted: str | None = None) -> Any:
    """A connected `dai.Device` whose chip runs blobs; to be closed by the caller.

    Args:
        dai: the depthai module.
        wanted: id, USB path or IP address of the camera; None: the first one found.

    Raises:
        EnvironmentFault: no camera, one in use, one that may not be opened, or another chip.
        UsageError: `wanted` is none of the cameras found.
    """
    with native_output_to_stderr():
        info = _choose(dai, list(dai.Device.getAllAvailableDevices()), wanted)
        try:
            device = dai.Device(info)
        except RuntimeError as error:
            raise explain(error) from error
    if device.getPlatform() != dai.Platform.RVC2:
        name = device.getPlatformAsString()
        device.close()
        raise wrong_platform(name)
    with suppress(AttributeError):  # older than 3.3
        device.setMaxReconnectionAttempts(0)
    return device


def check_sockets(device: Any, plan: PipelinePlan) -> None:
    """Compares the cameras that a plan wants with those the device has.

    Raises:
        EnvironmentFault: one is missing.
    """
    have = tuple(socket.name for socket in device.getConnectedCameras())
    for socket in plan.sockets:
        if socket not in have:
            inputs = tuple(link.input for link in plan.frames if link.request.socket == socket)
            raise missing_camera(socket, have, inputs)


def _choose(dai: Any, found: list[Any], wanted: str | None) -> Any:
    if wanted is None:
        if not found:
            raise no_device(len(dai.Device.getAllConnectedDevices()))
        return found[0]
    for info in found:
        if wanted in (info.name, info.deviceId):
            return info
    if wanted.count(".") == 3:  # an IP address, which a search by broadcast need not find
        return dai.DeviceInfo(wanted)
    if not found:
        raise no_device(len(dai.Device.getAllConnectedDevices()))
    names = ", ".join(f"{info.deviceId} ({info.name})" for info in found)
    raise UsageError(f"there is no camera {wanted!r}", remedy=f"attached are: {names}")


def require_depthai() -> Any:
    """The depthai module of the third generation.

    Raises:
        EnvironmentFault: not installed, or the second generation.
    """
    try:
        with native_output_to_stderr():
            import depthai
    except ImportError as error:
        raise EnvironmentFault(
            "DepthAI is not installed", remedy="pip install 'blobsmith[oak]'"
        ) from error
    if int(depthai.__version__.split(".")[0]) < 3:
        raise EnvironmentFault(
            f"DepthAI {depthai.__version__} is of the second generation",
            remedy="pip install 'depthai>=3.5' in another environment, or use blobsmith.oak.v2",
        )
    return depthai
