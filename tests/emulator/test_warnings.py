"""Where a value overflowed, became NaN, or a hardware sum grew too large, the result says so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from blobsmith.blob import Blob
from blobsmith.emulator import Emulator, RunResult

from .handmade import Const, In, Out, run_hw
from .models import model, node

SHAPE = (1, 3, 8, 8)


@pytest.fixture
def run_nodes(compile_blob: Callable[..., bytes]) -> Callable[..., RunResult]:
    def run(nodes: list[object], x: np.ndarray, inputs: str = "fp16") -> RunResult:
        data = model(nodes, {"x": x.shape}, {"y": x.shape})  # type: ignore[arg-type]
        return Emulator(Blob.from_bytes(compile_blob(data, inputs=inputs))).run({"x": x})

    return run


def test_300_times_300_overflows_where_fp32_would_not(run_nodes: Callable[..., RunResult]) -> None:
    """FP16 storage shows it; computing wider hides it: sqrt(300 * 300) is 300 in FP32."""
    x = np.full(SHAPE, 300, np.float16)
    result = run_nodes([node("Mul", "x x", "m"), node("Sqrt", "m", "y")], x)
    assert np.isinf(result["y"]).all()
    first, second = result.warnings
    assert (first.kind, first.type_name, first.count) == ("overflow", "Prod", x.size)
    assert "the largest is 90000" in first.detail
    assert (second.kind, second.stage) == ("inherited", first.stage + 1)
    assert str(first).startswith(f"stage {first.stage} (Prod): ")


def test_255_times_255_does_not(run_nodes: Callable[..., RunResult]) -> None:
    result = run_nodes([node("Mul", "x x", "y")], np.full(SHAPE, 255, np.uint8), "u8")
    assert (result["y"] == np.float16(65025)).all()
    assert result.warnings == ()


def test_the_largest_half_and_what_rounds_to_it(run_nodes: Callable[..., RunResult]) -> None:
    x = np.full(SHAPE, 65504, np.float16)
    x[0, 0, 0, 0] = 16
    result = run_nodes([node("Add", "x x", "a"), node("Sub", "a x", "y")], x)
    assert [(w.kind, w.count) for w in result.warnings][:1] == [("overflow", x.size - 1)]


def test_a_clamp_without_an_upper_bound_hands_inf_on(compile_blob: Callable[..., bytes]) -> None:
    """The missing bound stands in the blob as FP32's largest number, which FP16 cannot hold."""
    nodes = [node("Mul", "x x", "m"), node("Sqrt", "m", "s"), node("Clip", "s low", "y")]
    data = model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"low": np.float32(1)})
    blob = Blob.from_bytes(compile_blob(data, inputs="fp16"))
    result = Emulator(blob).run({"x": np.full(SHAPE, 300, np.float16)})
    assert np.isinf(result["y"]).all()
    assert [w.kind for w in result.warnings] == ["overflow", "inherited", "inherited"]


def test_root_of_a_negative_number_and_log_of_zero(run_nodes: Callable[..., RunResult]) -> None:
    x = np.ones(SHAPE, np.float16)
    x[0, 0, 0, :3] = -1
    result = run_nodes([node("Sqrt", "x", "y")], x)
    assert [(w.kind, w.count) for w in result.warnings] == [("nan", 3)]
    x[0, 0, 0, :3] = 0
    result = run_nodes([node("Log", "x", "y")], x)
    assert [(w.kind, w.count) for w in result.warnings] == [("overflow", 3)]


def test_what_came_in_with_the_input_is_inherited(run_nodes: Callable[..., RunResult]) -> None:
    x = np.ones(SHAPE, np.float16)
    x[0, 0, 0, :2] = np.nan, np.inf
    result = run_nodes([node("Relu", "x", "y")], x)
    assert [(w.kind, w.count) for w in result.warnings] == [("inherited", 2)]


@pytest.mark.parametrize(("weight", "count"), [(256, 0), (400, 24)])
def test_hardware_sums_that_pass_65504_before_scaling(weight: int, count: int) -> None:
    """100 inputs of 2 with weights of 256 sum to 51200, of 400 to 80000."""
    scale = 2.0**-8
    x = np.full((1, 100, 4, 6), 2, np.float16)
    w = np.zeros((1, 100, 1, 8), np.float16)
    w[..., 0] = weight
    scales = Const(np.full(8, scale, np.float16))
    result = run_hw({"scales": 2}, [In(x), Const(w), scales, Out((1, 8, 4, 6))])
    assert (result["y"][0, 0] == np.float16(200 * weight * scale)).all()
    found = [(w.kind, w.count) for w in result.warnings]
    assert found == ([("prescale", count)] if count else [])


def test_hardware_sums_with_a_scale_that_is_no_power_of_two() -> None:
    x = np.full((1, 100, 4, 6), 2, np.float16)
    w = np.full((1, 100, 1, 8), 400, np.float16)
    operands = [In(x), Const(w), Const(np.full(8, 0.1, np.float16)), Out((1, 8, 4, 6))]
    result = run_hw({"scales": 2, "relu": (0, 1, 10)}, operands)
    assert [(w.kind, w.count) for w in result.warnings][:1] == [("prescale", 8 * 24)]


def test_a_compiled_convolution_warns_before_scaling(compile_blob: Callable[..., bytes]) -> None:
    """The compiler multiplies small weights by a power of two and scales the sum back."""
    constants = {"w": np.full((16, 64, 3, 3), 0.03, np.float32)}
    shape, out = (1, 64, 12, 16), (1, 16, 12, 16)
    data = model([node("Conv", "x w", "y", pads=[1, 1, 1, 1])], {"x": shape}, {"y": out}, constants)
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    result = Emulator(Blob.from_bytes(compile_blob(data))).run({"x": x})
    assert [w.kind for w in result.warnings] == ["prescale"]
    assert np.isfinite(result["y"]).all()


def test_pooling_padded_on_one_side_says_that_it_is_a_guess(
    compile_blob: Callable[..., bytes],
) -> None:
    def pooled(op: str, pads: list[int], **more: int) -> bytes:
        made = node(op, "x", "y", kernel_shape=[3, 3], pads=pads, **more)
        out = (1, 8, 10 + pads[0] + pads[2], 14 + pads[1] + pads[3])
        return compile_blob(model([made], {"x": (1, 8, 12, 16)}, {"y": out}), inputs="fp16")

    x = {"x": np.random.default_rng(0).uniform(-4, 4, (1, 8, 12, 16)).astype(np.float16)}
    for pads, kinds in ([1, 1, 1, 1], []), ([1, 1, 0, 0], []), ([0, 0, 1, 1], ["padding"]):
        result = Emulator(Blob.from_bytes(pooled("MaxPool", pads))).run(x)
        assert [w.kind for w in result.warnings] == kinds
    left = pooled("AveragePool", [1, 1, 0, 0], count_include_pad=1)
    right = pooled("AveragePool", [0, 0, 1, 1], count_include_pad=1)
    assert left == right, "the compiler now tells the two apart: so should the emulator"
    assert [w.kind for w in Emulator(Blob.from_bytes(left)).run(x).warnings] == ["padding"]


def test_a_gather_index_outside_is_clipped_and_told() -> None:
    from .handmade import blob, params

    x, picks = np.arange(12, dtype=np.float16).reshape(3, 4), np.array([1, 9, -1], np.int32)
    made, feeds = blob(100, params(100, 0), [In(x), Out((3, 3)), In(picks)])
    result = Emulator(made).run(feeds)
    np.testing.assert_array_equal(result["y"], x[:, [1, 3, 3]])
    assert [(w.kind, w.count) for w in result.warnings] == [("index", 1)]
