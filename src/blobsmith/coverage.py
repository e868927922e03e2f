"""A catalogue of functions, each through the plain recipe and through blobsmith: what works, how well.

A catalogue is a Python file with `CASES`, a list of tuples (group, name, fn, shapes) where `fn` takes
one float tensor in 0..255 for each shape, and optionally `Wrap`, a module class that is given a case.
The recipe is what a user does without blobsmith: export with the TorchScript exporter at opset 12,
onnxsim, compile with U8 in and FP16 out.

    table = run_catalogue("cases.py", workers=2)
    table.write("coverage.md")

Every case runs in a worker process with a time limit: one that hangs or crashes costs itself alone.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .errors import BlobsmithError, CheckFailed, SourceError

if TYPE_CHECKING:
    from .builder import BuildResult

Progress = Callable[[int, int, str], None]
CASE_TIMEOUT = 300.0
_SLOWER = 1.0 + 1e-6


@dataclass(frozen=True)
class CaseResult:
    """What became of one case.

    Attributes:
        group, name: from the catalogue.
        exported: the recipe's exporter took it.
        compiled: the recipe made a blob.
        recipe_stages: stages of that blob, injected ones included; 0 without a blob.
        recipe_ms: its predicted time; NaN without a blob.
        built: blobsmith made a blob, right or not.
        stages, ms: the same of blobsmith's blob.
        verified: its outputs are within the tolerance of `verify`.
        onnx_error: largest error of the rewritten graph in FP32, as a share of the output's range.
        blob_error: largest error of the blob on the emulator, as a share of the output's range.
        mismatched: for thresholded outputs, the largest share of values that differ.
        factor: not 1 where an output is recorded as multiplied by it.
        rewrites: rules applied, each once.
        recipe_reason, reason: why there is no blob, or why it is not right; in one line.
        seconds: wall time of blobsmith's build.
    """

    group: str
    name: str
    exported: bool = False
    compiled: bool = False
    recipe_stages: int = 0
    recipe_ms: float = math.nan
    built: bool = False
    stages: int = 0
    ms: float = math.nan
    verified: bool = False
    onnx_error: float = math.nan
    blob_error: float = math.nan
    mismatched: float = math.nan
    factor: float = 1.0
    rewrites: tuple[str, ...] = ()
    recipe_reason: str = ""
    reason: str = ""
    seconds: float = 0.0

    @property
    def comparable(self) -> bool:
        """Both roads made a blob."""
        return self.compiled and self.built

    def row(self) -> dict[str, object]:
        """A flat form for CSV: floats of 5 digits, rules joined by blanks."""
        out: dict[str, object] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, float):
                value = "" if math.isnan(value) else f"{value:.5g}"
            out[item.name] = " ".join(value) if isinstance(value, tuple) else value
        return out


@dataclass(frozen=True)
class CoverageTable:
    """Results of a catalogue.

    Attributes:
        results: one a case, in the catalogue's order.
        shaves: SHAVEs compiled for.
        source: the catalogue's file name.
    """

    results: tuple[CaseResult, ...]
    shaves: int
    source: str = ""

    @property
    def verified(self) -> int:
        """Cases whose blob is right."""
        return sum(r.verified for r in self.results)

    @property
    def time_ratio(self) -> float:
        """Geometric mean of predicted time over the recipe's, where both made a blob."""
        return _geometric_mean(r.ms / r.recipe_ms for r in self.results if r.comparable)

    @property
    def stage_ratio(self) -> float:
        """Geometric mean of stages over the recipe's, where both made a blob."""
        return _geometric_mean(r.stages / r.recipe_stages for r in self.results if r.comparable)

    @property
    def slower(self) -> tuple[str, ...]:
        """Cases that are predicted slower than the recipe's."""
        return tuple(r.name for r in self.results if r.comparable and r.ms > r.recipe_ms * _SLOWER)

    @property
    def lost(self) -> tuple[str, ...]:
        """Cases that the recipe compiles and blobsmith makes no right blob of."""
        return tuple(r.name for r in self.results if r.compiled and not r.verified)

    def summary(self) -> dict[str, Any]:
        """The figures that the table amounts to, JSON-ready."""
        both = [r for r in self.results if r.comparable]
        return {
            "cases": len(self.results),
            "exported_by_recipe": sum(r.exported for r in self.results),
            "compiled_by_recipe": sum(r.compiled for r in self.results),
            "built": sum(r.built for r in self.results),
            "verified": self.verified,
            "compared": len(both),
            "time_ratio": round(self.time_ratio, 4) if both else None,
            "stage_ratio": round(self.stage_ratio, 4) if both else None,
            "slower": list(self.slower),
            "lost": list(self.lost),
            "shaves": self.shaves,
        }

    def summary_text(self) -> str:
        """The same as a few lines."""
        s = self.summary()
        lines = [
            f"{s['verified']} of {s['cases']} functions become a blob that is right by the "
            f"emulator; the recipe exports {s['exported_by_recipe']} and compiles "
            f"{s['compiled_by_recipe']}.",
        ]
        if s["compared"]:
            lines.append(
                f"Over the {s['compared']} that both compile, at {self.shaves} SHAVEs: predicted "
                f"time {self.time_ratio:.3f} of the recipe's, stages {self.stage_ratio:.3f} "
                "(geometric means)."
            )
            lines.append(f"Predicted slower: {', '.join(self.slower) or 'none'}.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form: the summary, and every case."""
        cases = []
        for result in self.results:
            case = asdict(result)
            case["rewrites"] = list(result.rewrites)
            cases.append({
                k: None if isinstance(v, float) and math.isnan(v) else v for k, v in case.items()
            })  # fmt: skip
        return {"summary": self.summary(), "cases": cases}

    def to_csv(self) -> str:
        """One line a case."""
        out = io.StringIO()
        names = [item.name for item in fields(CaseResult)]
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(result.row() for result in self.results)
        return out.getvalue()

    def to_markdown(self) -> str:
        """The summary and one row a case."""
        head = ["group", "function", "recipe", "stages", "ms", "blobsmith", "stages", "ms", "x",
                "error", "rewrites, or why not"]  # fmt: skip
        lines = [
            f"# Coverage of {self.source or 'a catalogue'}", "", self.summary_text(), "",
            "Times are predictions of the cost model, not measurements. Errors are those of the "
            "blob on the emulator against the function in FP32: the largest as a share of the "
            "output's range, or the share of pixels that differ.", "",
            f"| {' | '.join(head)} |", "|" + "---|" * len(head),
        ]  # fmt: skip
        lines += [f"| {' | '.join(_cells(result))} |" for result in self.results]
        return "\n".join(lines) + "\n"

    def write(self, path: str | Path) -> tuple[Path, Path]:
        """Writes Markdown and CSV side by side; returns both paths.

        Args:
            path: a .md or .csv file; the other gets the same name.
        """
        from .packaging.atomic import write_all_atomic

        target = Path(path)
        markdown, table = target.with_suffix(".md"), target.with_suffix(".csv")
        write_all_atomic({markdown: self.to_markdown().encode(), table: self.to_csv().encode()})
        return markdown, table


def _cells(result: CaseResult) -> list[str]:
    recipe = "blob" if result.compiled else "no blob" if result.exported else "no export"
    state = "right" if result.verified else "wrong" if result.built else "refused"
    ratio = f"{result.ms / result.recipe_ms:.2f}" if result.comparable else ""
    error = result.mismatched if math.isnan(result.blob_error) else result.blob_error
    note = result.reason if result.reason else ", ".join(result.rewrites)
    if result.factor != 1:
        note = f"output times {result.factor:g}; {note}"
    return [
        result.group, result.name, recipe, str(result.recipe_stages or ""), _ms(result.recipe_ms),
        state, str(result.stages or ""), _ms(result.ms), ratio,
        "" if math.isnan(error) else f"{error:.2%}", note.replace("|", "\\|").replace("\n", " "),
    ]  # fmt: skip


def _ms(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def _geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(v) for v in values if v > 0]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


# ---------------------------------------------------------------------- running


def run_catalogue(
    path: str | Path,
    *,
    workers: int = 2,
    shaves: int = 8,
    only: str | None = None,
    on_progress: Progress | None = None,
    executor: Executor | None = None,
    timeout: float = CASE_TIMEOUT,
) -> CoverageTable:
    """Runs every case of a catalogue.

    Args:
        path: the catalogue; it is imported, so it is trusted like any program.
        workers: processes, each with torch in it.
        shaves: SHAVEs to compile for.
        only: part of the names of the cases to run.
        on_progress: called with (cases done, cases in all, name) after each.
        executor: runs the cases instead of worker processes of its own.
        timeout: seconds for one case in a worker process.

    Raises:
        SourceError: there is no such file, or it has no usable CASES.
    """
    source = Path(path).resolve()
    names = [case_name(case) for case in load_cases(source)]
    chosen = [i for i, (_, name) in enumerate(names) if only is None or only in name]
    tell = on_progress or (lambda done, total, name: None)
    tell(0, len(chosen), "")
    pool = executor or _own_executor(workers, timeout)
    results: dict[int, CaseResult] = {}
    try:
        futures = {pool.submit(measure, str(source), i, shaves): i for i in chosen}
        for future in as_completed(futures):
            index = futures[future]
            group, name = names[index]
            try:
                results[index] = future.result()
            except Exception as error:  # a worker that died, hung or could not answer
                results[index] = CaseResult(group, name, reason=_line(error))
            tell(len(results), len(chosen), name)
    finally:
        if executor is None:
            pool.shutdown(wait=True, cancel_futures=True)
    return CoverageTable(tuple(results[i] for i in chosen), shaves, source.name)


def _own_executor(workers: int, timeout: float) -> Executor:
    from .workers import LimitedExecutor

    return LimitedExecutor(workers, timeout=timeout, memory=0)


def load_cases(path: Path) -> Sequence[Any]:
    """The CASES of a catalogue.

    Raises:
        SourceError: there is no such file, it cannot be imported, or it has no CASES.
    """
    cases = getattr(_module(path), "CASES", None)
    if not cases or not all(len(case) == 4 for case in cases):
        raise SourceError(
            "the catalogue has no CASES", where=str(path),
            remedy="define CASES, a list of (group, name, fn, shapes)",
        )  # fmt: skip
    return list(cases)


def case_name(case: Any) -> tuple[str, str]:
    """Group and name of a case."""
    return str(case[0]), str(case[1])


def _module(path: Path) -> ModuleType:
    name = f"blobsmith_catalogue_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SourceError("there is no such catalogue", where=str(path), remedy="give a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise SourceError(
            f"the catalogue cannot be imported: {_line(error)}", where=str(path)
        ) from error
    return module


def measure(path: str, index: int, shaves: int) -> CaseResult:
    """One case through both roads; runs in a worker process.

    Args:
        path: the catalogue.
        index: which of its CASES.
        shaves: SHAVEs to compile for.
    """
    source = Path(path)
    case = load_cases(source)[index]
    group, name = case_name(case)
    module = _wrapped(_module(source), case)
    shapes = {f"x{i}": tuple(shape) for i, shape in enumerate(case[3])}
    result = _recipe(CaseResult(group, name), module, shapes, shaves)
    return _blobsmith(result, module, shapes, shaves)


def _wrapped(catalogue: ModuleType, case: Any) -> Any:
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
        return replace(result, recipe_reason=f"export: {_line(error)}")
    result = replace(result, exported=True)
    try:
        stages, ms = _compiled(data, shapes, shaves)
    except BlobsmithError as error:
        return replace(result, recipe_reason=f"compile: {_line(error)}")
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
        result = replace(result, reason=_line(error))
        try:
            built = build(module, inputs=shapes, shaves=shaves, use_cache=False, verify=False)
        except Exception:
            return replace(result, seconds=time.perf_counter() - began)
    except Exception as error:  # torch raises whatever the function does
        return replace(result, reason=_line(error), seconds=time.perf_counter() - began)
    return replace(_described(result, built, module), seconds=round(time.perf_counter() - began, 2))


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
        factor = next((s.decoding.factor for s in model.outputs if s.name == name), 1.0)
        a = np.concatenate([np.ravel(w[name]).astype(np.float64) for w in wanted])
        b = np.concatenate([np.ravel(g[name]).astype(np.float64) for g in got]) / factor
        finite = np.isfinite(a) & np.isfinite(b)
        if finite.any():
            span = float(a[finite].max() - a[finite].min()) or 1.0
            worst = max(worst, float(np.abs(a - b)[finite].max()) / span)
    return worst


def _line(error: BaseException) -> str:
    text = error.what if isinstance(error, BlobsmithError) else str(error)
    lines = [line for line in text.strip().splitlines() if line.strip()]
    first = lines[0].strip() if lines else type(error).__name__
    return first if len(first) <= 300 else first[:297] + "..."
