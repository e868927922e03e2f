"""Verdicts, causes, lines and advice."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import helper

from blobsmith import sources, zoo
from blobsmith.errors import FrameError, ModelError
from blobsmith.graph import simplify
from blobsmith.model import Model
from blobsmith.numerics import CheckReport, StageRange, TensorReport, check, quick_check
from blobsmith.tensors import TensorSpec

from ..graphs import model as onnx_model
from . import models

F = np.float32
SHAPE = (1, 1, 24, 24)


def small(nodes: list[Any], constants: dict[str, Any] | None = None, **spec: Any) -> Model:
    """A model on one input x, U8 unless said otherwise."""
    proto = onnx_model(nodes, {"x": SHAPE}, {"y": SHAPE}, constants, opset=13)
    given = TensorSpec("x", SHAPE, **spec)
    return Model(proto.SerializeToString(), (given,), (TensorSpec("y", SHAPE, "fp16"),), "test")


def node(op: str, inputs: list[str], output: str = "y", **attrs: Any) -> Any:
    return helper.make_node(op, inputs, [output], **attrs)


def first(report: CheckReport) -> TensorReport:
    """The tensor in which the trouble begins."""
    return next(report.matter())


@pytest.mark.parametrize("name", ["blur", "edge", "concat", "diff", "contrast"])
def test_zoo_functions_are_proven_safe_for_every_input(name: str) -> None:
    entry = zoo.get(name, 64)
    loaded = sources.load(name, inputs={s.name: s.shape for s in entry.inputs})
    report = quick_check(loaded.with_graph(simplify.simplify(loaded.proto).proto))
    assert report.verdict == "safe"
    assert report.proven
    assert {t.verdict for t in report.tensors} == {"safe for every input"}
    assert "whatever the input" in report.summary


def test_harris_on_0_to_255_is_broken_where_squares_are_multiplied() -> None:
    report = check(models.image_model(models.Corners))
    assert report.verdict == "broken"
    worst = first(report)
    assert worst.op == "Mul"
    assert worst.verdict == "overflows on what was seen"
    assert "determinant = ixx * iyy" in worst.line
    assert worst.line.split(":")[0].endswith("models.py")
    assert "divide the image by 255 first" in worst.advice
    assert "2^-" in worst.advice
    assert worst.seen is not None
    assert worst.seen[1] > 65520
    assert worst.bounds[1] >= worst.seen[1]
    assert not any(e.passes for e in report.errors)
    later = [t for t in report.tensors if t.cause]
    assert all(t.cause == worst.name for t in later)


def test_kornia_harris_names_the_users_line_even_inside_a_library() -> None:
    report = quick_check(models.image_model(models.Harris))
    assert report.verdict == "broken"
    assert "harris_response" in first(report).line


@pytest.mark.parametrize(
    ("kind", "scale", "op"),
    [(models.Cosine, 1.0, "Mul"), (models.Cosine, 16.0, "ReduceSum"),
     (models.ScaledCosine, 16.0, "ReduceSum")],
)  # fmt: skip
def test_cosine_without_scaling_is_broken(kind: Any, scale: float, op: str) -> None:
    vectors = models.vectors(scale)
    reach = float(max(np.abs(v).max() for v in vectors.values()))
    report = check(models.vector_model(kind, reach), frames=[vectors])
    assert report.verdict == "broken"
    assert first(report).op == op
    assert report.frames[-1] == "frame 0"
    assert "torch.sum(a * a" in first(report).line or op == "Mul" or "a * b" in first(report).line


def test_scaled_cosine_on_the_published_vectors_is_safe_but_not_proven() -> None:
    report = check(models.vector_model(models.ScaledCosine, 9.25), frames=[models.vectors(1.0)])
    assert report.verdict == "safe"
    assert not report.proven, "two zero vectors would divide 0 by 0"
    assert "not proven" in report.summary


@pytest.mark.parametrize(
    ("nodes", "constants", "verdict", "tensor", "words"),
    [
        ([node("Mul", ["x", "c"])], {"c": F(300)}, "broken", "overflows on what was seen",
         "reaches 7.65e4"),
        ([node("ReduceSum", ["x", "a"], "s"), node("Div", ["x", "s"])], {"a": np.array([2, 3])},
         "broken", "overflows on what was seen", "take the mean"),
        ([node("Exp", ["x"])], {}, "broken", "overflows on what was seen", "maximum first"),
        ([node("Sub", ["x", "c"], "d"), node("Reciprocal", ["d"])], {"c": F(127.5)}, "safe",
         "safe on what was seen", "may come to 0"),
        ([node("Mul", ["x", "x"])], {}, "safe", "safe for every input", ""),
        ([node("Conv", ["x", "w"], pads=[1] * 4)], {"w": np.full((1, 1, 3, 3), 40, F)}, "broken",
         "overflows on what was seen", "multiply the weights by 2^-2"),
    ],
)  # fmt: skip
def test_verdict_and_advice(
    nodes: list[Any], constants: dict[str, Any], verdict: str, tensor: str, words: str
) -> None:
    report = check(small(nodes, constants))
    assert report.verdict == verdict
    assert report.tensors[0].verdict == tensor
    assert words in report.tensors[0].advice


def test_an_overflow_that_only_some_input_reaches_is_named() -> None:
    """Weights of alternating sign: noise stays far below what a matching pattern reaches."""
    kernel = np.where(np.indices((9, 9)).sum(axis=0) % 2, 8.0, -8.0).astype(F)
    kernel[4, 4] = 0
    proto = small([node("Conv", ["x", "w"], pads=[4] * 4)], {"w": kernel[None, None]})
    report = quick_check(proto)
    worst = first(report)
    assert report.verdict == "at risk"
    assert worst.verdict == "may overflow"
    assert worst.attained
    assert worst.bounds[1] == pytest.approx(8 * 40 * 255, rel=1e-3)
    assert check(proto).verdict == "broken", "the checkerboard is that pattern"


def test_the_limit_of_a_divisor_counts_what_stands_behind_it() -> None:
    """3300 / (x + 1e-8): a limit of 1e-3 would leave 3.3e6."""
    report = check(small([node("Add", ["x", "e"], "a"), node("Reciprocal", ["a"], "r"),
                          node("Mul", ["r", "c"])], {"e": F(1e-8), "c": F(3300)}))  # fmt: skip
    assert report.verdict == "broken"
    assert "min=0.101" in first(report).advice


def test_what_is_infinite_in_fp32_too_is_said() -> None:
    """log 0 on a black image is -inf whatever the precision; padding with it is on purpose."""
    report = check(small([node("Log", ["x"], "l"), node("Relu", ["l"])]))
    assert report.verdict == "at risk"
    assert first(report).op == "Log"
    assert "FP32 too" in first(report).advice
    pads = np.array([0, 0, 1, 1] * 2)
    nodes = [node("Pad", ["x", "p", "v"], "q"), node("MaxPool", ["q"], kernel_shape=[3, 3])]
    assert check(small(nodes, {"p": pads, "v": F(-np.inf)})).verdict == "safe"


def test_tensors_are_fetched_in_portions_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large pictures are looked at a few tensors at a time, the input alone at last."""
    from blobsmith.numerics import seen

    proto = models.image_model(models.Corners)
    whole = check(proto)
    monkeypatch.setattr(seen, "CHUNK_BYTES", 1)
    assert check(proto) == whole


def test_users_frames_count() -> None:
    proto = small([node("Mul", ["x", "x"], "s"), node("Mul", ["s", "s"])], dtype="fp16",
                  value_range=(-100.0, 100.0))  # fmt: skip
    quiet = small([node("Mul", ["x", "x"], "s"), node("Mul", ["s", "s"])], dtype="fp16")
    assert quick_check(proto).verdict == "broken"
    assert quick_check(quiet).verdict == "at risk", "any FP16 number may come"
    assert any("no declared range" in note for note in quick_check(quiet).notes)
    loud = check(quiet, frames=[{"x": np.full(SHAPE, 20, F)}])
    assert loud.verdict == "broken"
    assert first(loud).seen == (pytest.approx(0, abs=1), pytest.approx(160000))


def test_frames_that_do_not_fit_are_refused() -> None:
    proto = small([node("Relu", ["x"])])
    with pytest.raises(FrameError, match="shape"):
        check(proto, frames=[{"x": np.zeros((1, 1, 2, 2), F)}])
    with pytest.raises(FrameError, match="nothing for input"):
        check(proto, frames=[{}])


def test_progress_is_told() -> None:
    told: list[str] = []
    report = check(small([node("Relu", ["x"])]), progress=told.append)
    assert tuple(told) == report.frames
    assert {"noise", "gradient", "checkerboard", "all at the maximum"} <= set(told)


def test_the_error_of_the_blob_is_compared_on_the_same_frames() -> None:
    """A blob that doubles one pixel is found out; an exact one is not."""
    proto = small([node("Mul", ["x", "c"])], {"c": F(0.5)})

    def exact(feeds: Any) -> dict[str, np.ndarray]:
        assert feeds["x"].dtype == np.uint8
        return {"y": (feeds["x"] * F(0.5)).astype(np.float16)}

    def wrong(feeds: Any) -> dict[str, np.ndarray]:
        out = exact(feeds)["y"].copy()
        out[..., 0, 0] += 40
        return {"y": out}

    good, bad = check(proto, blob_run=exact), check(proto, blob_run=wrong)
    assert [e.passes for e in good.errors] == [True, True]
    assert {e.run: e.passes for e in bad.errors} == {"fp16": True, "blob": False}
    assert good.verdict == "safe"
    assert bad.verdict == "broken"


def test_rounding_of_the_graph_as_written_does_not_count_where_the_blob_is_right() -> None:
    """(x + 1000) - 1000 loses digits as written; a blob without the detour is right. Values that
    are lost count in either."""
    nodes = [node("Add", ["x", "c"], "a"), node("Sub", ["a", "c"], "d"), node("Mul", ["d", "s"])]
    proto = small(nodes, {"c": F(30000), "s": F(1 / 255)})
    alone = check(proto)
    assert alone.verdict != "safe"
    right = check(proto, blob_run=lambda feeds: {"y": (feeds["x"] / F(255)).astype(np.float16)})
    assert right.blob_is_right
    assert right.verdict == "safe"
    assert not right.inexact
    squares = small([node("Mul", ["x", "x"], "a"), node("Mul", ["a", "x"], "b"),
                     node("Mul", ["b", "c"])], {"c": F(1e-3)})  # fmt: skip
    lost = check(squares, blob_run=lambda f: {"y": (f["x"].astype(F) ** 3 * F(1e-3)).astype("f2")})
    assert lost.blob_is_right
    assert lost.verdict == "broken"


def test_stages_that_may_overflow_are_reported() -> None:
    stages = (
        StageRange(3, "Power", (-np.inf, np.inf), True, 0.0, True),
        StageRange(4, "Copy", (0.0, 1.0), False, 0.0, False),
    )
    report = check(small([node("Relu", ["x"])]), stage_ranges=stages)
    named = [t for t in report.tensors if t.name.startswith("stage")]
    assert [t.name for t in named] == ["stage 3 Power"]
    assert named[0].verdict == "may overflow"
    assert report.verdict == "at risk"
    assert not report.proven


def test_lost_digits_are_traced_to_their_operator() -> None:
    """(x + 1000) - 1000 loses digits in the subtraction, by cancellation."""
    nodes = [
        node("Mul", ["x", "s"], "u"),
        node("Add", ["u", "c"], "a"),
        node("Sub", ["a", "c"], "d"),
        node("Relu", ["d"]),
    ]
    report = check(small(nodes, {"c": F(1000), "s": F(1 / 255)}))
    lost = {t.name: t.digits_lost for t in report.tensors}
    assert max(lost, key=lambda n: lost[n]) == "d"
    assert lost["d"] > 1.5
    assert report.verdict in ("at risk", "broken")


def test_report_is_json_ready() -> None:
    report = check(models.image_model(models.Corners))
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["verdict"] == "broken"
    assert data["tensors"][0]["line"]
    assert data["errors"][0]["run"] == "fp16"
    assert report.warnings[0].startswith(data["tensors"][0]["line"])


def test_report_is_json_ready_whatever_is_infinite() -> None:
    nodes = [node("Log", ["x"], "l"), node("Mul", ["l", "c"])]
    report = check(small(nodes, {"c": np.full((1, 1, 1, 2), np.inf, F).repeat(12, axis=3)}))
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert None in data["tensors"][0]["bounds"]


def test_a_graph_that_does_not_run_is_a_model_error() -> None:
    broken = onnx_model([node("NoSuchOperator", ["x"])], {"x": SHAPE}, {"y": SHAPE})
    spec = TensorSpec("x", SHAPE)
    with pytest.raises(ModelError):
        quick_check(Model(broken.SerializeToString(), (spec,), (TensorSpec("y", SHAPE),), ""))


CATALOGUE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "gaussian_blur": (
        lambda x: models.kornia.filters.gaussian_blur2d(x, (9, 9), (2.5, 2.5)), "safe"),
    "sobel": (lambda x: models.kornia.filters.sobel(x), "safe"),
    "spatial_gradient": (lambda x: models.kornia.filters.spatial_gradient(x), "safe"),
    "motion_blur": (lambda x: models.kornia.filters.motion_blur(x, 9, 35.0, 0.5), "safe"),
    "adjust_gamma": (lambda x: models.kornia.enhance.adjust_gamma(x / 255, 2.2, 1.0), "safe"),
    "threshold": (lambda x: (x > 127).float() * 255, "safe"),
    "depth_from_disparity": (
        lambda x: models.kornia.geometry.depth_from_disparity(x, 7.5, 440.0), "broken"),
    "variance": (lambda x: (x * x).sum((2, 3), keepdim=True), "broken"),
    "fourth_power": (lambda x: x**4, "broken"),
    "logarithm": (lambda x: (x / 255 + 1e-8).log(), "broken"),
}  # fmt: skip


@pytest.mark.parametrize("name", CATALOGUE)
def test_catalogue(name: str) -> None:
    function, verdict = CATALOGUE[name]

    class Case(models.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return function(x)

    request = {"x": models.InputRequest(shape=(1, 1, 32, 40), dtype="u8")}
    assert check(models.export(Case(), request)).verdict == verdict
