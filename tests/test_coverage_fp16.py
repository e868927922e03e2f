"""Verdicts of a catalogue, held against the emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from blobsmith.coverage_fp16 import CaseVerdict, row, run, totals

CASES = """
import torch
from collections import namedtuple
Case = namedtuple("Case", "group name fn shapes")
GRAY = (1, 1, 24, 32)
CASES = [
    Case("made", "half", lambda x: x / 2, (GRAY,)),
    Case("made", "fourth", lambda x: x ** 4, (GRAY,)),
    Case("made", "unknown", lambda x: torch.linalg.svd(x[0, 0])[1], (GRAY,)),
]
"""
CATALOGUE = Path(__file__).parents[1] / "examples" / "catalogue.py"


def test_each_case_has_a_verdict_or_a_sentence(tmp_path: Path, toolchain: Path) -> None:
    path = tmp_path / "cases.py"
    path.write_text(CASES)
    told: list[str] = []
    half, fourth, unknown = run(path, workers=1, on_done=lambda d, t, c: told.append(c.name))
    assert (half.verdict, half.proven, half.overflows) == ("safe", True, 0)
    assert half.emulated
    assert (fourth.verdict, fourth.overflows > 0) == ("broken", True)
    assert unknown.verdict == "no ONNX"
    assert "svd" in unknown.first
    assert sorted(told) == ["fourth", "half", "unknown"]
    counts = totals([half, fourth, unknown])
    assert counts["verdict no ONNX"] == 1
    assert "verdict no verdict" not in counts
    assert counts["overflow on the emulator"] == 1
    assert counts["overflow but called safe"] == 0
    assert "no ONNX" in row(unknown)
    assert "NO VERDICT" in row(CaseVerdict("g", "n"))


def test_a_wrong_verdict_is_counted() -> None:
    wrong = CaseVerdict("g", "n", verdict="safe", emulated=True, overflows=3)
    assert wrong.wrong
    assert totals([wrong])["overflow but called safe"] == 1


@pytest.mark.slow
def test_the_public_catalogue(toolchain: Path) -> None:
    """Each case that has an ONNX has a verdict; none that overflows on the emulator is safe."""
    cases = run(CATALOGUE, workers=2)
    assert [case.name for case in cases if not case.verdict] == []
    none = {case.name: case.first for case in cases if case.verdict == "no ONNX"}
    assert set(none) <= {"zca_whiten", "histogram_matching"}, none
    assert all("svd" in told or "size" in told for told in none.values())
    assert [case.name for case in cases if case.wrong] == []
    assert sum(case.emulated for case in cases) >= 150
    assert sum(case.overflows > 0 for case in cases) >= 5, "else this test sees nothing"
