"""Opsets above 15 are misread by the compiler; whatever is lowered computes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from blobsmith.errors import ModelError, OpsetError
from blobsmith.graph import equivalence, lines, opset, opset_adapters
from blobsmith.graph.opset_scope import Scope

from ..graphs import model

IMAGE = [2, 6, 8, 10]
RNG = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RNG.random(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def case(
    op: str,
    version: int,
    constants: dict[str, np.ndarray] | None = None,
    outputs: tuple[str, ...] = ("y",),
    shape: list[int] = IMAGE,
    inputs: list[str] | None = None,
    **attributes: Any,
) -> onnx.ModelProto:
    names = ["x", *(constants or {})] if inputs is None else inputs
    node = helper.make_node(op, names, list(outputs), name="node_7", **attributes)
    return model([node], {"x": shape}, dict.fromkeys(outputs), constants, opset=version)


LOWERED = {
    "ReduceMean": case("ReduceMean", 18, {"axes": ints(1)}),
    "ReduceMax over all": case("ReduceMax", 20, keepdims=0),
    "ReduceL2": case("ReduceL2", 18, {"axes": ints(-1, -2)}, keepdims=0),
    "ReduceMin over none": case("ReduceMin", 18, noop_with_empty_axes=1),
    "Split": case("Split", 18, outputs=("a", "b"), axis=1, num_outputs=2),
    "Split unevenly": case("Split", 18, outputs=("a", "b", "c"), axis=3, num_outputs=3),
    "Pad axes": case(
        "Pad", 18, {"p": ints(1, 2, 1, 2), "a": ints(2, 3)}, inputs=["x", "p", "", "a"],
        mode="reflect",
    ),
    "Pad wrap": case("Pad", 19, {"p": ints(0, 0, 2, 3, 0, 0, 1, 4)}, mode="wrap"),
    "Resize antialias": case(
        "Resize", 18, {"s": ints(2, 6, 3, 5)}, inputs=["x", "", "", "s"], mode="linear", antialias=1
    ),
    "Resize cubic antialias": case(
        "Resize", 18, {"s": ints(3, 5)}, inputs=["x", "", "", "s"], mode="cubic", antialias=1,
        axes=[2, 3],
    ),
    "Resize symmetric": case(
        "Resize", 19, {"s": np.array([1, 1, 0.6, 0.7], np.float32)}, inputs=["x", "", "s"],
        mode="linear", coordinate_transformation_mode="half_pixel_symmetric",
    ),
    "Resize axes": case(
        "Resize", 18, {"s": np.array([2, 0.5], np.float32)}, inputs=["x", "", "s"], mode="linear",
        axes=[2, 3],
    ),
    "Resize keep aspect": case(
        "Resize", 18, {"s": ints(20, 20)}, inputs=["x", "", "", "s"], mode="nearest", axes=[2, 3],
        keep_aspect_ratio_policy="not_larger",
    ),
    "AveragePool dilated": case("AveragePool", 19, kernel_shape=[3, 3], dilations=[2, 2]),
    "LpPool": case("LpPool", 18, kernel_shape=[3, 3], p=2),
    "Col2Im": case(
        "Col2Im", 18, {"i": ints(6, 4), "b": ints(2, 2)}, shape=[2, 12, 12], pads=[1, 0, 1, 0],
        strides=[2, 1],
    ),
    "Cast": case("Cast", 19, to=TensorProto.FLOAT, saturate=1),
    "ScatterND": case(
        "ScatterND", 18, {"i": ints(0).reshape(1, 1), "u": floats(1, *IMAGE[1:])}, reduction="none"
    ),
    "LayerNormalization 17": case("LayerNormalization", 17, {"s": floats(10), "b": floats(10)}),
    "LayerNormalization 20": case("LayerNormalization", 20, {"s": floats(8, 10)}, axis=2),
    "GroupNormalization 18": case(
        "GroupNormalization", 18, {"s": floats(3), "b": floats(3)}, num_groups=3
    ),
    "GroupNormalization 21": case(
        "GroupNormalization", 21, {"s": floats(6), "b": floats(6)}, num_groups=3
    ),
    "Gelu": case("Gelu", 20),
    "Gelu tanh": case("Gelu", 20, approximate="tanh"),
    "Mish": case("Mish", 22),
    "HardSwish": case("HardSwish", 22),
    "Swish": case("Swish", 24),
    "RMSNormalization": case("RMSNormalization", 23, {"s": floats(10)}),
    "CenterCropPad": case("CenterCropPad", 18, {"s": ints(4, 12)}, axes=[2, 3]),
    "Attention": case("Attention", 23, shape=[1, 2, 8, 10], inputs=["x", "x", "x"]),
}  # fmt: skip


NOT_IN_OLD_RUNTIMES = {"ReduceMin over none", "Swish"}


def _runs(proto: onnx.ModelProto) -> bool:
    """Whether the installed ONNX Runtime runs a graph: Python 3.10 has none after 1.23."""
    try:
        equivalence.run(proto, opset.feeds_for(proto)[0])
    except ModelError:
        return False
    return True


@pytest.mark.parametrize("name", LOWERED)
def test_operator_is_lowered_and_computes_the_same(name: str) -> None:
    before = LOWERED[name]
    if not _runs(before):  # what cannot be compared is refused
        with pytest.raises(ModelError, match="ONNX Runtime cannot"):
            opset.lower(before)
        assert name in NOT_IN_OLD_RUNTIMES
        return
    after = opset.lower(before)
    assert opset.version(after) == 15
    onnx.checker.check_model(after, full_check=True)
    for frame in opset.feeds_for(before, seed=7):
        expected, actual = equivalence.run(before, frame), equivalence.run(after, frame)
        for output, value in expected.items():
            np.testing.assert_allclose(actual[output], value, rtol=1e-4, atol=1e-3)


def test_reduction_over_an_axis_stays_one() -> None:
    """The silent trap: read as opset 15, axes that are an input are lost, and all are reduced."""
    before = LOWERED["ReduceMean"]
    relabelled = onnx.ModelProto.FromString(before.SerializeToString())
    del relabelled.opset_import[:]
    relabelled.opset_import.append(helper.make_opsetid("", 15))
    assert before.graph.node[0].input[1] == "axes"
    lowered = opset.lower(before)
    assert list(lowered.graph.node[0].input) == ["x"]
    assert lowered.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 1
    assert lowered.graph.output[0].type.tensor_type.shape.dim[2].dim_value == 8


REFUSED = {
    "BitwiseNot": (case("BitwiseNot", 18), "nothing below does the same"),
    "ScatterElements max": (
        case(
            "ScatterElements", 18, {"i": np.zeros(IMAGE, np.int64), "u": floats(*IMAGE)},
            reduction="max",
        ),
        "reduction 'max'",
    ),
    "AveragePool padded": (
        case("AveragePool", 19, kernel_shape=[3, 3], dilations=[2, 2], pads=[1, 1, 1, 1]),
        "border is not counted",
    ),
    "RoiAlign": (
        case(
            "RoiAlign", 16, {"r": floats(1, 4), "b": ints(0)}, output_height=2, output_width=2
        ),
        "half_pixel",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_lowered_names_node_and_reason(name: str) -> None:
    proto, reason = REFUSED[name]
    with pytest.raises(OpsetError, match=reason) as caught:
        opset.lower(proto)
    assert "node_7" in caught.value.where
    assert caught.value.remedy


def grid_sample(version: int, **attributes: Any) -> onnx.ModelProto:
    return case("GridSample", version, {"g": floats(2, 4, 5, 2) * 2 - 1}, **attributes)


@pytest.mark.parametrize("proto", [grid_sample(16), grid_sample(20, mode="linear")])
def test_grid_sample_is_left_only_on_demand(proto: onnx.ModelProto) -> None:
    with pytest.raises(OpsetError, match="GridSample"):
        opset.lower(proto)
    left = opset.lower(proto, partial=True)
    assert opset.version(left) == 16
    frame = opset.feeds_for(proto)[0]
    np.testing.assert_allclose(
        equivalence.run(left, frame)["y"], equivalence.run(proto, frame)["y"], rtol=1e-5
    )


def test_a_wrong_adapter_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof in ONNX Runtime is what is trusted, not the adapters."""

    def careless(node: onnx.NodeProto, scope: Scope) -> list[onnx.NodeProto]:
        return [helper.make_node(node.op_type, [node.input[0]], list(node.output))]

    monkeypatch.setitem(opset_adapters.ADAPTERS, "ReduceMean", careless)
    with pytest.raises(OpsetError, match="would change the result"):
        opset.lower(LOWERED["ReduceMean"])


def test_branches_of_constant_conditions_are_taken() -> None:
    """AffineGrid's body chooses by the number of sizes; with constants there is no choice left."""
    nodes = [
        helper.make_node("AffineGrid", ["t", "s"], ["g"]),
        helper.make_node("GridSample", ["x", "g"], ["y"]),
    ]
    proto = model(
        nodes, {"x": IMAGE}, {"y": None}, {"t": floats(2, 2, 3), "s": ints(*IMAGE)}, opset=20
    )
    left = opset.lower(proto, partial=True)
    assert "If" not in {n.op_type for n in left.graph.node}


def test_lines_survive_lowering() -> None:
    proto = onnx.ModelProto.FromString(LOWERED["Gelu"].SerializeToString())
    proto.graph.node[0].doc_string = "user.py:7: y = gelu(x)"
    lowered = opset.lower(proto)
    assert {str(line) for line in lines.lookup(lowered).values()} == {"user.py:7  y = gelu(x)"}
    assert len(lines.lookup(lowered)) == len(lowered.graph.node)


def test_versions_within_the_range_are_returned_as_they_are() -> None:
    for version in (12, 15):
        proto = case("Relu", version)
        assert opset.lower(proto) is proto
        assert opset.normalise(proto).proto is proto


@pytest.mark.parametrize("version", [7, 10])
def test_old_opsets_are_raised(version: int) -> None:
    slices = {"starts": [1], "ends": [5], "axes": [2]}
    proto = (
        case("Slice", version, **slices)
        if version < 10
        else case("Clip", version, min=3.0, max=9.0)
    )
    raised, notes = opset.normalise(proto)
    assert opset.version(raised) == 12
    assert "raised to 12" in notes[0]
    frame = opset.feeds_for(proto)[0]
    np.testing.assert_array_equal(
        equivalence.run(raised, frame)["y"], equivalence.run(proto, frame)["y"]
    )


# ---------------------------------------------------------------------- Softmax below 13


def softmax(op: str, version: int, axis: int | None) -> onnx.ModelProto:
    return case(op, version, **({} if axis is None else {"axis": axis}))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [None, 1, 2, 3, -1, 0])
def test_softmax_below_13_is_written_out(op: str, axis: int | None) -> None:
    """The silent trap: its axis means flattening there, and the compiler takes it for one axis."""
    before = softmax(op, 12, axis)
    after = opset.explicit_softmax(before)
    frame = opset.feeds_for(before)[-1]
    expected = equivalence.run(before, frame)["y"]
    np.testing.assert_allclose(equivalence.run(after, frame)["y"], expected, rtol=1e-5, atol=1e-7)
    # read as the compiler reads it, by its one axis, the graph must still compute the same
    as_compiler = onnx.ModelProto.FromString(after.SerializeToString())
    del as_compiler.opset_import[:]
    as_compiler.opset_import.append(helper.make_opsetid("", 13))
    for node in as_compiler.graph.node:
        if node.op_type == op and not node.attribute:
            node.attribute.append(helper.make_attribute("axis", 1))
    got = equivalence.run(as_compiler, frame)["y"]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


def test_softmax_of_13_is_left_alone() -> None:
    proto = softmax("Softmax", 13, 1)
    assert opset.explicit_softmax(proto) is proto
