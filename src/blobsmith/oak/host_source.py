"""The camera of a pipeline without a device: a frame source of the host behind DepthAI's methods.

Where a camera would drop frames that nobody takes in time, this waits: a replay is complete, and
the same every time.
"""

# ruff: noqa: N802 - methods and parameters have the names of DepthAI's own
from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import depthai as dai

from ..errors import BlobsmithError, EnvironmentFault
from ..runtime.feed import InputFeed, InputPlan, feeds
from ..runtime.samples import Image
from ..runtime.sources import Frame
from ..tensors import TensorSpec
from .messages import frame_message, tensor_message

IDLE_SECONDS = 2.0
"""After the last frame, a pipeline in which nothing moves for so long has ended."""

_IMAGES = [dai.Node.DatatypeHierarchy(dai.DatatypeEnum.ImgFrame, True)]
_TENSORS = [dai.Node.DatatypeHierarchy(dai.DatatypeEnum.NNData, True)]


@dataclass
class HostState:
    """What the nodes of one pipeline share.

    Attributes:
        failure: the first error in a node's thread.
        sources: how many sources have not ended.
        activity: counts messages, to see whether anything still moves.
        finished: all sources have ended, and their last frames have been worked off.
        last_numbers: sequence number of the last result of each network on the host.
        busy: networks that are at work on a frame, which may take its time.
        sent: frames that the sources have sent.
        notes: what the user should be told, as keys.
    """

    failure: BlobsmithError | None = None
    sources: int = 0
    activity: int = 0
    finished: bool = False
    last_numbers: dict[int, int] = field(default_factory=dict)
    busy: set[int] = field(default_factory=set)
    sent: int = 0
    notes: dict[str, None] = field(default_factory=dict)

    def fail(self, error: Exception) -> None:
        """Keeps the first error; any but blobsmith's own become an EnvironmentFault."""
        if self.failure is None:
            self.failure = (
                error
                if isinstance(error, BlobsmithError)
                else EnvironmentFault(f"a node of the pipeline failed: {error}")
            )


class HostSource(dai.node.ThreadedHostNode):
    """Reads one frame source and gives its frames to all cameras that stand on it, in step."""

    def __init__(self) -> None:
        super().__init__()
        self._makers: list[tuple[Any, Callable[[Frame, deque[Image]], Any]]] = []
        self._history = 1

    def build(self, frames: Callable[[], Iterator[Frame]], state: HostState, end: bool) -> Any:
        """Takes what gives the frames, the pipeline's state, and whether to stop it at the end."""
        self._frames, self._state, self._end = frames, state, end
        state.sources += 1
        return self

    def frames_of(self, size: tuple[int, int], kind: Any, resize: Any) -> Any:
        """A new output of frames of this size and type."""
        output = self.createOutput(f"frames{len(self._makers)}", possibleDatatypes=_IMAGES)
        self._makers.append(
            (output, lambda frame, _: frame_message(frame.image, size, kind, resize, frame.index))
        )
        return output

    def tensor_of(self, spec: TensorSpec, feed: InputFeed) -> Any:
        """A new output of arrays that are made of the frames, for an input that is no picture."""
        output = self.createOutput(f"tensor{len(self._makers)}", possibleDatatypes=_TENSORS)
        self._history = max(self._history, feed.back + 1)
        plan = InputPlan((feed,))

        def make(frame: Frame, history: deque[Image]) -> Any:
            arrays = feeds(plan, [spec], tuple(history), None, frame.index)
            return tensor_message(arrays, frame.index)

        self._makers.append((output, make))
        return output

    def run(self) -> None:
        """Sends every frame, then waits until the networks have worked off the last one."""
        last, history = -1, deque[Image](maxlen=self._history)
        try:
            for frame in self._frames():
                history.appendleft(frame.image)
                for output, make in self._makers:
                    if not self.mainLoop():
                        return
                    output.send(make(frame, history))
                self._state.activity += 1
                last = frame.index
                self._state.sent = max(self._state.sent, last + 1)
        except dai.MessageQueue.QueueException:
            return
        except Exception as error:
            self._state.fail(error)
            self.stopPipeline()
            return
        self._wait_for(last)
        self._state.sources -= 1
        if self._state.sources == 0:
            self._state.finished = True
            if self._end:
                self._linger()

    def _wait_for(self, last: int) -> None:
        seen, since = -1, time.monotonic()
        while self.mainLoop() and self._state.failure is None:
            numbers = self._state.last_numbers.values()
            if all(number >= last for number in numbers):
                return
            if self._state.activity != seen or self._state.busy:
                seen, since = self._state.activity, time.monotonic()
            elif time.monotonic() - since > IDLE_SECONDS:
                return
            time.sleep(0.01)

    def _linger(self) -> None:
        """Leaves the results in their queues for a moment; stopping throws them away."""
        until = time.monotonic() + IDLE_SECONDS
        while self.mainLoop() and time.monotonic() < until:
            time.sleep(0.02)
        self.stopPipeline()


class HostCamera:
    """Stands in for `dai.node.Camera`; its frames are those of a source on the host."""

    def __init__(self, source_of: Callable[[str], HostSource]) -> None:
        self._source_of = source_of
        self._socket = dai.CameraBoardSocket.CAM_A

    def build(
        self,
        boardSocket: Any = dai.CameraBoardSocket.AUTO,
        sensorResolution: tuple[int, int] | None = None,
        sensorFps: float | None = None,
    ) -> HostCamera:
        """As `dai.node.Camera.build`; resolution and rate are those of the source."""
        if boardSocket != dai.CameraBoardSocket.AUTO:
            self._socket = boardSocket
        return self

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"Camera.{name} has no stand-in without a camera: there are build, requestOutput and "
            "getBoardSocket"
        )

    def getBoardSocket(self) -> Any:
        """As `dai.node.Camera.getBoardSocket`."""
        return self._socket

    def requestOutput(
        self,
        size: tuple[int, int],
        type: Any = None,
        resizeMode: Any = dai.ImgResizeMode.CROP,
        fps: float | None = None,
        enableUndistortion: bool | None = None,
    ) -> Any:
        """As `dai.node.Camera.requestOutput`; frames come as fast as they are taken."""
        kind = dai.ImgFrame.Type.NV12 if type is None else type
        width, height = size
        return self._source_of(self._socket.name).frames_of((width, height), kind, resizeMode)
