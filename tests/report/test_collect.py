"""The report's numbers are the build's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blobsmith.builder import BuildResult, build
from blobsmith.report import ReportData, collect
from blobsmith.report.collector import summary

Built = Callable[[str], BuildResult]
Collected = Callable[[str], ReportData]


def test_what_a_fresh_build_knows(built: Built, collected: Collected) -> None:
    result, data = built("threshold"), collected("threshold")
    assert result.result is not None
    assert (data.title, data.origin, data.outcome) == ("threshold", "zoo:threshold", "passed")
    assert (data.size, data.sha256) == (
        len(result.artifact), hashlib.sha256(result.artifact).hexdigest(),
    )  # fmt: skip
    assert [step.name for step in data.steps] == [step.name for step in result.steps]
    assert data.options["shaves"] == 6
    assert data.versions["blobsmith"]
    assert data.versions["torch"]
    assert data.hashes["ONNX"] == result.result.model.sha256
    assert [view.key for view in data.graphs] == ["source", "simplified", "compiled"]
    source, simplified, compiled = (view.drawing for view in data.graphs)
    assert source.total == result.result.before.total
    assert simplified.total == result.result.after.total
    assert dict(simplified.counts) == dict(result.result.after.by_type)
    assert compiled.total == len(result.result.model.proto.graph.node)
    assert sum(rule.count for rule in data.rewrites) == len(result.rewrites)
    assert {rule.rule for rule in data.rewrites} == set(result.rewrites)
    assert all(rule.why and rule.lines for rule in data.rewrites)
    assert data.chip is not None
    assert sum(not stage.injected for stage in data.chip.stages) == result.stages
    assert data.ranges is not None
    assert data.ranges.tensors


def test_the_verification_is_the_builds(built: Built, collected: Collected) -> None:
    result, data = built("cosine"), collected("cosine")
    assert result.verification is not None
    for check, output in zip(data.checks, result.verification.outputs, strict=True):
        assert check.name == output.name
        assert check.largest == pytest.approx(output.largest)
        assert check.share == pytest.approx(output.largest / (output.high - output.low))
    assert str(result.verification.frames) in data.verdict


def test_the_frame_is_one_that_was_verified(built: Built, collected: Collected) -> None:
    result, data = built("threshold"), collected("threshold")
    assert result.result is not None
    assert result.result.sample is not None
    feeds, reference = result.result.sample
    assert data.frame is not None
    (output,) = data.frame.outputs
    assert output.reference is not None
    got = result.blob and _run(result, feeds)
    assert output.largest == np.abs(got["output"].astype(float) - reference["output"]).max()
    assert "the function itself" in data.frame.reference


def _run(result: BuildResult, feeds: Any) -> Any:
    from blobsmith.emulator import Emulator

    return Emulator(result.blob).run(feeds)


def test_the_json_is_strict_and_holds_no_pictures(collected: Collected) -> None:
    data = collected("threshold")
    text = json.dumps(data.to_dict(), allow_nan=False)
    assert "data:image" not in text
    assert len(text) < 200_000
    read = json.loads(text)
    assert read["chip"]["predicted_ms"] == data.chip.predicted_ms if data.chip else False
    assert len(read["graphs"][0]["drawing"]["nodes"]) == len(data.graphs[0].drawing.nodes)


def test_numbers_that_are_not_finite_are_words(collected: Collected) -> None:
    data = collected("cosine")
    (check,) = data.checks
    broken = replace(data, checks=(replace(check, largest=float("inf"), typical=float("nan")),))
    (told,) = broken.to_dict()["checks"]
    assert (told["largest"], told["typical"]) == ("inf", "nan")


def test_a_build_from_the_cache_says_less_and_nothing_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blobsmith.cache.directory", lambda: tmp_path / "cache")
    fresh = build("cosine", output=tmp_path / "c.blob")
    cached = build("cosine", output=tmp_path / "c.blob")
    assert (fresh.cached, cached.cached) == (False, True)
    data = collect(cached)
    assert data.cached
    assert [view.key for view in data.graphs] == ["compiled"]
    assert data.outcome == "passed"
    assert len(data.checks) == 1
    assert data.frame is not None
    assert "the function itself was not run" in data.frame.reference
    assert data.frame.outputs[0].reference_numbers is not None
    assert data.file == "c.blob"
    assert "torch" not in data.versions
    assert "c.blob" in data.snippets[0].code
    assert summary(data)["nodes_before"] is None


def test_without_verification_it_says_so(toolchain: object) -> None:
    data = collect(build("concat", use_cache=False, verify=False, inputs=_small()))
    assert data.outcome == "unverified"
    assert data.checks == ()
    assert "the function itself was not run" in (data.frame.reference if data.frame else "")


def test_a_superblob_shows_the_blob_that_was_verified(toolchain: object) -> None:
    data = collect(build("concat", use_cache=False, format="superblob", inputs=_small(), shaves=4))
    assert data.chip is not None
    assert data.chip.shaves == 4
    assert (data.kind, data.outcome) == ("superblob", "passed")
    assert "SuperBlob('concat.blob').getBlobWithNumShaves(4)" in data.snippets[0].code


def _small() -> dict[str, tuple[int, ...]]:
    return dict.fromkeys(("img1", "img2", "img3"), (1, 3, 32, 32))
