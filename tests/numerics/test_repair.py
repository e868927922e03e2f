"""Repairs: the same function, and it fits; shown on the emulated blob."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from blobsmith.blob import Blob
from blobsmith.emulator import Emulator
from blobsmith.model import Model
from blobsmith.numerics import check, quick_check, repair, repair_model
from blobsmith.numerics.network import read
from blobsmith.numerics.outputs import OutputError
from blobsmith.numerics.repair.apply import write
from blobsmith.numerics.repair.plan import Plan, Sizes
from blobsmith.numerics.repair.search import make
from blobsmith.numerics.seen import Tapped
from blobsmith.tensors import TensorSpec

from ..graphs import model as onnx_model
from . import models
from .random_graphs import build, feeds

F = np.float32
SHAPE = (1, 1, 24, 24)
Compile = Callable[..., bytes]


def node(op: str, inputs: list[str], output: str = "y", **attrs: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], **attrs)


def graph(nodes: list[Any], constants: dict[str, Any] | None = None) -> onnx.ModelProto:
    return onnx_model(nodes, {"x": SHAPE}, {"y": SHAPE}, constants, opset=13)


def reference(proto: onnx.ModelProto, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The FP32 outputs of a graph."""
    network = read(proto)
    return Tapped(proto, network.outputs).run(feed, network.outputs)


def emulated(
    compile_blob: Compile, model: Model, feed: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The outputs of the compiled blob, factors undone."""
    data = compile_blob(model.proto, inputs={s.name: s.dtype for s in model.inputs})
    kinds = {"u8": np.uint8, "fp16": np.float16}
    cast = {s.name: feed[s.name].astype(kinds[s.dtype]) for s in model.inputs}
    got = Emulator(Blob.from_bytes(data)).run(cast)
    return {s.name: got[s.name].astype(F) / s.decoding.factor for s in model.outputs}


def peaks(response: np.ndarray, count: int = 40) -> set[tuple[int, int]]:
    """The strongest local maxima of a response."""
    plane = response.reshape(response.shape[-2:]).astype(np.float64)
    padded = np.pad(plane, 1, constant_values=-np.inf)
    around = np.max(
        [padded[1 + a : 1 + a + plane.shape[0], 1 + b : 1 + b + plane.shape[1]]
         for a in (-1, 0, 1) for b in (-1, 0, 1)], axis=0,
    )  # fmt: skip
    spots = np.argwhere((plane == around) & (plane > 0))
    ranked = sorted(spots.tolist(), key=lambda s: -plane[s[0], s[1]])
    return {(y, x) for y, x in ranked[:count]}


def test_harris_on_0_to_255_is_repaired(compile_blob: Compile) -> None:
    """Within 1 % of the output's range, and the same corners on a photograph."""
    broken = models.image_model(models.Harris)
    repaired = repair_model(broken)
    assert repaired.result.accepted
    assert quick_check(repaired.model).verdict == "safe"
    factor = repaired.model.outputs[0].decoding.factor
    assert factor < 1
    assert np.log2(factor) == round(np.log2(factor)), "a power of two"
    assert "cannot fit" in repaired.summary
    image = {"image": models.photo(models.GREY)}
    wanted = reference(broken.proto, image)["output"]
    got = emulated(compile_blob, repaired.model, image)["output"]
    span = float(wanted.max() - wanted.min())
    assert np.isfinite(got).all()
    assert np.abs(got - wanted).max() <= 0.01 * span
    assert len(peaks(got) & peaks(wanted)) >= 39, "the fortieth may change places with the next"
    before = emulated(compile_blob, broken, image)["output"]
    assert not np.isfinite(before).all(), "the blob as it was is of no use"


@pytest.mark.parametrize(
    ("kind", "scale"), [(models.Cosine, 1.0), (models.Cosine, 40.0), (models.ScaledCosine, 40.0)]
)
def test_cosine_is_repaired(compile_blob: Compile, kind: Any, scale: float) -> None:
    """Within 0.2 % of FP32 on the published vectors, multiplied up so that a.a overflows."""
    vectors = models.vectors(scale)
    reach = float(max(np.abs(v).max() for v in vectors.values()))
    broken = models.vector_model(kind, reach)
    assert check(broken, frames=[vectors]).verdict == "broken"
    repaired = repair_model(broken, frames=[vectors])
    assert repaired.result.accepted
    assert repaired.model.outputs[0].decoding.factor == 1.0
    wanted = reference(broken.proto, vectors)["output"].item()
    got = emulated(compile_blob, repaired.model, vectors)["output"].item()
    assert got == pytest.approx(wanted, rel=2e-3)
    assert check(repaired.model, frames=[vectors]).verdict == "safe"


def test_a_kernel_that_folding_would_lose_is_kept_out_of_reach(compile_blob: Compile) -> None:
    broken = models.image_model(models.TinyKernel)
    assert check(broken).verdict != "safe"
    repaired = repair_model(broken)
    assert repaired.result.accepted
    image = {"image": models.photo(models.GREY)}
    wanted = reference(broken.proto, image)["output"]
    before = emulated(compile_blob, broken, image)["output"]
    after = emulated(compile_blob, repaired.model, image)["output"]
    assert np.abs(before - wanted).max() > 0.3
    assert np.abs(after - wanted).max() < 2e-3


def test_guards_of_divisions_are_raised() -> None:
    broken = models.image_model(models.Guarded)
    assert check(broken).verdict == "broken", "0 / 0 on a black image"
    repaired = repair_model(broken)
    assert repaired.result.accepted
    assert any("guard" in action or "times 2^" in action for action in repaired.actions)
    assert check(repaired.model).verdict == "safe"


@pytest.mark.parametrize(
    ("nodes", "constants", "factor"),
    [
        # squares, their blur, the root: all fits once the input is scaled, and is undone
        ([node("Mul", ["x", "c"], "a"), node("Mul", ["a", "a"], "b"), node("Sqrt", ["b"])],
         {"c": F(3)}, 1.0),
        # an even power and an odd exponent below a root
        ([node("Pow", ["x", "p"], "a"), node("Sqrt", ["a"], "b"), node("Sqrt", ["b"])],
         {"p": F(4)}, 1.0),
        # a comparison: both sides are scaled
        ([node("Mul", ["x", "x"], "a"), node("Mul", ["a", "c"], "b"),
          node("Greater", ["b", "t"], "m"), node("Cast", ["m"], to=1)],
         {"c": F(4), "t": F(1e5)}, 1.0),
        # limits move with what they limit
        ([node("Mul", ["x", "c"], "a"), node("Clip", ["a", "lo", "hi"], "b"),
          node("Div", ["b", "c"])], {"c": F(1000), "lo": F(1e4), "hi": F(2e5)}, 1.0),
        # a sum of branches of different degree
        ([node("Mul", ["x", "x"], "a"), node("Mul", ["a", "c"], "b"), node("Add", ["b", "x"], "s"),
          node("Div", ["s", "d"])], {"c": F(2), "d": F(100)}, 1.0),
        # one of two halves is squared and too large
        ([node("Mul", ["x", "c"], "a"), helper.make_node("Split", ["a"], ["l", "r"], axis=2),
          node("Mul", ["r", "r"], "s"), node("Sqrt", ["s"], "t"),
          node("Concat", ["l", "t"], axis=2)], {"c": F(3)}, 1.0),
        # the result itself is too large
        ([node("Mul", ["x", "x"], "a"), node("Mul", ["a", "x"])], {}, 2.0**-9),
        ([node("ReduceL2", ["x"], "n", axes=[2, 3]), node("Div", ["x", "n"])], {}, 1.0),
    ],
)  # fmt: skip
def test_scaling_keeps_the_function(
    nodes: list[Any], constants: dict[str, Any], factor: float
) -> None:
    proto, spec = graph(nodes, constants), TensorSpec("x", SHAPE)
    result = repair(proto, [spec])
    assert result.accepted
    assert result.before.lost > 0
    assert result.after.lost == 0
    assert result.output_factors == ({} if factor == 1.0 else {"y": factor})
    feed = {"x": np.random.default_rng(3).integers(1, 256, SHAPE).astype(F)}
    wanted, got = reference(proto, feed)["y"], reference(result.proto, feed)["y"] / factor
    assert np.allclose(got, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())
    onnx.checker.check_model(result.proto)


def test_a_small_addend_is_lifted_out_of_reach_of_the_compiler() -> None:
    """The compiler drops 5e-6; times 2^8 it stays, and the root is scaled back."""
    nodes = [node("Mul", ["x", "u"], "a"), node("Mul", ["a", "a"], "b"),
             node("Add", ["b", "e"], "c"), node("Sqrt", ["c"])]  # fmt: skip
    proto, spec = graph(nodes, {"u": F(1 / 255), "e": F(5e-6)}), TensorSpec("x", SHAPE)
    result = repair(proto, [spec])
    assert result.accepted
    assert result.before.failing == 1
    assert result.after.failing == 0
    assert result.output_factors == {}


def test_normalisation_with_a_tiny_guard_is_repaired() -> None:
    """The length of a bright image overflows; that of a black one is only the guard."""
    nodes = [node("ReduceL2", ["x"], "n", axes=[2, 3]), node("Clip", ["n", "e"], "g"),
             node("Div", ["x", "g"])]  # fmt: skip
    result = repair(graph(nodes, {"e": F(1e-12)}), [TensorSpec("x", SHAPE)])
    assert result.accepted
    assert result.before.lost > 0
    assert result.after.lost == result.after.failing == 0


def test_what_fits_is_left_alone() -> None:
    proto, spec = graph([node("Mul", ["x", "c"])], {"c": F(0.5)}), TensorSpec("x", SHAPE)
    result = repair(proto, [spec])
    assert not result.accepted
    assert result.proto is proto
    assert result.actions == ()
    assert "nothing to repair" in result.reason


def test_what_cannot_be_rescaled_is_said() -> None:
    proto, spec = graph([node("Exp", ["x"], "e"), node("Log", ["e"])]), TensorSpec("x", SHAPE)
    result = repair(proto, [spec])
    assert not result.accepted
    assert "no rescaling" in result.reason


def test_an_output_that_is_read_inside_keeps_its_scale(compile_blob: Compile) -> None:
    """A mean and its cube: the cube is given scaled, the mean as it is."""
    proto = onnx_model(
        [node("ReduceMean", ["x"], "mean", axes=[3], keepdims=1),
         node("Mul", ["mean", "mean"], "square"), node("Mul", ["square", "mean"], "cube")],
        {"x": SHAPE}, {"mean": (1, 1, 24, 1), "cube": (1, 1, 24, 1)}, opset=12,
    )  # fmt: skip
    outputs = tuple(TensorSpec(n, (1, 1, 24, 1), "fp16") for n in ("mean", "cube"))
    broken = Model(proto.SerializeToString(), (TensorSpec("x", SHAPE, "u8"),), outputs, "")
    fixed = repair_model(broken)
    assert fixed.result.accepted
    assert set(fixed.result.output_factors) == {"cube"}
    assert [s.decoding.factor == 1 for s in fixed.model.outputs] == [True, False]
    assert "cube" in fixed.summary
    feed = {"x": np.full(SHAPE, 200, F)}
    got = emulated(compile_blob, fixed.model, feed)
    assert got["mean"].max() == pytest.approx(200, rel=2e-3)
    assert got["cube"].max() == pytest.approx(8e6, rel=5e-3)
    assert quick_check(fixed.model).verdict == "safe"


@pytest.mark.parametrize("model", [models.image_model(models.Corners),
                                   models.vector_model(models.Cosine, 40.0)])  # fmt: skip
def test_lines_of_the_users_code_go_along(model: Model) -> None:
    """Into what is put in as well, behind an input too."""
    repaired = repair_model(model)
    assert repaired.result.accepted
    assert len(repaired.model.proto.graph.node) >= len(model.proto.graph.node)
    assert all("models.py:" in n.doc_string for n in repaired.model.proto.graph.node)


def test_names_and_shapes_stay() -> None:
    broken = models.image_model(models.Corners)
    repaired = repair_model(broken).model
    for before, after in (
        (broken.proto.graph.input, repaired.proto.graph.input),
        (broken.proto.graph.output, repaired.proto.graph.output),
    ):
        assert [v.name for v in before] == [v.name for v in after]
        assert [v.type for v in before] == [v.type for v in after]


SCALED = (
    "Mul Mul:self Mul:scalar Add Sub Conv Relu Abs Sqrt Div Max Pow Concat ReduceSum ReduceMean "
    "MaxPool AveragePool Clip Slice Pad Transpose Sigmoid ReduceL2 Stretch MatMul:pair "
    "Mul:channel Exp Expand Resize Norm Sub:scalar Softmax Split TopK PRelu"
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    names=st.lists(st.sampled_from(SCALED.split()), min_size=2, max_size=9),
    seed=st.integers(0, 2**31),
    exponent=st.integers(-9, 9),
    lift=st.booleans(),
    far=st.booleans(),
)
def test_any_plan_keeps_the_function(
    names: list[str], seed: int, exponent: int, lift: bool, far: bool
) -> None:
    """Whatever sizes a plan is made for, the graph written from it computes the same in FP32."""
    proto = build(names, seed, opset=13)
    inner = proto.graph.node[seed % len(proto.graph.node)].output[0]
    if inner not in {o.name for o in proto.graph.output}:  # an output that is read inside
        proto.graph.output.append(helper.make_empty_tensor_value_info(inner))
    network = read(proto)
    rng = np.random.default_rng(seed)
    tensors = [o for n in network.steps() for o in n.outputs if o] + list(network.inputs)
    sizes = {name: float(2.0 ** (rng.integers(-12, 30) + exponent)) for name in tensors}
    plan = make(network, Sizes(sizes, {}), lift=lift, far=far)
    written, _ = write(plan)
    for feed in feeds(seed)[:2]:
        wanted, got = reference(network.proto, feed), reference(written, feed)
        for name in network.outputs:
            scale = 2.0 ** plan.outputs.get(name, 0)
            error = OutputError(name)
            with np.errstate(over="ignore", invalid="ignore"):
                error.add(_bounded(wanted[name]), _bounded(got[name] / scale), "")
            assert error.share < 1e-3


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    names=st.lists(st.sampled_from(SCALED.split()), min_size=2, max_size=9),
    seed=st.integers(0, 2**31),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(-5, 5)), max_size=12),
)
def test_a_change_followed_is_the_plan_walked_anew(
    names: list[str], seed: int, changes: list[tuple[int, int]]
) -> None:
    network = read(build(names, seed, opset=13))
    tensors = [o for n in network.steps() for o in n.outputs if o] + list(network.inputs)
    plan = Plan(network)
    plan.walk()
    for index, amount in changes:
        plan = plan.copy() if amount % 2 else plan
        plan.change(tensors[index % len(tensors)], amount)
    anew = Plan(network, dict(plan.adjust))
    anew.walk()
    assert plan.exponents == anew.exponents
    assert plan.settled == anew.settled
    assert plan.cost() == pytest.approx(anew.cost())


def test_a_search_whose_time_is_up_leaves_a_plan_that_keeps_the_function() -> None:
    model = models.image_model(models.Harris)
    network = read(model.proto)
    sizes = Sizes({o: 1e9 for n in network.steps() for o in n.outputs}, {})
    left = iter([False] * 6)
    plan = make(network, sizes, lift=False, far=False, over=lambda: next(left, True))
    written, _ = write(plan)
    feed = {"image": models.photo(models.GREY)}
    wanted, got = reference(model.proto, feed)["output"], reference(written, feed)["output"]
    np.testing.assert_allclose(got / 2.0 ** plan.outputs.get("output", 0), wanted, rtol=1e-4,
                               atol=1e-4 * np.abs(wanted).max())  # fmt: skip


def _bounded(values: np.ndarray) -> np.ndarray:
    """Infinite values and those near FP32's own limits left out."""
    return np.where(np.abs(values) < 1e30, values, 0)
