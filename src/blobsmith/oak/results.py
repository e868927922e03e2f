"""Taking results from a running v3 pipeline, with the frames they were made of, until it ends.

Nothing but a pipeline whose frames come from the host ever ends well: from a camera results come
for ever, or it is gone, or silent.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..packaging.archive_config import frame_type
from ..runtime.arrays import Array
from .decode import output_arrays
from .faults import explain, lost_device, silent_device
from .plan import PipelinePlan
from .v3 import Streams

if TYPE_CHECKING:
    from .host_source import HostState

POLL_MS = 200
SILENCE_SECONDS = 20.0
"""A camera that sends nothing for so long will not send anything: booting takes 5 s."""
IN_FLIGHT_SECONDS = 3.0
"""After the host's last frame, results may be on their way from the camera for so long."""


@dataclass(frozen=True, eq=False)
class PipelineResult:
    """One result and the frames it was made of.

    Attributes:
        index: 0, 1, 2, ... of the results received.
        number: sequence number of the camera's frame; gaps are frames that the camera dropped.
        feeds: input name -> the array that the network used.
        outputs: output name -> array, FP16 outputs as float16.
    """

    index: int
    number: int
    feeds: Mapping[str, Array]
    outputs: Mapping[str, Array]


class Session:
    """An open pipeline; a context manager and an iterable of `PipelineResult`.

    Make it with `session.host_session` or `session.device_session`.

    Attributes:
        plan: what each input gets.
        notes: what the user should be told.
        name: for labels.
    """

    def __init__(
        self,
        plan: PipelinePlan,
        pipeline: Any,
        streams: Streams,
        *,
        name: str,
        dai: Any,
        close: Callable[[], None] = lambda: None,
        limit: int | None = None,
        logs: deque[str] | None = None,
        source: HostState | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan, self.name = plan, name
        self._pipeline, self._streams, self._dai = pipeline, streams, dai
        self._close, self._limit, self._clock = close, limit, clock
        self._logs = logs if logs is not None else deque(maxlen=1)
        self._source = source
        self._count = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should be told; complete at the end."""
        told = dict.fromkeys(self.plan.notes)
        if self._source is not None:
            told.update(self._source.notes)
        return tuple(told)

    def __enter__(self) -> Session:
        try:
            self._pipeline.start()
            self._streams.send_constants()
        except Exception as error:
            self._shut()
            raise explain(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shut()

    def _shut(self) -> None:
        try:
            self._pipeline.stop()
            self._pipeline.wait()
        except RuntimeError:  # a camera that is gone cannot be told to stop
            pass
        finally:
            self._close()

    def __iter__(self) -> Iterator[PipelineResult]:
        """Results until the frames end, or for ever from a camera.

        Raises:
            BlobsmithError: a node failed, the camera is gone or silent.
        """
        while self._limit is None or self._count < self._limit:
            message = self._take(self._streams.results)
            if message is None:
                return
            feeds = self._feeds()
            if feeds is None:
                return
            outputs = output_arrays(message, self.plan.outputs)
            yield PipelineResult(self._count, message.getSequenceNum(), feeds, outputs)
            self._count += 1

    def _feeds(self) -> dict[str, Array] | None:
        """What the network used for the result just taken.

        The network sends frames and results in pairs, and no queue on the way may drop any, so
        order alone keeps them together.
        """
        from .messages import input_array

        specs = {spec.name: spec for spec in self.plan.inputs}
        feeds = {constant.input: constant_array(constant) for constant in self.plan.constants}
        for name, queue in self._streams.used.items():
            message = self._take(queue)
            if message is None:
                return None
            feeds[name] = input_array(message, specs[name], frame_type(specs[name]))
        return {name: feeds[name] for name in specs if name in feeds}

    def _take(self, queue: Any) -> Any:
        """The queue's next message; None where none will come any more."""
        since = self._clock()
        while True:
            message = self._get(queue)
            if message is not None:
                return message
            silence = self._clock() - since
            if self._ended(queue, silence):
                return None
            if silence > SILENCE_SECONDS and not self._emulated:
                raise silent_device(self._count, silence, " ".join(self._logs))

    @property
    def _emulated(self) -> bool:
        """Whether the network runs on the host, where one frame may take its time."""
        return self._source is not None and bool(self._source.last_numbers)

    def _ended(self, queue: Any, silence: float) -> bool:
        """Whether no further result will come; an error where that is not a good end."""
        source = self._source
        if source is not None and source.failure is not None:
            raise source.failure
        if source is not None and source.finished:
            if self._emulated:
                # The last message may have come between the time-out and this line.
                return not bool(queue.has())
            return self._count >= source.sent or silence > IN_FLIGHT_SECONDS
        if not self._pipeline.isRunning():
            raise lost_device(self._count)
        return False

    def _get(self, queue: Any) -> Any:
        try:
            return queue.get(timedelta(milliseconds=POLL_MS))
        except self._dai.MessageQueue.QueueException as error:
            if self._source is not None and self._source.failure is not None:
                raise self._source.failure from error
            raise lost_device(self._count) from error
        except RuntimeError as error:
            raise explain(error, self._count) from error


def constant_array(constant: Any) -> Array:
    """A constant's value as an array of its input."""
    import numpy as np

    from ..tensors import NUMPY_NAMES

    values = np.frombuffer(constant.data, NUMPY_NAMES[constant.spec.dtype])
    array: Array = values.reshape(constant.spec.shape)
    return array
