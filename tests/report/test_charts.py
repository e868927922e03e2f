"""Ranges, stages and memory as the page draws them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from blobsmith.blob import Blob
from blobsmith.cost import predict
from blobsmith.numerics import CheckReport, TensorReport
from blobsmith.report.charts import memory_shares, range_chart, stage_bars, time_shares
from blobsmith.report.chip import chip_view
from blobsmith.report.graphs import draw_all
from blobsmith.report.ranges import positions, ranges_view
from tests import graphs


def _tensor(name: str, verdict: str, seen: float, bound: float) -> TensorReport:
    return TensorReport(
        name=name, op="Mul", line="f.py:3  a * b", verdict=verdict, bounds=(-bound, bound),  # type: ignore[arg-type]
        attained=False, seen=(0.0, seen), subnormal_share=0.1, error=0.0, digits_lost=0.0,
        cause="", advice="divide first",
    )  # fmt: skip


def _report(*tensors: TensorReport) -> CheckReport:
    return CheckReport("at risk", False, tensors, (), (), ("noise",), ("a note",))


TENSORS = (
    _tensor("big", "overflows on what was seen", 7e4, float("inf")),
    _tensor("wide", "may overflow", 10.0, 1e6),
    _tensor("fine", "safe on what was seen", 1e-5, 1.0),
    _tensor("sure", "safe for every input", 0.0, 200.0),
)


def test_tensors_for_the_page() -> None:
    view = ranges_view(_report(*TENSORS), None)
    assert [t.status for t in view.tensors] == ["over", "may", "seen", "proven"]
    assert [t.bound for t in view.tensors] == [None, 1e6, 1.0, 200.0]
    assert [t.peak for t in view.tensors] == [7e4, 10.0, 1e-5, 0.0]
    assert view.notes == ("a note",)


def test_heights_grow_with_the_magnitude_and_the_limit_lies_between() -> None:
    chart = range_chart(ranges_view(_report(*TENSORS), None))
    over, may, seen, proven = chart.marks
    assert over.seen is not None
    assert may.seen is not None
    assert seen.seen is not None
    assert over.seen > chart.limit > may.seen > seen.seen
    assert over.beyond
    assert over.bound == 100
    assert may.bound > chart.limit > proven.bound
    assert proven.seen is None
    assert chart.normal is not None
    assert seen.seen < chart.normal
    heights = [height for height, _ in chart.ticks]
    assert heights == sorted(heights)
    assert all(0 <= height <= 100 for height in heights)
    assert "1" in [label for _, label in chart.ticks]


def test_a_tensor_stands_where_its_node_is_drawn() -> None:
    drawing = draw_all({"a": graphs.one("Relu").SerializeToString()})["a"]
    assert positions(drawing) == {"x0": 0, "y": 1}
    view = ranges_view(_report(_tensor("y", "may overflow", 1, 2)), drawing)
    assert [t.position for t in view.tensors] == [1]


def test_the_blob_on_the_chip(compile_blob: Callable[..., bytes]) -> None:
    blob = Blob.from_bytes(compile_blob(graphs.concat(64)))
    chip, cost = chip_view(blob), predict(blob)
    assert len(chip.stages) == cost.stages + cost.injected
    assert chip.predicted_ms == cost.total_ms
    assert sum(stage.ms for stage in chip.stages) == pytest.approx(cost.total_ms)
    assert [stage.start_ms for stage in chip.stages] == sorted(s.start_ms for s in chip.stages)
    assert chip.inputs == 3 * 3 * 64 * 64  # three U8 frames, whose size is a multiple of 64
    assert chip.outputs == 2 * 3 * 64 * 192
    written = sum(stage.ddr_written for stage in chip.stages)
    assert written >= chip.outputs
    assert sum(stage.ddr_read for stage in chip.stages) >= chip.inputs
    bars = stage_bars(chip)
    assert bars[-1].left + bars[-1].width == pytest.approx(100, abs=1)
    assert {bar.unit for bar in bars} <= {"hardware", "software", "dma"}
    assert sum(share for *_, share in time_shares(chip)) == pytest.approx(100, abs=0.1)
    assert sum(share for *_, share in memory_shares(chip)) == pytest.approx(100, abs=0.1)
    assert [size for *_, size, _ in memory_shares(chip)][2:] == [chip.inputs, chip.outputs]
