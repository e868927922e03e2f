"""A run through a DepthAI v3 pipeline, on a camera or without one: frames in, results out, in step.

    with host_session(artifact, source="video.mp4") as session:
        for result in session:
            result.outputs["output"]

The two differ in the pipeline they open and in nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..packaging.artifact import Artifact
from . import v3
from .devices import check_sockets, open_device, require_depthai
from .faults import explain
from .plan import PipelinePlan
from .planner import DEFAULT_FPS, plan_pipeline
from .results import PipelineResult, Session
from .shaves import DEFAULT_THREADS, recommend

if TYPE_CHECKING:
    from .host import EngineKind

__all__ = ["PipelineResult", "Session", "device_session", "host_session"]


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
    dai = dai or require_depthai()
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
    for tensor in plan.tensors:  # pictures that no camera has in that type
        axes = dict(zip(tensor.spec.layout, tensor.spec.shape, strict=False))
        if tensor.spec.color is not None and "H" in axes and "W" in axes:
            sizes.append((axes["W"], axes["H"]))
    return max(sizes, key=lambda size: size[0] * size[1]) if sizes else None
