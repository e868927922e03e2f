"""A verdict for every case of a catalogue, held against the emulator.

Each case is exported and checked as `blobsmith check` does. Then the blob that was checked is run
on the emulator, on frames of verification: a case *overflows* if an output is infinite or NaN where
the function's is finite, or a stage leaves FP16's range. None that overflows may be called safe.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .coverage import case_name, load_cases
from .errors import BlobsmithError, SourceError

if TYPE_CHECKING:
    from .model import Model

LIMIT = 420.0
"""Seconds for one case, several steps of 120 s at most among them."""


@dataclass(frozen=True)
class CaseVerdict:
    """What the check and the emulator say of one case.

    Attributes:
        group, name: the case.
        verdict: "safe", "at risk", "broken"; "no ONNX" for a function that cannot be exported;
            empty if there is none.
        proven: whether every tensor is safe for every input.
        emulated: whether a blob was run.
        overflows: how many elements became infinite or NaN, outputs and stages together.
        first: the tensor or reason that stands first.
        refusal: why the compiler takes no such graph.
        seconds: wall time of export and check.
    """

    group: str
    name: str
    verdict: str = ""
    proven: bool = False
    emulated: bool = False
    overflows: int = 0
    first: str = ""
    refusal: str = ""
    seconds: float = 0.0

    @property
    def wrong(self) -> bool:
        """Whether it was called safe although the emulator shows that it is not."""
        return self.verdict == "safe" and self.overflows > 0


def judge(path: str, index: int) -> CaseVerdict:
    """One case; runs in a worker."""
    from .checker import check_source
    from .coverage import module_of

    case, module = module_of(Path(path), index)
    result = CaseVerdict(*case_name(case))
    began = time.perf_counter()
    try:
        checked = check_source(
            module, inputs={f"x{i}": tuple(shape) for i, shape in enumerate(case[3])}
        )
    except SourceError as error:
        seconds = round(time.perf_counter() - began, 2)
        return replace(result, verdict="no ONNX", first=error.what[:200], seconds=seconds)
    except Exception as error:  # torch raises whatever the function does
        told = error.what if isinstance(error, BlobsmithError) else str(error)
        text = " ".join(told.split())[:200]
        return replace(result, first=text, seconds=time.perf_counter() - began)
    report = checked.report
    first = (*report.warnings, "")[0]
    result = replace(
        result, verdict=report.verdict, proven=report.proven, first=first[:200],
        refusal=(checked.refusal.splitlines() or [""])[0][:200],
        seconds=round(time.perf_counter() - began, 2),
    )  # fmt: skip
    if not checked.blob:
        return result
    model = replace(checked.model, module=module)
    return replace(result, emulated=True, overflows=overflows(checked.blob, model))


def overflows(blob_bytes: bytes, model: Model) -> int:
    """Elements that the emulator makes infinite or NaN where the function does not."""
    import numpy as np

    from .blob import Blob
    from .emulator import Emulator
    from .reference import frames_for, module_outputs

    emulator = Emulator(Blob.from_bytes(blob_bytes))
    count = 0
    for frame in (*frames_for(model.inputs), *_harsh(model)):
        (wanted,) = module_outputs(model, [frame])
        got = emulator.run(frame)
        finite = all(np.isfinite(array).all() for array in wanted.values())
        for name, array in wanted.items():
            count += int(np.count_nonzero(np.isfinite(array) & ~np.isfinite(got[name])))
        if finite:
            count += sum(w.count for w in got.warnings if w.kind in ("overflow", "nan"))
    return count


def _harsh(model: Model) -> Iterator[dict[str, Any]]:
    """Inputs at the ends of their range: single elements, and blocks, at random."""
    import numpy as np

    from .tensors import NUMPY_NAMES

    rng = np.random.default_rng(11)
    for side in (1, 8):
        feeds = {}
        for spec in model.inputs:
            low, high = spec.value_range or ((0, 255) if spec.dtype == "u8" else (-1, 1))
            coarse = [max(-(-size // side), 1) for size in spec.shape[-2:]]
            picked = rng.integers(0, 2, (*spec.shape[:-2], *coarse)).astype(bool)
            for axis in range(-len(coarse), 0):
                picked = np.repeat(picked, side, axis=axis)
            picked = picked[tuple(slice(size) for size in spec.shape)]
            feeds[spec.name] = np.where(picked, high, low).astype(NUMPY_NAMES[spec.dtype])
        yield feeds


def run(
    path: str | Path,
    *,
    only: str | None = None,
    workers: int = 2,
    on_done: Callable[[int, int, CaseVerdict], None] | None = None,
) -> list[CaseVerdict]:
    """Every case of a catalogue, each in a process with a time limit.

    Args:
        path: the catalogue; it is imported, so it is trusted like any program.
        only: part of the names of the cases to run.
        workers: processes, each with torch in it.
        on_done: called with (cases done, cases in all, result) after each.

    Raises:
        SourceError: there is no such file, or it has no usable CASES.
    """
    from .workers import LimitedExecutor

    source = Path(path).resolve()
    names = [case_name(case) for case in load_cases(source)]
    chosen = [i for i, (_, name) in enumerate(names) if only is None or only in name]
    found: dict[int, CaseVerdict] = {}
    with LimitedExecutor(workers, timeout=LIMIT, memory=0) as pool:
        futures = {pool.submit(judge, str(source), i): i for i in chosen}
        for future in as_completed(futures):
            index = futures[future]
            try:
                found[index] = future.result()
            except Exception as error:  # a worker that died or hung
                found[index] = CaseVerdict(*names[index], first=str(error).splitlines()[0])
            if on_done is not None:
                on_done(len(found), len(chosen), found[index])
    return [found[i] for i in chosen]


def row(case: CaseVerdict) -> str:
    """One line of the table."""
    verdict = case.verdict or "NO VERDICT"
    if case.verdict == "safe":
        verdict = "proven safe" if case.proven else "safe (seen)"
    emulator = f"{case.overflows} overflow" if case.overflows else "finite"
    return (
        f"{case.group:10} {case.name:28} {verdict:12} {emulator if case.emulated else '-':16} "
        f"{case.seconds:6.1f} s  {case.first or case.refusal}"
    )


def totals(cases: Sequence[CaseVerdict]) -> dict[str, int]:
    """The counts under the table."""
    verdicts = Counter(case.verdict or "no verdict" for case in cases)
    return {
        "cases": len(cases),
        **{f"verdict {name}": count for name, count in sorted(verdicts.items())},
        "proven safe": sum(c.verdict == "safe" and c.proven for c in cases),
        "emulated": sum(c.emulated for c in cases),
        "overflow on the emulator": sum(c.overflows > 0 for c in cases),
        "overflow but called safe": sum(c.wrong for c in cases),
    }
