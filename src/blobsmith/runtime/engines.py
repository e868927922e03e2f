"""What computes the outputs: ONNX Runtime in FP32, or the emulator on the blob's own bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import ModelError
from ..tensors import TensorSpec
from .arrays import Array

if TYPE_CHECKING:
    from ..blob import Blob

_ORT_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


class Engine(Protocol):
    """Runs a model on arrays.

    Attributes:
        name: for labels, e.g. "emulator, FP16".
        inputs: what `run` wants, in order.
        outputs: what `run` gives, in order.
    """

    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...
    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    def run(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Input arrays of the specs' shapes and dtypes to output arrays.

        The result may carry `.warnings`, a sequence whose items are shown to the user as text.
        """
        ...


@dataclass(frozen=True)
class OnnxEngine:
    """An ONNX graph in ONNX Runtime on the CPU, in FP32: U8 and FP16 inputs are cast to its types.

    Make it with `onnx_engine`.
    """

    session: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    types: Mapping[str, Any]
    name: str = "ONNX Runtime, FP32"

    def run(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """See `Engine.run`."""
        wanted = {
            spec.name: np.asarray(feeds[spec.name]).astype(self.types[spec.name], copy=False)
            for spec in self.inputs
        }
        names = [spec.name for spec in self.outputs]
        return dict(zip(names, self.session.run(names, wanted), strict=True))


def onnx_engine(
    onnx_bytes: bytes,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    threads: int = 0,
) -> OnnxEngine:
    """An engine for a serialised ONNX graph.

    Args:
        onnx_bytes: the ModelProto.
        inputs: specs of all of the graph's inputs.
        outputs: specs of the wanted outputs.
        threads: of ONNX Runtime; 0: as many as there are cores.

    Raises:
        ModelError: ONNX Runtime refuses the graph, or it has other inputs or outputs.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no public tree of exceptions
        raise ModelError(
            f"ONNX Runtime refuses the graph: {str(error).splitlines()[0]}",
            remedy="check that the ONNX file is whole",
        ) from error
    have = {item.name: item for item in session.get_inputs()}
    for kind, specs, names in (
        ("input", inputs, set(have)),
        ("output", outputs, {item.name for item in session.get_outputs()}),
    ):
        wanted = {spec.name for spec in specs}
        odd = sorted(wanted - names or (names - wanted if kind == "input" else ()))
        if odd:
            raise ModelError(
                f"the {kind} {odd[0]!r} does not match the graph",
                where=f"the graph has {', '.join(sorted(names))}",
                remedy="the ONNX file and its manifest do not belong together: build again",
            )
    types = {name: _ORT_TYPES.get(item.type, np.float32) for name, item in have.items()}
    return OnnxEngine(session, tuple(inputs), tuple(outputs), types)


@dataclass(frozen=True)
class EmulatorEngine:
    """A compiled blob on the emulator. Make it with `emulator_engine`."""

    emulator: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    name: str = "emulated blob, FP16"

    def run(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """See `Engine.run`."""
        result: Mapping[str, Array] = self.emulator.run(feeds)
        return result


def emulator_engine(
    blob: Blob,
    inputs: Sequence[TensorSpec] | None = None,
    outputs: Sequence[TensorSpec] | None = None,
) -> EmulatorEngine:
    """An engine for a blob.

    Args:
        blob: what is run: nothing else is known to the emulator.
        inputs: specs with colour order from the manifest; None: those of the blob's header.
        outputs: specs with decoding from the manifest; None: those of the blob's header.

    Raises:
        BlobError: the blob holds a stage that the emulator does not know.
    """
    from ..emulator import Emulator

    return EmulatorEngine(
        Emulator(blob),
        tuple(blob.input_specs if inputs is None else inputs),
        tuple(blob.output_specs if outputs is None else outputs),
    )
