"""Bounds of compiled stages, against what the emulator stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from blobsmith.blob import Blob
from blobsmith.blob_ranges import stage_ranges
from blobsmith.emulator import Emulator
from blobsmith.errors import BlobError
from blobsmith.numerics.frames import standard
from blobsmith.numerics.report import StageRange
from blobsmith.tensors import TensorSpec

from .graphs import model
from .numerics.random_graphs import SPECS, build, feeds

F = np.float32
SHAPE = (1, 3, 16, 16)
SPEC = TensorSpec("x", SHAPE, "u8")
Compile = Callable[..., bytes]
KINDS = {"u8": np.uint8, "fp16": np.float16}


def node(op: str, inputs: list[str], output: str = "y", **attrs: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], **attrs)


def blob_of(
    compile_blob: Compile, nodes: list[onnx.NodeProto], constants: dict[str, Any] | None = None,
    shape: tuple[int, ...] | None = SHAPE, *, hardware: bool = True, inputs: Any = "u8",
) -> Blob:  # fmt: skip
    proto = model(nodes, {"x": SHAPE}, {"y": shape}, constants, opset=12)
    return Blob.from_bytes(compile_blob(proto, hardware=hardware, inputs=inputs))


def last(blob: Blob, spec: TensorSpec = SPEC) -> StageRange:
    return stage_ranges(blob, [spec])[-1]


def test_a_quotient_overflows_in_its_inverse(compile_blob: Compile) -> None:
    """x / (x + 1e-8): at most 1 in ONNX; the blob computes x * (1 / x), and 1 / 0 is infinite."""
    blob = blob_of(compile_blob, [node("Add", ["x", "c"], "a"), node("Div", ["x", "a"])],
                   {"c": F(1e-8)})  # fmt: skip
    ranges = stage_ranges(blob, [SPEC])
    first = next(r for r in ranges if not r.safe)
    assert first.type_name == "Power"
    assert first.origin
    assert first.bounds[1] == np.inf
    assert ranges[-1].nan, "0 * infinity"
    assert not ranges[-1].origin


def test_a_sum_is_an_average_times_the_count(compile_blob: Compile) -> None:
    nodes = [node("Mul", ["x", "x"], "s"), node("ReduceSum", ["s"], axes=[3], keepdims=1)]
    blob = blob_of(compile_blob, nodes, shape=(1, 3, 16, 1))
    ranges = {r.type_name: r for r in stage_ranges(blob, [SPEC])}
    assert ranges["AvgPool"].safe
    assert ranges["Power"].origin
    assert ranges["Power"].bounds[1] == np.inf


@pytest.mark.parametrize("hardware", [True, False])
def test_convolution_stages_are_bounded_exactly(compile_blob: Compile, hardware: bool) -> None:
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(F)
    nodes = [node("Conv", ["x", "w"], pads=[1] * 4)]
    blob = blob_of(compile_blob, nodes, {"w": weights}, (1, 4, 16, 16), hardware=hardware)
    found = last(blob)
    kernel = weights.astype(np.float16).astype(np.float64)
    assert found.bounds[1] == pytest.approx(
        255 * np.maximum(kernel, 0).sum((1, 2, 3)).max(), rel=2e-3
    )
    assert found.bounds[0] == pytest.approx(
        255 * np.minimum(kernel, 0).sum((1, 2, 3)).min(), rel=2e-3
    )


def test_sums_before_the_engines_scaling_are_told(compile_blob: Compile) -> None:
    """Small weights are scaled up by a power of two, and with them the sum inside."""
    nodes = [node("Conv", ["x", "w"], pads=[1] * 4)]
    blob = blob_of(compile_blob, nodes, {"w": np.full((3, 3, 3, 3), 1e-3, F)})
    engine = next(r for r in stage_ranges(blob, [SPEC]) if r.type_name == "MyriadXHwOp")
    assert engine.bounds[1] == pytest.approx(27 * 255e-3, rel=2e-3)
    assert engine.inner > 100 * engine.bounds[1]


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resized_values_stay_within_their_channel(compile_blob: Compile, mode: str) -> None:
    nodes = [node("Mul", ["x", "c"], "m"), node("Resize", ["m", "", "s"], mode=mode)]
    made = {"c": np.array([1, 2, -1], F).reshape(1, 3, 1, 1), "s": np.array([1, 1, 2, 2], F)}
    assert last(blob_of(compile_blob, nodes, made, (1, 3, 32, 32))).bounds == (-255.0, 510.0)


def test_declared_ranges_of_fp16_inputs_count(compile_blob: Compile) -> None:
    blob = blob_of(compile_blob, [node("Mul", ["x", "x"])], inputs="fp16")
    narrow = TensorSpec("x", SHAPE, "fp16", value_range=(-2.0, 2.0))
    assert last(blob, narrow).bounds == (0.0, 4.0)
    assert not last(blob, TensorSpec("x", SHAPE, "fp16")).safe


@pytest.mark.parametrize("name", ["blur", "edge", "concat", "diff"])
@pytest.mark.parametrize("hardware", [True, False])
def test_zoo_blobs_are_safe_for_every_input(
    compile_blob: Compile, name: str, hardware: bool
) -> None:
    from blobsmith import sources
    from blobsmith.graph import simplify

    loaded = sources.load(name, inputs={s.name: s.shape for s in _entry(name).inputs})
    proto = simplify.simplify(loaded.proto).proto
    blob = Blob.from_bytes(compile_blob(proto, hardware=hardware))
    assert all(r.safe for r in stage_ranges(blob, loaded.inputs))


def _entry(name: str) -> Any:
    from blobsmith import zoo

    return zoo.get(name, 48)


MIXES = (
    "Conv Relu MaxPool", "Pad:reflect Conv:group Abs", "Mul:self ReduceSum Sqrt",
    "Concat Transpose", "Div Clip", "Softmax Mul:scalar", "Slice Max Min:scalar",
    "ConvTranspose LeakyRelu", "MatMul Sigmoid", "Stretch Pow", "AveragePool Sub", "Gather Exp",
    "ReduceMax Sub", "Norm PRelu", "Tile Floor", "Elu Tanh", "Reshape Add", "Greater Mul",
)  # fmt: skip


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("hardware", [True, False])
def test_no_output_leaves_the_bounds_of_its_stage(
    compile_blob: Compile, mix: str, hardware: bool
) -> None:
    """Outputs of the emulated blob lie within the hull of the stages that may have written them,
    and an overflow that the emulator sees was announced."""
    compared = 0
    for seed in range(2):
        proto = build(mix.split(), seed, opset=13)
        used = {n for v in proto.graph.node for n in v.input}
        kept = [i for i in proto.graph.input if i.name in used]
        del proto.graph.input[:]
        proto.graph.input.extend(kept)
        specs = [s for s in SPECS if s.name in used]
        data = compile_blob(proto, hardware=hardware, inputs={s.name: s.dtype for s in specs})
        blob = Blob.from_bytes(data)
        ranges = stage_ranges(blob, specs)
        low, high = min(r.bounds[0] for r in ranges), max(r.bounds[1] for r in ranges)
        unsafe = any(not r.safe for r in ranges)
        emulator = Emulator(blob)
        for feed in feeds(seed):
            cast = {s.name: feed[s.name].astype(KINDS[s.dtype]) for s in specs}
            result = emulator.run(cast)
            kinds = {w.kind for w in result.warnings}
            assert unsafe or not kinds & {"overflow", "nan"}
            for values in result.values():
                finite = values[np.isfinite(values)].astype(np.float64)
                assert unsafe or finite.size == values.size
                assert not finite.size or low <= finite.min() <= finite.max() <= high
                compared += 1
    assert compared


def test_frames_of_the_zoo_stay_within_the_last_stage(compile_blob: Compile) -> None:
    weights = np.random.default_rng(1).normal(size=(3, 1, 3, 3)).astype(F)
    nodes = [node("Conv", ["x", "w"], "c", group=3, pads=[1] * 4), node("Abs", ["c"])]
    blob = blob_of(compile_blob, nodes, {"w": weights})
    found, emulator = last(blob), Emulator(blob)
    for frame in standard([SPEC]):
        got = emulator.run({"x": frame.feeds["x"].astype(np.uint8)})["y"]
        assert found.bounds[0] <= got.min()
        assert got.max() <= found.bounds[1]


def test_a_stage_that_contradicts_itself_is_a_blob_error(compile_blob: Compile) -> None:
    """A transposition that names a dimension twice."""
    blob = blob_of(compile_blob, [node("Transpose", ["x"], perm=[0, 1, 3, 2])])
    stage = next(s for s in blob.stages if s.type_name == "Permute")
    at = stage.offset + 16
    data = bytearray(blob.data)
    data[at + 4 : at + 8] = data[at : at + 4]
    with pytest.raises(BlobError):
        stage_ranges(Blob.from_bytes(bytes(data)), [SPEC])


def test_channels_that_were_never_written_are_no_risk(compile_blob: Compile) -> None:
    """The engine reads four channels of a picture of three; the fourth has zero weights."""
    weights = np.full((16, 3, 3, 3), 0.01, F)
    blob = blob_of(
        compile_blob,
        [node("Conv", ["x", "w"], "c", pads=[1] * 4), node("Relu", ["c"])],
        {"w": weights}, shape=(1, 16, 16, 16),
    )  # fmt: skip
    found = stage_ranges(blob, [SPEC])
    assert "MyriadXHwOp" in {r.type_name for r in found}
    assert all(r.safe for r in found)
    assert found[-1].bounds[1] == pytest.approx(0.01 * 27 * 255, rel=1e-2)
