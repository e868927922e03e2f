"""What a catalogue's cases came to: one record each, and the table and figures of all."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

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
