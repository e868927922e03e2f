"""Sampling, resizing, loops and filters: the rules that look at whole pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from blobsmith.errors import OperatorError
from blobsmith.graph.equivalence import run
from blobsmith.graph.rewrites import rewrite
from blobsmith.graph.rewrites.needed.sampling import Sampler, as_matrix, taps

from .helpers import IMAGE, Array, Case, check_blob, check_graph, model


def rotation(degrees: float = 30.0) -> Array:
    """A grid that turns a 12 x 16 picture about its centre."""
    angle = np.deg2rad(degrees)
    y, x = np.meshgrid(np.linspace(-1, 1, 12), np.linspace(-1, 1, 16), indexing="ij")
    turned = [np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y]
    return np.stack(turned, -1)[None].astype(np.float32)


def shifted(dx: float, dy: float) -> Array:
    """A grid that moves a 12 x 16 picture by pixels, corners aligned."""
    y, x = np.meshgrid(np.arange(12) - dy, np.arange(16) - dx, indexing="ij")
    return np.stack([2 * x / 15 - 1, 2 * y / 11 - 1], -1)[None].astype(np.float32)


def sample(name: str, grid: Array, gone: tuple[str, ...] = ("GridSample",), **attrs: str) -> Case:
    """A GridSample with a constant grid."""
    settings = ",".join(f"{k}={v}" for k, v in attrs.items())
    return Case(f"grid-{name}", f"y = GridSample<{settings}>(x, g)", ("constant-grid",),
                constants={"g": grid}, opset=16, gone=gone, error=2e-4)  # fmt: skip


PADDINGS = ('"zeros"', '"border"', '"reflection"')
CASES = [
    *(
        sample(f"{mode}-{padding}-{corners}", rotation(), mode=f'"{mode}"', padding_mode=padding,
               align_corners=corners)
        for mode in ("bilinear", "nearest", "bicubic")
        for padding in PADDINGS
        for corners in ("0", "1")
    ),
    sample("whole-shift", shifted(3, -2), ("GridSample", "Gather", "MatMul"), align_corners="1"),
    sample("part-shift", shifted(2.5, 1.25), ("GridSample", "Gather"), align_corners="1"),
    Case("grid-quarter-turn", "y = GridSample<align_corners=1>(x, g)", ("constant-grid",),
         y="float[1,3,16,12]", opset=16, gone=("GridSample", "Gather"), error=2e-4, constants={
             "g": np.ascontiguousarray(np.swapaxes(shifted(0, 0), 1, 2))}),
    Case("grid-per-picture", "y = GridSample(x, g)", ("constant-grid",), x="float[2,1,12,16]",
         y="float[2,1,12,16]", opset=16, gone=("GridSample",), error=2e-4,
         constants={"g": np.concatenate([rotation(10), rotation(-25)])}),
    *(
        Case(f"resize-{name}", f'y = Resize<{settings}>(x, "", "", s)', ("resize-by-matrices",),
             y=f"float[1,3,{h},{w}]", constants={"s": [1, 3, h, w]}, gone=("Resize",))
        for name, settings, h, w in [
            ("cubic-up", 'mode="cubic",coordinate_transformation_mode="half_pixel"', 20, 31),
            ("cubic-down", 'mode="cubic",cubic_coeff_a=-0.5', 5, 7),
            ("cubic-corners", 'mode="cubic",coordinate_transformation_mode="align_corners"', 9, 20),
        ]
    ),
    Case("resize-cubic-rank-3", 'y = Resize<mode="cubic">(x, "", s)', ("resize-by-matrices",),
         x="float[12,16]", y="float[6,8]", constants={"s": np.array([0.5, 0.5], np.float32)},
         gone=("Resize",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_graph(case: Case) -> None:
    """The operators are gone and FP32 gives the same."""
    check_graph(case)


BLOBS = [c for c in CASES if "bicubic" not in c.name and "-1" not in c.name[-2:]]


@pytest.mark.parametrize("case", BLOBS, ids=str)
def test_blob(case: Case, compile_blob: Callable[..., bytes]) -> None:
    """The blob gives on the emulator what FP32 gave."""
    check_blob(case, compile_blob)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("padding", ["border", "reflection"])
def test_weights_of_a_sampling_inside_or_clamped_sum_to_one(mode: str, padding: str) -> None:
    """Where nothing falls outside, a constant picture stays constant."""
    sampler = Sampler(mode, padding, align_corners=False)  # type: ignore[arg-type]
    matrix = as_matrix(taps(np.linspace(-3, 14, 40), 12, sampler), 12)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)


def test_computed_grid_is_refused_by_name() -> None:
    """A user reads which operation cannot be, and what to use instead."""
    case = Case("", "g = Slice(x, s, e, a) y = GridSample(z, g)", (), x="float[1,12,16,3]",
                z=IMAGE, opset=16, constants={"s": [0], "e": [2], "a": [3]})  # fmt: skip
    with pytest.raises(OperatorError) as caught:
        rewrite(model(case), sets=("needed",))
    assert "grid_sample" in caught.value.what
    assert "constant grid" in caught.value.remedy


def tracking(limit: int, *, settled: bool) -> onnx.ModelProto:
    """A loop that grows a mask under another: `limit` turns, or until nothing changes."""
    body = helper.make_graph(
        [
            helper.make_node("MaxPool", ["m"], ["g"], kernel_shape=[3, 3], pads=[1] * 4),
            helper.make_node("Min", ["g", "z"], ["n"]),
            helper.make_node("Sub", ["n", "m"], ["d"]),
            helper.make_node("ReduceMax", ["d"], ["t"], keepdims=0),
            helper.make_node("Greater", ["t", "o"], ["again"]),
            helper.make_node("Identity", ["again" if settled else "c"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("m", TensorProto.FLOAT, [1, 1, 12, 16]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("n", TensorProto.FLOAT, [1, 1, 12, 16]),
        ],
        [numpy_helper.from_array(np.array(0, np.float32), "o")],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["z", "k"], ["l"]),
            helper.make_node("Relu", ["l"], ["m0"]),
            helper.make_node("Loop", ["n0", "true", "m0"], ["y"], body=body),
        ],
        "tracking",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 1, 12, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 12, 16])],
        [
            numpy_helper.from_array(np.array(limit, np.int64), "n0"),
            numpy_helper.from_array(np.array(True), "true"),
            numpy_helper.from_array(np.array(40, np.float32), "k"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(("limit", "settled"), [(4, False), (2**62, True)])
def test_loop_is_written_out(limit: int, settled: bool) -> None:
    """A constant number of turns, or as many as the values take to settle."""
    proto = tracking(limit, settled=settled)
    result = rewrite(proto, sets=("needed",))
    assert "loop-unrolled" in {a.rule for a in result.applied}
    assert not {n.op_type for n in result.proto.graph.node} & {"Loop"}
    noise = np.random.default_rng(5).integers(0, 256, (1, 1, 12, 16)).astype(np.float32)
    np.testing.assert_array_equal(
        run(result.proto, {"z": noise})["y"], run(proto, {"z": noise})["y"]
    )


def test_filter_in_the_frequency_domain_is_a_convolution(
    compile_blob: Callable[..., bytes],
) -> None:
    """Transform, constant spectrum, transform back: a circular convolution of the same kernel."""
    torch = pytest.importorskip("torch")
    kernel = np.zeros((12, 16), np.float32)
    kernel[:3, :3] = np.arange(9).reshape(3, 3) / 36
    spectrum = torch.fft.fft2(torch.from_numpy(kernel)).numpy()
    case = Case("", "u = Unsqueeze(x, e) d0 = DFT<axis=3>(u) d = DFT<axis=2>(d0) "
                "r = Slice(d, s0, s1, a) i = Slice(d, s1, s2, a) rr = Mul(r, re) ii = Mul(i, im) "
                "ri = Mul(r, im) ir = Mul(i, re) p = Sub(rr, ii) q = Add(ri, ir) "
                "c = Concat<axis=4>(p, q) b0 = DFT<axis=3,inverse=1>(c) "
                "b = DFT<axis=2,inverse=1>(b0) f = Slice(b, s0, s1, a) y = Squeeze(f, e)", (),
                opset=17, constants={"e": [4], "a": [4], "s0": [0], "s1": [1], "s2": [2],
                                     "re": spectrum.real[None, None, :, :, None],
                                     "im": spectrum.imag[None, None, :, :, None]})  # fmt: skip
    before = model(case)
    result = rewrite(before, sets=("needed",))
    assert [n.op_type for n in result.proto.graph.node].count("Conv") == 1
    picture = np.random.default_rng(3).integers(0, 256, (1, 3, 12, 16)).astype(np.float32)
    wanted = run(before, {"x": picture})["y"]
    np.testing.assert_allclose(run(result.proto, {"x": picture})["y"], wanted, atol=0.02)
    assert compile_blob(result.proto)
