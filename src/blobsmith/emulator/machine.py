"""`Emulator`: executes the bytes of a compiled .blob."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import cv2
import numpy as np

from ..blob.reader import Blob
from ..blob.records import Location
from ..errors import BlobError, FrameError
from ..tensors import NUMPY_NAMES, TensorSpec
from .arrays import Array
from .coverage import unwritten_reads
from .memory import Memory
from .operands import Scratch
from .plan import plan
from .results import RunResult, WarningLog

_STEP_ERRORS = (ValueError, TypeError, IndexError, OverflowError, MemoryError, cv2.error)
"""What NumPy and OpenCV raise on operands that a damaged file makes absurd."""


class Emulator:
    """Runs a blob on the host, stage by stage, on byte memory as the chip has it.

    FP16 tensors are stored as FP16; a stage computes in FP32 and rounds once, to nearest even,
    when it stores. What the chip does differently, or may do, is in docs/emulator.md: equality
    with the chip's bits is not claimed.

    Memory and all views on it are planned once, here; `run` only computes. An instance may be
    used from several threads, which then take turns.

    Args:
        blob: the blob; only its bytes are used.
        poison: fill unwritten memory with NaN instead of zeros, to find stages whose result
            depends on it.

    Raises:
        BlobError: a stage type that cannot be executed (the error names it), operands that do not
            fit their stage, or more memory or work than a camera could give.

    Attributes:
        blob: the blob.
        unwritten: indices of stages that read memory which nothing has written. Hardware stages
            do so regularly, for channels whose weights are zero.
    """

    def __init__(self, blob: Blob, *, poison: bool = False) -> None:
        self.blob = blob
        self._lock = threading.Lock()
        self._log = WarningLog()
        self._memory = Memory(blob, poison=poison)
        self._scratch = Scratch()
        batch = blob.header.batch_size
        for spec in (*blob.input_specs, *blob.output_specs):
            if batch > 1 and spec.layout[:1] != "N":
                raise BlobError(
                    f"the batch is {batch}, but {spec.name!r} has no batch dimension",
                    where=blob.name,
                )
        with np.errstate(all="ignore"):
            self._stages = plan(blob, self._memory, self._scratch, self._log)
        self._inputs = [
            (spec, self._memory.io_view(info, Location.INPUT))
            for spec, info in zip(blob.input_specs, blob.inputs, strict=True)
        ]
        self._outputs = [
            (spec, self._memory.io_view(info, Location.OUTPUT))
            for spec, info in zip(blob.output_specs, blob.outputs, strict=True)
        ]
        self.unwritten = unwritten_reads(blob, self._memory)

    @property
    def nbytes(self) -> int:
        """Bytes of the emulated memory and of the shared work arrays."""
        return self._memory.nbytes + self._scratch.nbytes

    def run(self, inputs: Mapping[str, Array]) -> RunResult:
        """Executes all stages once for each sample of the batch.

        Args:
            inputs: an array for each input, by name, in ONNX order and of the type that the
                blob's input has (uint8, float16, float32, int32). A float32 or float64 array is
                accepted for an FP16 input and rounded.

        Returns:
            The outputs by name, and the warnings of this run.

        Raises:
            FrameError: an input is missing, unknown, of the wrong shape or type.
        """
        arrays = [_checked(spec, inputs) for spec, _ in self._inputs]
        known = {spec.name for spec, _ in self._inputs}
        for name in inputs:
            if name not in known:
                raise FrameError(
                    f"the blob has no input {name!r}",
                    where=f"inputs: {', '.join(sorted(known)) or 'none'}",
                    remedy="give arrays under the names of the blob's inputs",
                )
        batch = self.blob.header.batch_size
        with self._lock, np.errstate(all="ignore"):
            results = {spec.name: np.empty(spec.shape, view.dtype) for spec, view in self._outputs}
            self._log.clear()
            for sample in range(batch):
                self._memory.reset()
                for array, (_, view) in zip(arrays, self._inputs, strict=True):
                    np.copyto(view, _slice(array, sample, batch))
                self._execute()
                for spec, view in self._outputs:
                    np.copyto(_slice(results[spec.name], sample, batch), view)
            return RunResult(results, self._log.items())

    def _execute(self) -> None:
        """One pass over all stages, for the sample that lies in the input memory."""
        for stage, steps in self._stages:
            try:
                for step in steps:
                    step()
            except _STEP_ERRORS as error:
                raise BlobError(
                    f"the stage cannot be executed: {error}",
                    where=f"stage {stage.index} ({stage.type_name})",
                    remedy="the file is damaged; build it again",
                ) from error


def _slice(array: Array, sample: int, batch: int) -> Array:
    if batch == 1:
        return array
    each = array.shape[0] // batch
    return array[sample * each : (sample + 1) * each]


def _checked(spec: TensorSpec, inputs: Mapping[str, Array]) -> Array:
    wanted = np.dtype(NUMPY_NAMES[spec.dtype])
    shape = "x".join(map(str, spec.shape))
    if spec.name not in inputs:
        raise FrameError(
            f"the input {spec.name!r} is missing",
            where=f"given: {', '.join(map(str, inputs)) or 'nothing'}",
            remedy=f"give a {wanted} array of {shape}",
        )
    array = np.asarray(inputs[spec.name])
    if array.shape != spec.shape:
        raise FrameError(
            f"the input {spec.name!r} has the shape {'x'.join(map(str, array.shape)) or 'scalar'}",
            where=f"the blob takes {shape}",
            remedy="resize the frame, or build the blob for this size",
        )
    if array.dtype == wanted:
        return array
    if spec.dtype in ("fp16", "fp32") and array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(wanted)
    raise FrameError(
        f"the input {spec.name!r} is {array.dtype}",
        where=f"the blob takes {wanted}",
        remedy=f"convert the array to {wanted}, or build the blob with --input {spec.name}=..:TYPE",
    )
