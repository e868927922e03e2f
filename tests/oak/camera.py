"""A scripted camera: DepthAI's module, but for what needs a device."""

from __future__ import annotations

from typing import Any

import depthai as dai

from .recorder import Call, RecordingPipeline, ScriptedQueue

SOCKETS = (dai.CameraBoardSocket.CAM_A, dai.CameraBoardSocket.CAM_B, dai.CameraBoardSocket.CAM_C)


class Log(list[Call]):
    """The recorded calls, and the queues that outputs hand out."""

    def __init__(self) -> None:
        super().__init__()
        self.queues: dict[str, ScriptedQueue] = {}


class FakeDevice:
    """The methods of `dai.Device` that are used."""

    def __init__(self, platform: Any = dai.Platform.RVC2, sockets: Any = SOCKETS) -> None:
        self.platform, self.sockets = platform, sockets
        self.closed = False
        self.callback: Any = None
        self.attempts: int | None = None

    def getPlatform(self) -> Any:  # noqa: N802
        return self.platform

    def getPlatformAsString(self) -> str:  # noqa: N802
        return str(self.platform.name)

    def getConnectedCameras(self) -> list[Any]:  # noqa: N802
        return list(self.sockets)

    def getDeviceName(self) -> str:  # noqa: N802
        return "OAK-D"

    def setMaxReconnectionAttempts(self, attempts: int) -> None:  # noqa: N802
        self.attempts = attempts

    def addLogCallback(self, callback: Any) -> int:  # noqa: N802
        self.callback = callback
        return 1

    def close(self) -> None:
        self.closed = True


class FakeDai:
    """depthai, but for what needs a camera."""

    def __init__(self, device: Any = None, *, names: tuple[str, ...] = ("1.1",), used: int = 0):
        self.log = Log()
        self.device = device or FakeDevice()
        self.opened: list[Any] = []
        outer = self

        class Device:
            @staticmethod
            def getAllAvailableDevices() -> list[Any]:  # noqa: N802
                return [dai.DeviceInfo(name) for name in names]

            @staticmethod
            def getAllConnectedDevices() -> list[Any]:  # noqa: N802
                return [None] * used

            def __new__(cls, info: Any) -> Any:
                outer.opened.append(info)
                if isinstance(outer.device, Exception):
                    raise outer.device
                return outer.device

        self.Device = Device

    def Pipeline(self, device: Any) -> RecordingPipeline:  # noqa: N802
        assert device is self.device
        return RecordingPipeline(self.log)

    def __getattr__(self, name: str) -> Any:
        return getattr(dai, name)
