"""OpenVINO IR of the same graph: for vendors' tools of newer chips, and for Intel's own.

It is written by the current openvino package (not by the 2022.1 compiler, whose blobs it has
nothing to do with), with FP16 weights, read back from the files, run on OpenVINO's CPU plugin and
held against ONNX Runtime by the same tolerance as a blob. An .xml and a .bin of the same name
belong together.

The two OpenVINOs must not meet in one process: the compiler's libraries are loaded with global
symbols, and the new ones then crash on them. So this has a worker of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import CheckFailed, EnvironmentFault, ModelError
from ..model import Model
from ..tensors import Decoding, TensorSpec
from ..verify import Verification
from .atomic import PathLike, write_all_atomic

COMPILER_LIBRARY = "libopenvino_intel_myriad_plugin.so"


@dataclass(frozen=True)
class IrFiles:
    """An IR that was written.

    Attributes:
        xml: the graph's file.
        bin: the weights' file beside it.
        verification: the CPU plugin's results on the two files against ONNX Runtime's.
        version: of the openvino package.
    """

    xml: Path
    bin: Path
    verification: Verification
    version: str


def write_ir(
    model: Model, directory: PathLike, *, name: str = "model", executor: Executor | None = None
) -> IrFiles:
    """Writes NAME.xml and NAME.bin, both or none, after checking them on OpenVINO's CPU plugin.

    Args:
        model: the graph to convert; its specs give the ranges of the test frames.
        directory: existing folder.
        name: of the files, without suffix.
        executor: where the graph meets native code: a process in which nothing was compiled;
            None: a limited worker for this one job.

    Raises:
        EnvironmentFault: openvino is not installed; the folder cannot be written to; the
            executor's process holds the compiler.
        ModelError: OpenVINO refuses the graph.
        CheckFailed: the IR does not compute what the ONNX does; nothing is written.
    """
    arguments = (model.onnx_bytes, model.inputs, model.outputs)
    if executor is not None:
        xml, weights, verification, version = executor.submit(ir_job, *arguments).result()
    else:
        from ..workers import LimitedExecutor, default_executor

        limits = default_executor()
        with LimitedExecutor(timeout=limits.timeout, memory=limits.memory) as own:
            xml, weights, verification, version = own.submit(ir_job, *arguments).result()
    verification.require(f"the OpenVINO IR of {model.origin}")
    target = Path(directory)
    files = {target / f"{name}.xml": xml, target / f"{name}.bin": weights}
    write_all_atomic(files)
    return IrFiles(target / f"{name}.xml", target / f"{name}.bin", verification, version)


def ir_job(
    onnx_bytes: bytes, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> tuple[bytes, bytes, Verification, str]:
    """The part of `write_ir` that runs inside the worker; not for direct use."""
    if _compiled_here():
        raise EnvironmentFault(
            "the IR cannot be written in a process that has compiled a blob",
            remedy="give write_ir an executor of its own, or none",
        )
    try:
        openvino: Any = import_module("openvino")  # it has no type stubs
    except ImportError as error:
        raise EnvironmentFault(
            "writing an OpenVINO IR needs the openvino package",
            remedy="pip install 'blobsmith[ir]'",
        ) from error
    import onnx

    from ..reference import frames_for
    from ..verify import compare, thresholded_outputs

    core = openvino.Core()
    with tempfile.TemporaryDirectory(prefix="blobsmith-") as scratch:
        path = Path(scratch) / "model.xml"
        try:
            graph = core.read_model(onnx_bytes)
            openvino.save_model(graph, str(path), compress_to_fp16=True)
            frames = frames_for(inputs)
            actual = _on_cpu(core, path, outputs, frames)
        except RuntimeError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise ModelError(
                f"OpenVINO refuses the graph: {lines[-1] if lines else error}",
                remedy="build without --ir",
            ) from error
        xml, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    expected = _on_onnxruntime(onnx_bytes, outputs, frames)
    # Both results carry the recorded factor, so neither is divided by it.
    specs = [replace(spec, decoding=Decoding(spec.decoding.kind)) for spec in outputs]
    stepped = thresholded_outputs(onnx.load_model_from_string(onnx_bytes))
    verification = compare(specs, expected, actual, thresholded=stepped)
    return xml, weights, verification, str(openvino.__version__)


def _compiled_here() -> bool:
    """Whether this process has loaded the compiler (which exists for Linux only)."""
    try:
        return COMPILER_LIBRARY in Path("/proc/self/maps").read_text()
    except OSError:
        return False


def _on_cpu(
    core: Any, path: Path, outputs: Sequence[TensorSpec], frames: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    # Without the hint the plugin computes in BF16 where the CPU has it, which is coarser.
    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    have = {name for port in compiled.outputs for name in port.get_names()}
    lost = sorted({spec.name for spec in outputs} - have)
    if lost:
        raise CheckFailed(f"the OpenVINO IR has lost the output {lost[0]!r}")
    results = []
    for frame in frames:
        found = compiled({name: _floats(value) for name, value in frame.items()})
        results.append({spec.name: found[spec.name].copy() for spec in outputs})
    return results


def _on_onnxruntime(
    onnx_bytes: bytes, outputs: Sequence[TensorSpec], frames: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    import onnxruntime as ort

    session = ort.InferenceSession(onnx_bytes, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in outputs]
    feeds = [{name: _floats(value) for name, value in frame.items()} for frame in frames]
    return [dict(zip(names, session.run(names, feed), strict=True)) for feed in feeds]


def _floats(value: Any) -> Any:
    import numpy as np

    return np.asarray(value, np.float32)
