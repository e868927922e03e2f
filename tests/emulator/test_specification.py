"""Stages that no ONNX here compiles to: tested against the words of docs/blob-format.md section 4.

Expected values are written out with NumPy on float64 or integers, or by hand.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from blobsmith.emulator import Emulator
from blobsmith.errors import BlobError

from .handmade import Const, In, Out, blob, params, run

RNG = np.random.default_rng(5)
NO_POST = (-1, 0.0, 0.0, 0.0)
NO_POST_INT = (-1, 0, 0, 0)


def halves(*shape: int, low: float = -4, high: float = 4) -> np.ndarray:
    return RNG.uniform(low, high, shape).astype(np.float16)


def whole(*shape: int, low: int = -5, high: int = 6) -> np.ndarray:
    return RNG.integers(low, high, shape).astype(np.int32)


def close(result: np.ndarray, expected: np.ndarray) -> None:
    """Equal to the expectation rounded to FP16, give or take FP32's last bits."""
    np.testing.assert_allclose(result.astype(np.float64), expected, rtol=2.0**-10, atol=1e-6)


A, B = halves(2, 3, 4, 5), halves(2, 3, 4, 5)
COARSE_A, COARSE_B = np.round(A), np.round(B)

FLOAT_PAIRS: dict[int, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    75: lambda a, b: a / b,
    77: lambda a, b: (a - b) ** 2,
    79: lambda a, b: a != b,
    81: lambda a, b: a >= b,
    83: lambda a, b: a <= b,
    86: lambda a, b: (a != 0) | (b != 0),
    87: lambda a, b: (a != 0) ^ (b != 0),
    89: lambda a, b: a - np.floor(a / b) * b,
}


@pytest.mark.parametrize("kind", FLOAT_PAIRS)
def test_eltwise_that_the_compiler_refuses(kind: int) -> None:
    a, b = (A, B) if kind in (75, 77, 89) else (COARSE_A, COARSE_B)
    result = run(kind, (1.0, 1.0, *NO_POST), [In(a), Out(a.shape), In(b), None])
    expected = FLOAT_PAIRS[kind](a.astype(np.float64), b.astype(np.float64))
    np.testing.assert_allclose(result.astype(np.float64), expected, rtol=2.0**-10, atol=2e-6)


INT_PAIRS: dict[int, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    12: lambda a, b: 2 * a - 3 * b,
    13: lambda a, b: a * b,
    14: np.maximum,
    75: lambda a, b: np.trunc(a / b),
    76: np.minimum,
    78: lambda a, b: a == b,
    81: lambda a, b: a >= b,
    85: lambda a, b: (a != 0) & (b != 0),
}


@pytest.mark.parametrize("kind", INT_PAIRS)
def test_eltwise_on_integers(kind: int) -> None:
    a, b = whole(3, 4, 5), whole(3, 4, 5)
    if kind == 75:
        b[b == 0] = 2
    result = run(kind, (2, -3, *NO_POST_INT), [In(a), Out(a.shape, "i32"), In(b), None])
    np.testing.assert_array_equal(result, INT_PAIRS[kind](a, b))


@pytest.mark.parametrize("kind", [84, 142])
def test_unary_on_integers(kind: int) -> None:
    a = whole(3, 4, 5)
    result = run(kind, (1, 1, *NO_POST_INT), [In(a), Out(a.shape, "i32"), None, None])
    np.testing.assert_array_equal(result, a == 0 if kind == 84 else np.abs(a))


def test_select_on_integers() -> None:
    cond, yes, no = whole(4, 5, low=0, high=2), whole(4, 5), whole(4, 5)
    operands = [In(cond), Out((4, 5), "i32"), In(yes), In(no)]
    np.testing.assert_array_equal(run(90, (1, 1, *NO_POST_INT), operands), np.where(cond, yes, no))


@pytest.mark.parametrize(
    ("post", "expected"),
    [
        ((6, 0.0, 0.0, 0.0), lambda y: np.maximum(y, 0)),
        ((44, 0.25, 0.0, 0.0), lambda y: np.where(y < 0, y * 0.25, y)),
        ((57, 0.0, -1.0, 2.5), lambda y: np.clip(y, -1, 2.5)),
    ],
)
def test_sum_with_coefficients_and_a_following_operation(
    post: tuple[float, ...], expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    result = run(12, (0.5, -2.0, *post), [In(A), Out(A.shape), In(B), None])
    close(result, expected(0.5 * A.astype(np.float64) - 2 * B))


def test_operands_spread_by_dimension_id() -> None:
    channels, result_shape = halves(3), (2, 4, 5, 3)  # C; and N, H, W, C in memory
    wide = halves(*result_shape)
    operands = [In(wide, 0x4213), Out(result_shape, order=0x4213), In(channels), None]
    close(run(13, (1.0, 1.0, *NO_POST), operands), wide.astype(np.float64) * channels)


def test_convert_scales_and_clips() -> None:
    image = RNG.integers(0, 256, (3, 4, 5)).astype(np.uint8)
    result = run(111, (0.5, 3.0, 0, 1), [In(image), Out(image.shape)])
    np.testing.assert_array_equal(result, image * 0.5 + 3)
    values = np.array([[-1.5, 1.5, 2.75, 300.0, -0.5]], np.float16)
    ints = run(111, (1.0, 0.0, 0, 1), [In(values), Out(values.shape, "i32")])
    np.testing.assert_array_equal(ints, [[-1, 1, 2, 300, 0]])
    whole_values = np.array([[-7, 0, 200, 256, 9000]], np.int32)
    bytes_ = run(111, (1.0, 0.0, 0, 1), [In(whole_values), Out(whole_values.shape, "u8")])
    np.testing.assert_array_equal(bytes_, [[0, 0, 200, 255, 255]])


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_pad_modes(mode: str) -> None:
    x = halves(2, 3, 6, 7)
    number = ["constant", "edge", "reflect", "symmetric"].index(mode)
    pads = ((0, 0), (1, 0), (2, 5), (3, 4))  # outermost first
    words = [v for pair in reversed(pads) for v in pair]
    extra = {"constant_values": 1.5} if mode == "constant" else {}
    expected = np.pad(x, pads, mode=mode, **extra)  # type: ignore[call-overload]
    result = run(71, (*words, 1.5, number), [In(x), Out(expected.shape)])
    np.testing.assert_array_equal(result, expected)


def test_broadcast() -> None:
    x = halves(3, 1, 5)
    target = Const(np.array([2, 3, 4, 5], np.int32))
    result = run(129, (0,), [In(x), target, Out((2, 3, 4, 5))])
    np.testing.assert_array_equal(result, np.broadcast_to(x, (2, 3, 4, 5)))
    y = halves(3)
    axes = Const(np.array([1], np.int32))
    result = run(129, (1,), [In(y), target, axes, Out((2, 3, 4, 5))])
    np.testing.assert_array_equal(result, np.broadcast_to(y[:, None, None], (2, 3, 4, 5)))


def test_concat_along_a_memory_axis() -> None:
    x, y = halves(2, 3, 5), halves(2, 4, 5)
    result = run(128, (1, 2), [In(x), In(y), Out((2, 7, 5))])
    np.testing.assert_array_equal(result, np.concatenate([x, y], axis=1))


@pytest.mark.parametrize("order", [0x4321, 0x4213])
def test_scale_and_scale_shift_follow_the_channel(order: int) -> None:
    x, s, b = halves(1, 4, 5, 3), halves(3), halves(3)
    if order == 0x4321:
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    spread = (3, 1, 1) if order == 0x4321 else (3,)
    scale, shift = (v.astype(np.float64).reshape(spread) for v in (s, b))
    close(run(15, (), [In(x, order), Out(x.shape, order=order), Const(s)]), x * scale)
    operands = [In(x, order), Out(x.shape, order=order), Const(s), Const(b)]
    close(run(47, (), operands), x * scale + shift)


def test_round_half_away_from_zero() -> None:
    x = np.array([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.25]], np.float16)
    result = run(140, (1,), [In(x), Out(x.shape)])
    np.testing.assert_array_equal(result, [[-3, -2, -1, 1, 2, 3, 2]])


def test_reduce_sum_and_reduce_and() -> None:
    x = halves(2, 3, 4, 5)
    axes = Const(np.array([0, 2], np.int32))  # memory indices: W and C
    expected = x.astype(np.float64).sum(axis=(1, 3), keepdims=True)
    result = run(113, (1,), [In(x), Out((2, 1, 4, 1)), axes])
    np.testing.assert_allclose(result, expected, atol=0.02)
    squeezed = run(113, (0,), [In(x), Out((2, 4)), axes])
    np.testing.assert_array_equal(squeezed, result.reshape(2, 4))
    flags = (RNG.random((2, 3, 4, 5)) < 0.8).astype(np.int32)
    result = run(93, (1,), [In(flags), Out((2, 1, 4, 1), "i32"), axes])
    np.testing.assert_array_equal(result, flags.all(axis=(1, 3), keepdims=True))


def test_normalize() -> None:
    x, scales = halves(1, 3, 4, 5), np.array([1, 2, 0.5], np.float16)
    wide = x.astype(np.float64)
    length = np.sqrt((wide**2).sum(axis=1, keepdims=True) + 1e-3)
    result = run(35, (0, 0, 1e-3), [In(x), Out(x.shape), Const(scales)])
    close(result, wide / length * scales.astype(np.float64)[:, None, None])
    length = np.sqrt((wide**2).sum() + 1e-3)
    result = run(35, (1, 1, 1e-3), [In(x), Out(x.shape), Const(scales[1:2])])
    close(result, wide / length * 2)


def test_inner_lrn_sums_over_a_window_of_its_channel() -> None:
    x = halves(1, 2, 6, 7)
    wide = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    sums = sum(wide[:, :, i : i + 6, j : j + 7] ** 2 for i in range(3) for j in range(3))
    result = run(18, (3, 1.0, 0.5, 0.75, 0.0), [In(x), Out(x.shape)])
    close(result, x / (1 + 0.5 / 9 * sums) ** 0.75)


def test_mvn_without_variance_and_in_the_older_layout() -> None:
    x = halves(1, 2, 6, 7)
    wide = x.astype(np.float64)
    mean = wide.mean(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(
        run(62, (0, 0, 0, 1e-5), [In(x), Out(x.shape)]), wide - mean, atol=2e-3
    )
    std = np.sqrt(wide.var(axis=(1, 2, 3), keepdims=True) + 1e-5)
    expected = (wide - wide.mean(axis=(1, 2, 3), keepdims=True)) / std
    np.testing.assert_allclose(run(62, (1, 1, 1e-5), [In(x), Out(x.shape)]), expected, atol=2e-3)


def test_nearest_simple_truncates_when_growing_and_rounds_up_when_shrinking() -> None:
    x = np.arange(4, dtype=np.float16).reshape(1, 1, 1, 4)
    grown = run(72, (0, -1.0, 0, 2, 4), [In(x), Out((1, 1, 1, 6))])
    np.testing.assert_array_equal(grown[0, 0, 0], [0, 0, 1, 2, 2, 3])
    shrunk = run(72, (0, -1.0, 0, 2, 4), [In(x), Out((1, 1, 1, 3))])
    np.testing.assert_array_equal(shrunk[0, 0, 0], [0, 2, 3])


@pytest.mark.parametrize(("trans_a", "trans_b"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_gemm_with_transposes_and_addend(trans_a: int, trans_b: int) -> None:
    a, b, c = halves(2, 4, 6), halves(2, 6, 5), halves(2, 4, 5)
    expected = 0.5 * (a.astype(np.float64) @ b) + 2.0 * c
    left = np.ascontiguousarray(a.swapaxes(1, 2)) if trans_a else a
    right = np.ascontiguousarray(b.swapaxes(1, 2)) if trans_b else b
    operands = [In(left), In(right), In(c), Out((2, 4, 5))]
    result = run(91, (0.5, 2.0, 1, trans_a, trans_b), operands)
    np.testing.assert_allclose(result, expected, rtol=2.0**-10, atol=1e-3)


def test_fully_connected_flattens_in_memory_order() -> None:
    x, w = halves(1, 3, 4, 2), halves(24, 5)  # N, H, W, C in memory; IC major, OC minor
    result = run(4, (), [In(x, 0x4213), Out((1, 5)), Const(w)])
    np.testing.assert_allclose(
        result, x.reshape(1, 24).astype(np.float64) @ w, rtol=2e-3, atol=2e-2
    )


def test_topk_sorted_by_index_and_values_with_indices() -> None:
    x = np.array([[3, 9, 1, 7, 8]], np.float16)
    k = Const(np.array([3], np.int32))
    made, feeds = blob(104, params(104, 0, 0, 2, 1, 1), [In(x), k, Out((1, 3)), Out((1, 3), "i32")])
    result = Emulator(made).run(feeds)
    np.testing.assert_array_equal(result["y"], [[9, 7, 8]])
    np.testing.assert_array_equal(result["y1"], [[1, 3, 4]])


def test_gather_takes_fp16_indices() -> None:
    x = halves(2, 4, 5)
    picks = np.array([3, 0, 2], np.float16)
    result = run(100, (1,), [In(x), Out((2, 3, 5)), In(picks)])
    np.testing.assert_array_equal(result, x[:, [3, 0, 2]])


def test_strided_slice_of_an_interleaved_tensor_counts_onnx_axes() -> None:
    x = halves(1, 6, 7, 3)  # N, H, W, C in memory
    tables = [Const(np.array(v, np.int32)) for v in ([0, 0, 1, 0], [1, 3, 6, 7], [1, 1, 2, 3])]
    operands = [In(x, 0x4213), *tables, Out((1, 3, 3, 3), order=0x4213)]
    np.testing.assert_array_equal(run(133, (12, 12), operands), x[:, 1:6:2, ::3, :])


def test_strided_slice_without_strides_drops_an_axis() -> None:
    x = halves(2, 4, 5)
    tables = [Const(np.array(v, np.int32)) for v in ([0, 2, 1], [2, 3, 4])]
    result = run(133, (7, 7, 0, 2, 0), [In(x), *tables, None, Out((2, 3))])
    np.testing.assert_array_equal(result, x[:, 2, 1:4])


def test_one_hot_on_integers() -> None:
    index = np.array([[0, 2, 7, -1]], np.int32)
    packed = struct.pack("<2I2f", 0, 4, 3.0, 0.25)
    made, feeds = blob(117, packed, [In(index), Out((1, 4, 4))])
    expected = np.full((4, 4), 0.25)
    expected[[0, 1, 3], [0, 2, 3]] = 3
    np.testing.assert_array_equal(Emulator(made).run(feeds)["y"][0], expected)


def test_an_unknown_stage_is_refused_by_name() -> None:
    made, _ = blob(70, b"", [In(halves(1, 4)), Out((1, 4))])
    with pytest.raises(BlobError, match=r"LSTMCell.*70"):
        Emulator(made)
