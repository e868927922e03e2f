"""The arithmetic below the stages: casts, products, convolution, windows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blobsmith.emulator.convolve import plan_convolution, plan_depthwise
from blobsmith.emulator.geometry import Geometry
from blobsmith.emulator.operands import Scratch
from blobsmith.emulator.pool import plan_windows
from blobsmith.emulator.primitives import planned_cast, planned_product
from blobsmith.emulator.relayout import planned_copy

EVERY_HALF = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def floats() -> np.ndarray:
    """Random bit patterns, FP16's subnormal range, and every tie between two halves."""
    rng = np.random.default_rng(0)
    finite = np.sort(EVERY_HALF[np.isfinite(EVERY_HALF)]).astype(np.float32)
    ties = (finite[:-1] + finite[1:]) / 2
    parts = [
        rng.integers(0, 1 << 32, 200_000, dtype=np.uint64).astype(np.uint32).view(np.float32),
        rng.uniform(-(2.0**-13), 2.0**-13, 200_000),
        ties,
        np.nextafter(ties, np.float32(np.inf)),
        np.nextafter(ties, np.float32(-np.inf)),
        [65504, 65519.99, 65520, 65536, -65519.99, -65520, np.inf, -np.inf, np.nan],
    ]
    return np.concatenate([np.asarray(part, np.float32) for part in parts])


@pytest.mark.parametrize("count", [100, None])
def test_casts_are_numpys_bit_for_bit(count: int | None) -> None:
    with np.errstate(all="ignore"):
        for source, kind in ((EVERY_HALF, np.float32), (floats(), np.float16)):
            values = np.ascontiguousarray(source[-count:] if count else source)
            target = np.empty(values.shape, kind)
            planned_cast(values, target)()
            np.testing.assert_array_equal(target, values.astype(kind))


def test_a_cast_reads_the_present_content() -> None:
    source, target = np.zeros(5000, np.float32), np.empty(5000, np.float16)
    step = planned_cast(source, target)
    for value in (1, 2, 3):
        source[...] = value
        step()
        assert (target == value).all()


@pytest.mark.parametrize(
    "shapes", [((3, 5), (5, 4)), ((64, 80), (80, 96)), ((2, 40, 50), (50, 60))]
)
def test_products(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    out = np.empty((*a.shape[:-1], b.shape[-1]), np.float32)
    planned_product(a, b, out)()
    np.testing.assert_allclose(out, a.astype(np.float64) @ b, atol=1e-4)


class Recorder(SimpleNamespace):
    """As much of a stage's context as the kernels need."""

    def __init__(self) -> None:
        super().__init__(scratch=Scratch(), steps=[])

    def then(self, *steps: object) -> None:
        self.steps.extend(steps)

    def spend(self, units: int) -> None:
        assert units >= 0

    def fail(self, what: str) -> Exception:
        return AssertionError(what)

    def run(self) -> None:
        for step in self.steps:
            step()


def naive(x: np.ndarray, w: np.ndarray, g: Geometry, out: tuple[int, int]) -> np.ndarray:
    """Convolution by its definition, in float64."""
    reach = 200
    padded = np.pad(x.astype(np.float64), ((0, 0), (g.top, reach), (g.left, reach)))
    result = np.zeros((w.shape[0], *out))
    for ky in range(w.shape[2]):
        for kx in range(w.shape[3]):
            y, z = ky * g.dilation_y, kx * g.dilation_x
            part = padded[:, y : y + out[0] * g.stride_y : g.stride_y,
                          z : z + out[1] * g.stride_x : g.stride_x]  # fmt: skip
            result += np.einsum("oi,ihw->ohw", w[:, :, ky, kx].astype(np.float64), part)
    return result


geometries = st.builds(
    Geometry,
    stride_y=st.integers(1, 3), stride_x=st.integers(1, 3),
    dilation_y=st.integers(1, 3), dilation_x=st.integers(1, 3),
    top=st.integers(0, 2), left=st.integers(0, 2),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    geometry=geometries,
    channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 13)),
    size=st.tuples(st.integers(13, 30), st.integers(40, 60)),
    density=st.sampled_from([0.05, 0.3, 1.0]),
    layout=st.sampled_from(["planar", "interleaved", "gaps"]),
    seed=st.integers(0, 1000),
)
def test_convolution_is_its_definition(
    geometry: Geometry,
    channels: tuple[int, int],
    kernel: tuple[int, int],
    size: tuple[int, int],
    density: float,
    layout: str,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(channels[0], *size)).astype(np.float32)
    if layout == "interleaved":
        x = np.ascontiguousarray(x.transpose(1, 2, 0)).transpose(2, 0, 1)
    elif layout == "gaps":
        wide = np.full((channels[0], size[0], size[1] + 3), np.nan, np.float32)
        wide[..., : size[1]] = x
        x = wide[..., : size[1]]
    w = rng.normal(size=(channels[1], channels[0], *kernel)).astype(np.float32)
    w *= rng.random(w.shape[:2])[..., None, None] < density
    bias = rng.normal(size=channels[1]).astype(np.float32)
    steps = ((geometry.stride_y, geometry.stride_x), (geometry.dilation_y, geometry.dilation_x))
    out = tuple(
        (n + p + k // 2 - (k - 1) * d - 1) // s + 1
        for n, p, k, s, d in zip(size, (geometry.top, geometry.left), kernel, *steps, strict=True)
    )
    ctx, result = Recorder(), np.empty((channels[1], *out), np.float32)
    plan_convolution(ctx, x, w, bias, result, geometry)  # type: ignore[arg-type]
    ctx.run()
    wanted = naive(x, w, geometry, (out[0], out[1])) + bias[:, None, None]
    np.testing.assert_allclose(result, wanted, atol=1e-4)
    if channels[0] == channels[1]:
        each = rng.normal(size=(channels[0], *kernel)).astype(np.float32)
        dense = np.zeros((channels[0], channels[0], *kernel), np.float32)
        dense[np.arange(channels[0]), np.arange(channels[0])] = each
        ctx = Recorder()
        plan_depthwise(ctx, x, each, result, geometry)  # type: ignore[arg-type]
        ctx.run()
        wanted = naive(x, dense, geometry, (out[0], out[1]))
        np.testing.assert_allclose(result, wanted, atol=1e-4)


@pytest.mark.parametrize("kernel", [(3, 3), (11, 11), (15, 15), (2, 130), (31, 5)])
def test_one_inf_stays_inside_the_kernels_reach(kernel: tuple[int, int]) -> None:
    """Large kernels must not go through a Fourier transform, which spreads inf everywhere."""
    x = np.zeros((1, 200, 200), np.float32)
    x[0, 100, 100] = np.inf
    w = np.ones((1, 1, *kernel), np.float32)
    ctx, result = Recorder(), np.empty((1, 200, 200), np.float32)
    plan_convolution(ctx, x, w, None, result, Geometry(top=kernel[0] // 2, left=kernel[1] // 2))  # type: ignore[arg-type]
    ctx.run()
    assert np.count_nonzero(~np.isfinite(result)) == min(kernel[0] * kernel[1], kernel[0] * 200)


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    out=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    maximum=st.booleans(),
)
def test_windows(
    kernel: tuple[int, int], stride: tuple[int, int], out: tuple[int, int], maximum: bool
) -> None:
    size = [(n - 1) * s + k for n, s, k in zip(out, stride, kernel, strict=True)]
    x = np.random.default_rng(0).normal(size=(3, *size)).astype(np.float32)
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))
    view = view[:, :: stride[0], :: stride[1]]
    wanted = view.max(axis=(3, 4)) if maximum else view.sum(axis=(3, 4))
    ctx, result = Recorder(), np.empty((3, *out), np.float32)
    plan_windows(ctx, x, result, kernel, stride, np.maximum if maximum else np.add)  # type: ignore[arg-type]
    ctx.run()
    np.testing.assert_allclose(result, wanted, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_copies_between_planar_and_interleaved(channels: int, kind: type) -> None:
    rng = np.random.default_rng(0)
    planar = rng.integers(0, 60000, (1, channels, 50, 60)).astype(kind)
    wide = np.zeros((1, 50, 90, channels), kind)
    for target in (wide[:, :, 20:80], np.zeros((1, 50, 60, channels), kind)):
        for step in planned_copy(planar.transpose(0, 2, 3, 1), target):
            step()
        np.testing.assert_array_equal(target, planar.transpose(0, 2, 3, 1))
    assert not wide[:, :, :20].any()
    assert not wide[:, :, 80:].any()
