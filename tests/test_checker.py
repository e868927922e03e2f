"""A graph that exports has a verdict, whatever fails on the way."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from blobsmith import builder
from blobsmith import checker_jobs as jobs
from blobsmith.checker import NO_REPAIR, REPAIR, check_source, outlook
from blobsmith.errors import CheckFailed, EnvironmentFault, SimplifyError, ToolchainError
from blobsmith.graph import simplify
from blobsmith.model import Model
from blobsmith.myriad import compile as compiler
from tests.graphs import model as onnx_model


class Here(Executor):
    """Runs jobs in this process; those named in `dying` are killed."""

    def __init__(self, *dying: str) -> None:
        self.dying = dying

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        full = kwargs.get("simplified", True)
        if fn.__name__ in self.dying and full:
            done.set_exception(EnvironmentFault("a step took longer than 120 s and was stopped"))
            return done
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


def square(tmp_path: Path) -> str:
    """x * x on levels 0..255, overflowing once it is squared again."""
    nodes = [onnx.helper.make_node("Mul", ["x", "x"], ["s"]),
             onnx.helper.make_node("Mul", ["s", "s"], ["y"])]  # fmt: skip
    path = tmp_path / "square.onnx"
    onnx.save(onnx_model(nodes, {"x": (1, 1, 8, 8)}, {"y": (1, 1, 8, 8)}), path)
    return str(path)


def test_all_goes_well(tmp_path: Path, toolchain: Path) -> None:
    found = check_source(square(tmp_path), executor=Here())
    assert found.report.verdict == "broken"
    assert found.blob
    assert not found.refusal
    assert not found.report.notes
    assert {e.run for e in found.report.errors} == {"fp16", "blob"}


@pytest.mark.parametrize(
    ("dying", "note"),
    [
        (("prepare",), "not simplified: a step took longer"),
        (("compile_plainly",), "without the compiler: a step took longer"),
        (("analyse",), "looked at quickly: a step took longer"),
        (("prepare", "compile_plainly", "analyse"), "looked at quickly"),
    ],
)
def test_a_step_that_does_not_come_back_costs_itself(
    dying: tuple[str, ...], note: str, tmp_path: Path, toolchain: Path
) -> None:
    found = check_source(square(tmp_path), executor=Here(*dying))
    assert found.report.verdict == "broken"
    assert any(note in told for told in found.report.notes)


def test_a_graph_that_cannot_be_simplified_has_a_verdict(
    tmp_path: Path, toolchain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise SimplifyError("the graph cannot be simplified")

    monkeypatch.setattr(simplify, "simplify", fail)
    found = check_source(square(tmp_path), executor=Here())
    assert found.report.verdict == "broken"
    assert "checked as exported" in found.report.notes[0]


def test_a_rule_that_fails_costs_no_verdict(
    tmp_path: Path, toolchain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Model:
        raise ZeroDivisionError("by accident")

    monkeypatch.setattr(jobs, "_rewritten", fail)
    found = check_source(square(tmp_path), executor=Here())
    assert found.report.verdict == "broken"
    assert "by accident" in found.refusal
    assert any("a rewrite failed" in note for note in found.report.notes)


def test_a_refused_graph_has_a_verdict_and_the_reason(tmp_path: Path, toolchain: Path) -> None:
    path = tmp_path / "determinant.onnx"
    node = onnx.helper.make_node("Det", ["x"], ["y"])
    onnx.save(onnx_model([node], {"x": (1, 3, 8, 8)}, {"y": (1, 3)}), path)
    found = check_source(str(path), executor=Here())
    assert found.report.verdict
    assert found.refusal
    assert not found.blob


def test_without_a_compiler_the_graph_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict needs no toolchain; that there is none is no fault of the graph."""

    def absent(*_: Any) -> None:
        raise ToolchainError("the compiler is not installed")

    monkeypatch.setattr(compiler, "compile_job", absent)
    found = check_source(square(tmp_path), executor=Here())
    assert found.report.verdict == "broken"
    assert not found.refusal
    assert any("not installed" in note for note in found.report.notes)


def test_frames_are_told_as_they_are_run(tmp_path: Path, toolchain: Path) -> None:
    """Out of the worker, while it runs."""
    told: list[str] = []
    frames = [{"x": np.full((1, 1, 8, 8), level, np.uint8)} for level in (0, 9)]
    found = check_source(square(tmp_path), frames=frames, progress=told.append)
    assert [t for t in told if t.startswith("frame")] == ["frame 0", "frame 1"]
    assert tuple(told[-len(found.report.frames) :]) == found.report.frames


def save(tmp_path: Path, nodes: list[onnx.NodeProto], *, output: tuple[int, ...]) -> str:
    path = tmp_path / "mine.onnx"
    onnx.save(onnx_model(nodes, {"x": (1, 1, 8, 8)}, {"y": output}), path)
    return str(path)


def test_an_output_that_cannot_fit_has_to_be_asked_for(tmp_path: Path, toolchain: Path) -> None:
    found = check_source(square(tmp_path), executor=Here())
    told = outlook(found, executor=Here())
    assert told.startswith("build with --fix-fp16: it then holds the result times")


def test_what_build_mends_by_itself_is_said(tmp_path: Path, toolchain: Path) -> None:
    """The root of the square of a square: too large in the middle only."""
    steps = (("Mul", "x", "x", "a"), ("Mul", "a", "a", "b"), ("Sqrt", "b", "c"), ("Sqrt", "c", "y"))
    nodes = [onnx.helper.make_node(op, names[:-1], names[-1:]) for op, *names in steps]
    found = check_source(save(tmp_path, nodes, output=(1, 1, 8, 8)), executor=Here())
    assert found.report.verdict == "broken"
    told = outlook(found, executor=Here())
    assert told.startswith("`blobsmith build` re")
    assert told.endswith("its blob is right on the frames tried")


def test_what_no_build_mends_is_said(tmp_path: Path, toolchain: Path) -> None:
    found = check_source(square(tmp_path), executor=Here())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "trial", failing(CheckFailed("the blob is not right")))
        assert outlook(found) == NO_REPAIR
        patch.setattr(builder, "trial", failing(EnvironmentFault("out of time")))
        assert outlook(found) == REPAIR


def failing(error: Exception) -> Callable[..., Any]:
    def fails(*_: Any) -> None:
        raise error

    return fails


def test_a_refused_layer_is_traced_to_its_node(tmp_path: Path, toolchain: Path) -> None:
    """The compiler calls a GRU GRUSequence, and its layer by a name that is in no file."""
    rng = np.random.default_rng(0)
    nodes = [
        onnx.helper.make_node("Squeeze", ["x"], ["s"], axes=[0]),
        onnx.helper.make_node("GRU", ["s", "w", "r"], ["", "h"], "my_gru", hidden_size=4),
        onnx.helper.make_node("Identity", ["h"], ["y"]),
    ]
    weights = {"w": (1, 12, 8), "r": (1, 12, 4)}
    constants = {k: rng.normal(size=v).astype(np.float32) for k, v in weights.items()}
    path = tmp_path / "gru.onnx"
    onnx.save(onnx_model(nodes, {"x": (1, 1, 8, 8)}, {"y": (1, 8, 4)}, constants), path)
    refused = check_source(str(path), executor=Here()).refused
    assert refused is not None
    assert "node 'my_gru' (GRU)" in refused.where
    assert "other operators than GRUSequence" in refused.remedy
