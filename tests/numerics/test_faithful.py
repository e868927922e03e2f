"""The FP16 run: overflow shows where FP16 storage has it, and constants are the compiler's."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from blobsmith.numerics.faithful import BEFORE, IDEAL, given_name, half_model
from blobsmith.numerics.network import read
from blobsmith.numerics.seen import Tapped

from ..graphs import model

F = np.float32
SHAPE = (1, 3, 4, 4)


def node(op: str, inputs: list[str], output: str = "y", **attrs: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], **attrs)


def run(
    nodes: list[onnx.NodeProto],
    feed: dict[str, np.ndarray],
    constants: dict[str, Any] | None = None,
    names: tuple[str, ...] = ("y",),
    *,
    ideals: bool = False,
) -> dict[str, np.ndarray]:
    """Tensors of the FP16 run."""
    proto = model(nodes, {n: v.shape for n, v in feed.items()}, {"y": None}, constants, opset=13)
    network = read(proto)
    session = Tapped(half_model(network, ideals=ideals), names)
    return session.run({given_name(network, n): v for n, v in feed.items()}, names)


def test_an_intermediate_overflow_is_not_hidden() -> None:
    """300 * 300 does not fit in FP16, its root would: 90.04 is what a converted model hides."""
    nodes = [node("Mul", ["x", "x"], "s"), node("Mul", ["s", "c"], "t"), node("Sqrt", ["t"])]
    got = run(nodes, {"x": np.full(SHAPE, 300, F)}, {"c": F(0.09008)}, ("s", "y"))
    assert np.isinf(got["s"]).all()
    assert np.isinf(got["y"]).all()


@pytest.mark.parametrize("op", ["Add", "Mul", "Sqrt", "Relu"])
def test_every_result_is_an_fp16_number(op: str) -> None:
    x = np.random.default_rng(0).uniform(0, 3, SHAPE).astype(np.float16).astype(F)
    inputs = ["x", "x"] if op in ("Add", "Mul") else ["x"]
    y = run([node(op, inputs)], {"x": x})["y"]
    assert np.array_equal(y, y.astype(np.float16).astype(F))
    assert np.abs(y - _reference(op, x)).max() <= 2.0**-8


def _reference(op: str, x: np.ndarray) -> np.ndarray:
    return {"Add": x + x, "Mul": x * x, "Sqrt": np.sqrt(x), "Relu": x}[op]


def test_a_quotient_is_computed_as_the_compiler_does() -> None:
    """1 / 3e-5 fits, 1 / 1e-5 does not: 1e-5 / 1e-5 is lost though the quotient is 1."""
    nodes = [node("Div", ["x", "x"])]
    assert np.isfinite(run(nodes, {"x": np.full(SHAPE, 3e-5, F)})["y"]).all()
    assert np.isinf(run(nodes, {"x": np.full(SHAPE, 1e-5, F)})["y"]).all()


def test_a_sum_over_axes_is_an_average_times_the_count() -> None:
    """The mean of one 2^-14 among 4096 zeros underflows, so the sum is 0."""
    x = np.zeros((1, 1, 64, 64), F)
    x[0, 0, 0, 0] = 2.0**-14
    nodes = [node("ReduceSum", ["x", "a"])]
    assert run(nodes, {"x": x}, {"a": np.array([2, 3])})["y"].item() == 0.0


@pytest.mark.parametrize(
    ("op", "constant", "expected"),
    [
        ("Add", F(1e-6), 0.0),  # dropped: below 1e-5
        ("Add", F(2e-5), 2e-5),  # a scalar parameter, in FP32
        ("Mul", F(3e-6), 3e-6),
        ("Add", np.full((3, 1, 1), 1e-6, F), 0.0),  # one value a channel: stored in FP16, snapped
        ("Add", np.full((3, 1, 1), 4e-5, F), 2.0**-14),
        ("Add", np.full((3, 1, 1), 9e4, F), 65504.0),
    ],
)
def test_constants_are_those_that_the_compiler_stores(
    op: str, constant: np.ndarray, expected: float
) -> None:
    x = np.full(SHAPE, 1.0 if op == "Mul" else 0.0, F)
    y = run([node(op, ["x", "c"])], {"x": x}, {"c": constant})["y"]
    assert y == pytest.approx(expected, rel=2e-2, abs=1e-9)


def test_a_factor_beside_a_convolution_goes_into_its_weights() -> None:
    """1/255 and a kernel of 1/121 give weights of 3.2e-5, snapped to 6.1e-5: 88 % too much."""
    nodes = [node("Mul", ["x", "c"], "m"), node("Conv", ["m", "w"])]
    constants = {"c": F(1 / 255), "w": np.full((1, 1, 11, 11), 1 / 121, F)}
    y = run(nodes, {"x": np.full((1, 1, 11, 11), 255, F)}, constants)["y"]
    assert y.item() == pytest.approx(1.88, abs=0.01)
    barred = [node("Mul", ["x", "c"], "m"), node("Relu", ["m"], "r"), node("Conv", ["r", "w"])]
    y = run(barred, {"x": np.full((1, 1, 11, 11), 255, F)}, constants)["y"]
    assert y.item() == pytest.approx(1.0, abs=0.01)


def test_what_an_operator_adds_itself_can_be_told_from_what_came_in() -> None:
    nodes = [node("Add", ["x", "c"])]
    names = ("y", "y" + BEFORE, "y" + IDEAL)
    got = run(nodes, {"x": np.full(SHAPE, 0.1, F)}, {"c": np.full((3, 1, 1), 4e-5, F)}, names,
              ideals=True)  # fmt: skip
    x16 = float(np.float16(0.1))
    assert got["y" + IDEAL] == pytest.approx(x16 + 4e-5, rel=1e-6)
    assert got["y" + BEFORE] == pytest.approx(x16 + 2.0**-14, rel=1e-6)


def test_integers_and_masks_pass_untouched() -> None:
    nodes = [node("Greater", ["x", "c"], "m"), node("Cast", ["m"], to=1)]
    x = np.linspace(0, 1, 48, dtype=F).reshape(SHAPE)
    y = run(nodes, {"x": x}, {"c": F(0.5)})["y"]
    assert set(np.unique(y)) == {0.0, 1.0}
