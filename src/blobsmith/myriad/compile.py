"""From ONNX bytes to blob bytes, in a worker process."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, OperatorError, OpsetError
from .options import CompileOptions

if TYPE_CHECKING:
    from ..blob import Blob
    from .native import NativeCompiler

HIGHEST_OPSET = 15
_MODEL = "model.onnx"


def compile_onnx(
    onnx_bytes: bytes, options: CompileOptions, *, executor: Executor | None = None
) -> bytes:
    """Compiles one static ONNX graph of opset 15 or below to a blob, cut at its own size.

    Precisions that `options` leaves open: U8 for inputs, FP16 for outputs. The blob's input and
    output names, shapes and types have been compared with the graph's.

    Args:
        onnx_bytes: the serialised ModelProto.
        options: shaves, slices, precisions, plugin configuration.
        executor: where to run it; None for this process's own limited worker.

    Raises:
        OpsetError: the opset is above 15, which the compiler would read wrongly without an error.
        OperatorError: the compiler lacks an operator or refuses the graph; the reason in words.
        BlobError: the blob does not have the inputs and outputs of the graph.
        ToolchainError: the compiler is missing or damaged.
        EnvironmentFault: the worker ran out of time or memory, or died.
    """
    return compile_variants(onnx_bytes, [options], executor=executor)[0]


def compile_variants(
    onnx_bytes: bytes, variants: Sequence[CompileOptions], *, executor: Executor | None = None
) -> list[bytes]:
    """Compiles the same graph once for each of `variants`, in threads of one worker.

    Args and errors as for `compile_onnx`; blobs come in the order of `variants`.
    """
    from ..workers import default_executor
    from .toolchain import toolchain_directory

    pool = executor or default_executor()
    job = pool.submit(compile_job, str(toolchain_directory()), onnx_bytes, tuple(variants))
    result: list[bytes] = job.result()
    return result


@functools.cache
def _made(directory: str) -> NativeCompiler:
    from .native import NativeCompiler
    from .toolchain import require

    return NativeCompiler(require(Path(directory)))


_making = threading.Lock()


def _compiler(directory: str) -> NativeCompiler:
    """This worker's one core object; made after the libraries' hashes are checked."""
    with _making:
        return _made(directory)


def warm_up(directory: str) -> None:
    """Loads the compiler in a thread, beside whatever the worker does before it compiles.

    What is wrong with the compiler is told when it is used.
    """

    def load() -> None:
        with contextlib.suppress(Exception):
            _compiler(directory)

    threading.Thread(target=load, daemon=True).start()


def compile_job(
    directory: str, onnx_bytes: bytes, variants: tuple[CompileOptions, ...]
) -> list[bytes]:
    """The part of `compile_variants` that runs inside the worker; not for direct use."""
    return [blob.data for blob in compiled(directory, onnx_bytes, variants)]


def compiled(directory: str, onnx_bytes: bytes, variants: tuple[CompileOptions, ...]) -> list[Blob]:
    """`compile_job`, for those who go on with the blobs as they were read for its comparison."""
    import onnx

    from ..blob import Blob
    from .signature import check_signature

    try:
        proto = onnx.load_model_from_string(onnx_bytes)
    except Exception as error:
        raise ModelError(f"these bytes are not an ONNX model: {error}") from error
    _check_opset(proto)
    if not all(value.type.tensor_type.HasField("shape") for value in proto.graph.output):
        proto = onnx.shape_inference.infer_shapes(proto)
    inputs, outputs = _shapes(proto.graph.input), _shapes(proto.graph.output)
    filled = [
        replace(
            options,
            inputs={name: options.inputs.get(name, "u8") for name in inputs},
            outputs={name: options.outputs.get(name, "fp16") for name in outputs},
        )
        for options in variants
    ]
    compiler = _compiler(directory)
    with tempfile.TemporaryDirectory(prefix="blobsmith-") as scratch:
        path = Path(scratch) / _MODEL
        path.write_bytes(onnx_bytes)

        def one(number: int) -> bytes:
            return _compile_one(compiler, path, Path(scratch) / f"{number}.blob", filled[number])

        blobs = _in_threads(one, len(filled))
    read = [Blob.from_bytes(data) for data in blobs]
    for blob, options in zip(read, filled, strict=True):
        check_signature(blob, inputs, outputs, options)
    return read


def _in_threads(one: Callable[[int], bytes], count: int) -> list[bytes]:
    if count == 1:
        return [one(0)]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=4) as threads:
        return list(threads.map(one, range(count)))


def _compile_one(compiler: NativeCompiler, path: Path, out: Path, options: CompileOptions) -> bytes:
    from .native import NativeStepError, config_items
    from .reason import find_reason

    try:
        return compiler.compile(path, out, options)
    except NativeStepError as error:
        refusal = find_reason(compiler.directory, path, config_items(options), dict(options.inputs))
        what = f"the MyriadX compiler refuses the graph: {refusal.text}"
        raise RefusedError(
            what, where=refusal.layer, remedy=_advice(refusal.operators), step=error.step,
            operators=refusal.operators,
        ) from error  # fmt: skip


class RefusedError(OperatorError):
    """The compiler refused; `operators` are those it named, `where` the layer it named."""

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        remedy: str = "",
        step: str = "",
        operators: tuple[str, ...] = (),
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.step = step
        self.operators = operators

    def __reduce__(self) -> tuple[object, ...]:
        return (
            _rebuild,
            (self.what, self.where, self.remedy, self.step, self.operators),
        )


def _rebuild(
    what: str, where: str, remedy: str, step: str, operators: tuple[str, ...]
) -> RefusedError:
    return RefusedError(what, where=where, remedy=remedy, step=step, operators=operators)


def _advice(operators: tuple[str, ...]) -> str:
    if operators:
        return f"write that step with other operators than {', '.join(operators)}"
    return "simplify the graph around the named layer"


def _check_opset(proto: Any) -> None:
    for entry in proto.opset_import:
        if entry.domain in ("", "ai.onnx") and entry.version > HIGHEST_OPSET:
            raise OpsetError(
                f"opset {entry.version} would be read wrongly, without an error, by this compiler",
                remedy=f"export with opset_version={HIGHEST_OPSET} or below, or let `blobsmith "
                "build` lower it",
            )


def _shapes(values: Any) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for value in values:
        dims = value.type.tensor_type.shape.dim
        known = value.type.tensor_type.HasField("shape")
        if not known or any(not dim.HasField("dim_value") or dim.dim_value <= 0 for dim in dims):
            raise ModelError(
                f"{value.name!r} has no fixed shape",
                remedy=f"give one: --input {value.name}=1x3x300x300",
            )
        shapes[value.name] = tuple(dim.dim_value for dim in dims)
    return shapes
