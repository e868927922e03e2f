"""ONNX Runtime in a worker process: where an .onnx that somebody else made meets native code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..tensors import TensorSpec
from .arrays import Array

if TYPE_CHECKING:
    from ..model import Model
    from .engines import OnnxEngine


@dataclass(frozen=True)
class RemoteOnnxEngine:
    """An ONNX graph in ONNX Runtime in a worker. Make it with `remote_engine`."""

    onnx_bytes: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    executor: Executor
    name: str = "ONNX Runtime, FP32"

    def run(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """See `Engine.run`. A worker that was replaced is given the graph again."""
        key = hashlib.sha256(self.onnx_bytes).hexdigest()
        found = self.executor.submit(run_session, key, dict(feeds)).result()
        if found is None:
            arguments = (key, self.onnx_bytes, self.inputs, self.outputs)
            self.executor.submit(open_session, *arguments).result()
            found = self.executor.submit(run_session, key, dict(feeds)).result()
        if found is None:
            raise ModelError("the worker lost the graph between two calls")
        outputs: Mapping[str, Array] = found
        return outputs


def remote_engine(
    onnx_bytes: bytes,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    executor: Executor | None = None,
) -> RemoteOnnxEngine:
    """An engine whose ONNX Runtime lives in a worker.

    Args:
        onnx_bytes: the ModelProto.
        inputs, outputs: specs of all of the graph's inputs and of the wanted outputs.
        executor: where it runs; None: this process's own worker.

    Raises:
        ModelError: ONNX Runtime refuses the graph, or it has other inputs or outputs.
    """
    from ..workers import default_executor

    pool = executor or default_executor()
    key = hashlib.sha256(onnx_bytes).hexdigest()
    pool.submit(open_session, key, onnx_bytes, inputs, outputs).result()
    return RemoteOnnxEngine(onnx_bytes, inputs, outputs, pool)


def remote_file_engine(
    data: bytes, name: str, folder: str | None = None, executor: Executor | None = None
) -> RemoteOnnxEngine:
    """An engine for an .onnx file of any opset; it is parsed in the worker, too.

    Raises:
        ModelError: the file is damaged, or its shapes are not fixed.
    """
    from ..sources import load_onnx
    from ..workers import default_executor

    pool = executor or default_executor()
    model: Model = pool.submit(load_onnx, data, name=name, folder=folder).result()
    return remote_engine(model.onnx_bytes, model.inputs, model.outputs, pool)


# Sessions of this worker process, by hash of their graph; the newest few.
_sessions: dict[str, OnnxEngine] = {}
_KEPT = 4


def open_session(
    key: str, onnx_bytes: bytes, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> None:
    """Runs inside the worker: makes a session and keeps it."""
    from .engines import onnx_engine

    while len(_sessions) >= _KEPT:
        _sessions.pop(next(iter(_sessions)))
    _sessions[key] = onnx_engine(onnx_bytes, inputs, outputs)


def run_session(key: str, feeds: dict[str, Any]) -> dict[str, Array] | None:
    """Runs inside the worker; None if it does not have the graph (it may be a new process)."""
    engine = _sessions.get(key)
    return None if engine is None else dict(engine.run(feeds))
