"""A DepthAI v3 pipeline without a device.

    with host_pipeline("video.mp4") as pipeline:      # instead of: with dai.Pipeline() as pipeline:
        camera = pipeline.create(dai.node.Camera).build()
        network = pipeline.create(dai.node.NeuralNetwork)
        network.setBlobPath("blur.blob")
        camera.requestOutput((300, 300), dai.ImgFrame.Type.BGR888p).link(network.input)
        results = network.out.createOutputQueue()
        pipeline.start()
        while pipeline.isRunning():
            results.get().getTensor("output")

It is a real `dai.Pipeline` with real links and queues; only where a node needs the device, a host
node of the same methods takes its place. Cameras read a frame source of the host, all cameras the
same one unless told otherwise, and the network runs the blob's bytes on the emulator.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import depthai as dai

from ..blob import Blob
from ..errors import BlobsmithError, SourceError, UsageError
from ..packaging.artifact import Artifact, open_artifact
from ..runtime.engines import Engine, emulator_engine, onnx_engine
from ..runtime.sources import Frame, open_source, take
from .host_nodes import HostNeuralNetwork, HostScript
from .host_source import HostCamera, HostSource, HostState

EngineKind = Literal["emulator", "onnx"]
Node = TypeVar("Node")
_RUN_ON_HOST = (dai.node.ImageManip, dai.node.Sync)


class HostPipeline(dai.Pipeline):
    """See the module's head. Make it with `host_pipeline`.

    Attributes:
        failure: the error that ended it, or None.
        state: what the nodes share: whether all frames have been worked off, notes.
    """

    def __init__(
        self,
        source: str | Path = "sample",
        sockets: Mapping[str, str | Path] | None = None,
        engine: EngineKind | Engine = "emulator",
        limit: int | None = None,
        size: tuple[int, int] | None = None,
        stop_at_end: bool = True,
    ) -> None:
        super().__init__(createImplicitDevice=False)
        self._source, self._sockets = source, dict(sockets or {})
        self._engine, self._limit, self._size = engine, limit, size
        self._stop_at_end = stop_at_end
        self.state = HostState()
        self._sources: dict[str, HostSource] = {}
        self._networks: list[Any] = []
        self._scripts: list[Any] = []

    @property
    def failure(self) -> BlobsmithError | None:
        """The error that ended the pipeline, or None."""
        return self.state.failure

    def create(self, arg0: type[Node], *args: Any, **kwargs: Any) -> Node:
        """As `dai.Pipeline.create`.

        Raises:
            UsageError: the node needs a device and has no stand-in here.
        """
        stand_in = self._stand_in(arg0)
        if stand_in is not None:
            return cast(Node, stand_in)
        if arg0 in _RUN_ON_HOST:
            node: Any = super().create(arg0, *args, **kwargs)
            node.setRunOnHost(True)
            return cast(Node, node)
        if issubclass(arg0, dai.DeviceNode):
            raise UsageError(
                f"the node {arg0.__name__} runs on a camera only",
                remedy="without a camera there are Camera, NeuralNetwork, Script, ImageManip, "
                "Sync and host nodes",
            )
        return super().create(arg0, *args, **kwargs)

    def _stand_in(self, kind: type[Any]) -> Any:
        if kind is dai.node.Camera:
            return HostCamera(self.source_of)
        if kind is dai.node.Script:
            script = super().create(HostScript).build(self.state)
            self._scripts.append(script)
            return script
        if kind is dai.node.NeuralNetwork:
            network = super().create(HostNeuralNetwork).build(self.state, self._open_model)
            self._networks.append(network)
            return network
        return None

    def start(self) -> None:
        """As `dai.Pipeline.start`, after a look at the links.

        Raises:
            UsageError: a network without model, or with an input that nothing feeds.
        """
        for network in self._networks:
            network.check_links()
        # A camera drops what is not taken in time; a replay must not.
        for node in (*self._networks, *self._scripts):
            for port in node.inputs.values():
                port.setBlocking(True)
                port.setMaxSize(max(port.getMaxSize(), 2))
        atexit.register(_stop, weakref.ref(self))
        super().start()

    def stop(self) -> None:
        """As `dai.Pipeline.stop`, and waits for the nodes' threads.

        A thread that still runs Python code when the interpreter ends would abort the process.
        """
        super().stop()
        super().wait()

    def __exit__(  # type: ignore[override]  # the stub returns None; Python allows a bool
        self,
        kind: object,
        error: object,
        trace: object,
    ) -> bool:
        """Stops the pipeline; an error of one of its nodes is raised here in the user's terms.

        That a queue closes because the frames have ended is no error, and goes no further.
        """
        super().__exit__(kind, error, trace)
        super().wait()
        if self.failure is not None and (error is None or isinstance(error, _closed())):
            raise self.failure from (error if isinstance(error, BaseException) else None)
        return self.state.finished and isinstance(error, _closed())

    def source_of(self, socket: str) -> HostSource:
        """The node that reads the frames of this camera; cameras of one source share it."""
        text = str(self._sockets.get(socket, self._source))
        if text not in self._sources:
            node = super().create(HostSource)
            frames = partial(_frames, text, self._size, self._limit, self.state)
            self._sources[text] = node.build(frames, self.state, self._stop_at_end)
        return self._sources[text]

    def _open_model(self, model: Any, shaves: int | None) -> Engine:
        """An engine for what was handed to the NeuralNetwork."""
        if not isinstance(self._engine, str):
            return self._engine
        if isinstance(model, dai.NNArchive):
            model = _archive_blob(model, shaves)
        if isinstance(model, dai.OpenVINO.Blob):
            if self._engine == "onnx":
                raise SourceError(
                    "of a blob alone the ONNX is not known", remedy="nn.setBlobPath(path)"
                )
            return emulator_engine(Blob.from_bytes(bytes(model.data)))
        return artifact_engine(open_artifact(model), self._engine, shaves)


def artifact_engine(artifact: Artifact, kind: EngineKind, shaves: int | None = None) -> Engine:
    """What runs a built file on the host.

    Raises:
        PackageError: there is no blob for that many shaves.
        SourceError: the ONNX is not known.
    """
    if kind == "emulator" and artifact.holds != "onnx":
        return emulator_engine(artifact.blob(shaves), artifact.inputs, artifact.outputs)
    return onnx_engine(artifact.onnx_bytes(), artifact.inputs, artifact.outputs)


def _frames(
    text: str, size: tuple[int, int] | None, limit: int | None, state: HostState
) -> Iterator[Frame]:
    with open_source(text, size=size, count=limit) as source:
        yield from take(source, limit)
        state.notes.update(dict.fromkeys(source.notes))


def shared_source(
    pipeline: Any,
    source: str | Path,
    *,
    size: tuple[int, int] | None = None,
    limit: int | None = None,
) -> tuple[Callable[[str], HostSource], HostState]:
    """In a pipeline on a device: frames of the host in place of the device's cameras.

    Returns:
        What gives the one source for any socket, and the state that tells when it has ended.
    """
    state = HostState()
    node = pipeline.create(HostSource)
    node.build(partial(_frames, str(source), size, limit, state), state, False)
    return (lambda socket: node), state


def host_pipeline(
    source: str | Path = "sample",
    *,
    sockets: Mapping[str, str | Path] | None = None,
    engine: EngineKind | Engine = "emulator",
    limit: int | None = None,
    size: tuple[int, int] | None = None,
    stop_at_end: bool = True,
) -> HostPipeline:
    """A DepthAI v3 pipeline without a device.

    Args:
        source: what the cameras see: "sample", "webcam", or an image, folder or video.
        sockets: "CAM_A", "CAM_B", ... -> a source of its own for that camera.
        engine: "emulator" (the blob, FP16), "onnx" (the ONNX recorded in the manifest, FP32), or
            anything with `inputs`, `outputs` and `run`.
        limit: frames at most.
        size: (width, height) of the sample's frames.
        stop_at_end: stop the pipeline some time after the last frame, as `ReplayVideo` does;
            queues are then closed, and what was not taken from them is lost.
    """
    return HostPipeline(source, sockets, engine, limit, size, stop_at_end)


def _stop(pipeline: weakref.ref[HostPipeline]) -> None:
    """At the end of a program that has not stopped its pipeline; see `HostPipeline.stop`."""
    running = pipeline()
    if running is not None and running.isRunning():
        running.stop()


def _archive_blob(archive: Any, shaves: int | None) -> Any:
    if archive.getModelType() == dai.ModelType.SUPERBLOB:
        return archive.getSuperBlob().getBlobWithNumShaves(shaves or 8)
    if shaves is not None or archive.getModelType() != dai.ModelType.BLOB:
        raise UsageError(
            "a number of shaves can only be chosen from an archive with a superblob"
            if shaves is not None
            else "the archive holds no blob",
            remedy="build it with --format superblob, or do not give the number",
        )
    return archive.getBlob()


def _closed() -> type[BaseException]:
    exception: type[BaseException] = dai.MessageQueue.QueueException
    return exception
