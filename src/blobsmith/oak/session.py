"""A run through a DepthAI v3 pipeline, on a camera or without one: frames in, results out, in step.

    with host_session(artifact, source="video.mp4") as session:
        for result in session:
            result.outputs["output"]

The two differ in the pipeline they open and in nothing else.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..packaging.archive_config import frame_type
from ..packaging.artifact import Artifact
from ..runtime.arrays import Array
from . import v3
from .decode import output_arrays
from .faults import explain, lost_device, silent_device
from .plan import PipelinePlan
from .planner import DEFAULT_FPS, plan_pipeline
from .shaves import DEFAULT_THREADS, recommend

if TYPE_CHECKING:
    from .host import EngineKind
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

    Make it with `host_session` or `device_session`.

    Attributes:
        plan: what each input gets.
        notes: what the user should be told.
        name: for labels.
    """

    def __init__(
        self,
        plan: PipelinePlan,
        pipeline: Any,
        streams: v3.Streams,
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
        return feeds

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


def host_session(
    artifact: Artifact,
    *,
    source: str | Path = "sample",
    engine: EngineKind = "emulator",
    shaves: int | None = None,
    feeds: Mapping[str, str] | None = None,
    sockets: Mapping[str, str | Path] | None = None,
    limit: int | None = None,
) -> Session:
    """A pipeline without a camera: its frames are those of a source of the host.

    Args:
        artifact: what is to be run.
        source: what the cameras see: "sample", "webcam", or an image, folder or video.
        engine: "emulator" for the blob, "onnx" for the ONNX it was compiled from.
        shaves: which blob of a superblob; None: 8.
        feeds: input name -> what it gets, see `planner.plan_pipeline`.
        sockets: "CAM_A", ... -> a source of its own for that camera.
        limit: frames at most.

    Raises:
        EnvironmentFault: DepthAI is not installed.
        UsageError, FrameError, PackageError, SourceError: see `plan_pipeline`, `host_pipeline`.
    """
    from .devices import require_depthai

    dai = require_depthai()
    from .host import artifact_engine, host_pipeline

    runner = artifact_engine(artifact, engine, shaves)
    count = shaves or (artifact.shave_counts[0] if len(artifact.shave_counts) == 1 else 8)
    plan = plan_pipeline(
        artifact.inputs, artifact.outputs, shaves=count, threads=1, feeds=feeds, host_frames=True,
        fp16_frames=True,
    )  # fmt: skip
    pipeline = host_pipeline(
        source, sockets=sockets, engine=runner, limit=limit, size=_largest(plan), stop_at_end=False
    )
    streams = v3.build(pipeline, plan, None, dai, source_of=pipeline.source_of, lossless=True)
    return Session(
        plan,
        pipeline,
        streams,
        name=f"{runner.name}, DepthAI on the host",
        dai=dai,
        source=pipeline.state,
    )


def device_session(
    artifact: Artifact,
    *,
    device: str | None = None,
    source: str | Path | None = None,
    shaves: int | None = None,
    threads: int = DEFAULT_THREADS,
    fps: float = DEFAULT_FPS,
    feeds: Mapping[str, str] | None = None,
    limit: int | None = None,
    dai: Any = None,
) -> Session:
    """A pipeline on a camera.

    Args:
        artifact: what is to be run.
        device: id, USB path or IP address; None: the first camera found.
        source: frames of the host in place of the device's cameras: an image, folder, video or
            "sample"; None: the cameras.
        shaves: which blob of a superblob; None: what `shaves.recommend` says.
        threads: inference threads, 1 or 2.
        fps: asked of the cameras.
        feeds: input name -> what it gets, see `planner.plan_pipeline`.
        limit: results at most.
        dai: the depthai module; None imports it.

    Raises:
        EnvironmentFault: no camera, one that cannot be opened, or without a needed sensor.
        UsageError, FrameError, PackageError: see `plan_pipeline`.
    """
    if dai is None:
        from .devices import require_depthai

        dai = require_depthai()
    from .devices import check_sockets, open_device

    if artifact.holds == "onnx":
        raise UsageError(
            "this archive holds an ONNX, which this chip cannot run",
            where=artifact.name,
            remedy="build a blob of it, or run it with --on onnx",
        )
    host_frames = source is not None
    if shaves is None and len(artifact.shave_counts) > 1:
        advice = recommend(artifact.inputs, threads=threads, camera=not host_frames)
        shaves = advice.shaves
    blob = artifact.blob(shaves)
    plan = plan_pipeline(
        artifact.inputs, artifact.outputs, shaves=blob.shaves, threads=threads, fps=fps,
        feeds=feeds, host_frames=host_frames,
    )  # fmt: skip
    camera = open_device(dai, device)
    logs: deque[str] = deque(maxlen=3)
    try:
        if not host_frames:
            check_sockets(camera, plan)
        camera.addLogCallback(lambda entry: _keep(logs, entry, dai))
        pipeline = dai.Pipeline(camera)
        source_of, state = None, None
        if source is not None:
            from .host import shared_source

            source_of, state = shared_source(pipeline, source, size=_largest(plan), limit=limit)
        compiled = dai.OpenVINO.Blob(blob.data[: blob.size])
        streams = v3.build(pipeline, plan, compiled, dai, source_of=source_of, lossless=host_frames)
    except Exception as error:
        camera.close()
        raise explain(error) from error
    return Session(
        plan, pipeline, streams, name=f"OAK {camera.getDeviceName()}", dai=dai, limit=limit,
        close=camera.close, logs=logs, source=state,
    )  # fmt: skip


def _keep(logs: deque[str], entry: Any, dai: Any) -> None:
    """Keeps what the device logs of warnings and errors: why a network gives no results."""
    if entry.level.value >= dai.LogLevel.WARN.value:
        logs.append(str(entry.payload).strip())


def _largest(plan: PipelinePlan) -> tuple[int, int] | None:
    sizes = [(request.width, request.height) for request in plan.requests]
    return max(sizes, key=lambda size: size[0] * size[1]) if sizes else None
