"""One function through the plain recipe and through blobsmith; runs in a worker process."""

from __future__ import annotations

import io
import math
import re
import time
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .coverage_table import CaseResult
from .errors import BlobsmithError, CheckFailed

# where packages lie differs from machine to machine, and a table is read on others
_FOLDERS = re.compile(r"\S*/site-packages/")

if TYPE_CHECKING:
    from .builder import BuildResult


def run_case(catalogue: ModuleType, case: Any, shaves: int) -> CaseResult:
    """One case through both roads.

    Args:
        catalogue: the module that the case is from; its `Wrap` makes a module of the case.
        case: (group, name, fn, shapes).
        shaves: SHAVEs to compile for.
    """
    module = wrapped(catalogue, case)
    shapes = {f"x{i}": tuple(shape) for i, shape in enumerate(case[3])}
    result = _recipe(CaseResult(str(case[0]), str(case[1])), module, shapes, shaves)
    return _blobsmith(result, module, shapes, shaves)


def wrapped(catalogue: ModuleType, case: Any) -> Any:
    """The torch module of a case."""
    import torch

    wrap = getattr(catalogue, "Wrap", None)
    if wrap is not None:
        return wrap(case).eval()

    class Plain(torch.nn.Module):  # type: ignore[misc]
        def forward(self, *inputs: Any) -> Any:
            return case[2](*inputs)

    return Plain().eval()


def _recipe(
    result: CaseResult, module: Any, shapes: Mapping[str, tuple[int, ...]], shaves: int
) -> CaseResult:
    """What the plain recipe makes of it."""
    try:
        data = export_plainly(module, shapes)
    except Exception as error:  # the exporter raises whatever the function does
        return replace(result, recipe_reason=f"export: {first_line(error)}")
    result = replace(result, exported=True)
    try:
        stages, ms = _compiled(data, shapes, shaves)
    except BlobsmithError as error:
        return replace(result, recipe_reason=f"compile: {first_line(error)}")
    return replace(result, compiled=True, recipe_stages=stages, recipe_ms=ms)


def export_plainly(module: Any, shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """The tutorial's export: TorchScript exporter, opset 12, onnxsim."""
    import warnings

    import onnx
    import onnxsim
    import torch

    torch.manual_seed(0)
    example = tuple(torch.rand(shape) * 255 for shape in shapes.values())
    buffer, quiet = io.BytesIO(), io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(quiet), redirect_stderr(quiet):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, example, buffer, opset_version=12, input_names=list(shapes), dynamo=False
        )
        proto, _ = onnxsim.simplify(onnx.load_model_from_string(buffer.getvalue()))
    data: bytes = proto.SerializeToString()
    return data


def _compiled(data: bytes, shapes: Mapping[str, tuple[int, ...]], shaves: int) -> tuple[int, float]:
    """Stages and predicted milliseconds of a graph, U8 in and FP16 out."""
    import onnx

    from .myriad import CompileOptions, compile_onnx

    proto = onnx.load_model_from_string(data)
    options = CompileOptions(
        shaves=shaves,
        inputs=dict.fromkeys((i.name for i in proto.graph.input if i.name in shapes), "u8"),
        outputs=dict.fromkeys((o.name for o in proto.graph.output), "fp16"),
    )
    return _cost(compile_onnx(data, options))


def _cost(data: bytes) -> tuple[int, float]:
    from .blob import Blob
    from .cost import predict

    prediction = predict(Blob.from_bytes(data))
    return prediction.stages + prediction.injected, prediction.total_ms


def _blobsmith(
    result: CaseResult, module: Any, shapes: Mapping[str, tuple[int, ...]], shaves: int
) -> CaseResult:
    """What blobsmith makes of it."""
    from .builder import build

    began = time.perf_counter()
    try:
        built = build(module, inputs=shapes, shaves=shaves, use_cache=False)
    except CheckFailed as error:
        result = replace(result, reason=first_line(error))
        try:
            built = _scaled(module, shapes, shaves) or build(
                module, inputs=shapes, shaves=shaves, use_cache=False, verify=False
            )
        except Exception:
            return replace(result, seconds=time.perf_counter() - began)
    except Exception as error:  # torch raises whatever the function does
        return replace(result, reason=first_line(error), seconds=time.perf_counter() - began)
    return replace(_described(result, built, module), seconds=round(time.perf_counter() - began, 2))


def _scaled(module: Any, shapes: Mapping[str, tuple[int, ...]], shaves: int) -> BuildResult | None:
    """The blob with an output scaled into FP16's range, the factor recorded; None if not right."""
    from .builder import build

    try:
        return build(module, inputs=shapes, shaves=shaves, use_cache=False, fix_fp16=True)
    except BlobsmithError:
        return None


def _described(result: CaseResult, built: BuildResult, module: Any) -> CaseResult:
    stages, ms = _cost(built.blob_bytes)
    rewrites = tuple(dict.fromkeys(built.rewrites))
    result = replace(result, built=True, stages=stages, ms=ms, rewrites=rewrites)
    result = replace(result, onnx_error=_onnx_error(built, module))
    if built.verification is None:
        return result
    plain = [o for o in built.verification.outputs if not o.thresholded]
    masks = [o for o in built.verification.outputs if o.thresholded]
    shares = [o.largest / (o.high - o.low) if o.high > o.low else 0.0 for o in plain]
    factors = [spec.decoding.factor for spec in built.manifest.outputs]
    return replace(
        result,
        reason="",
        verified=built.verification.passed,
        blob_error=max(shares, default=math.nan),
        mismatched=max((o.mismatched for o in masks), default=math.nan),
        factor=next((f for f in factors if f != 1), 1.0),
    )


def _onnx_error(built: BuildResult, module: Any) -> float:
    """Largest error of the rewritten graph in FP32 against the user's function."""
    import functools

    import numpy as np

    from .graph import equivalence
    from .reference import frames_for, module_outputs, onnx_outputs

    if built.result is None:
        return math.nan
    model = replace(built.result.model, module=module)
    frames = frames_for(model.inputs)
    run = functools.partial(equivalence.run, model.onnx_bytes)
    worst = 0.0
    wanted, got = module_outputs(model, frames), onnx_outputs(run, model, frames)
    for name in wanted[0]:
        a = np.concatenate([np.ravel(w[name]).astype(np.float64) for w in wanted])
        b = np.concatenate([np.ravel(g[name]).astype(np.float64) for g in got])
        finite = np.isfinite(a) & np.isfinite(b)
        if finite.any():
            span = float(a[finite].max() - a[finite].min()) or 1.0
            worst = max(worst, float(np.abs(a - b)[finite].max()) / span)
    return worst


def first_line(error: BaseException) -> str:
    """What an error says and what to do instead, in one line of at most 500 characters."""
    text = error.what if isinstance(error, BlobsmithError) else str(error)
    lines = [line for line in text.strip().splitlines() if line.strip()]
    first = lines[0].strip() if lines else type(error).__name__
    first = _FOLDERS.sub("", first)
    if isinstance(error, BlobsmithError) and error.remedy:
        first = f"{first}; {error.remedy}"
    return first if len(first) <= 500 else first[:497] + "..."
