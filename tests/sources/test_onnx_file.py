"""An .onnx file of anybody's becomes a Model, or one sentence."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from blobsmith.errors import BlobsmithError, OperatorError, OpsetError, SourceError, UsageError
from blobsmith.graph import equivalence, opset
from blobsmith.sources import load, load_onnx
from blobsmith.tensors import InputRequest

from ..graphs import model, one

IMAGE = [1, 3, 6, 8]


def relu(shape: Any = IMAGE, **changes: Any) -> onnx.ModelProto:
    node = helper.make_node("Relu", ["x"], ["y"], name="node_relu")
    return model([node], {"x": shape}, {"y": None}, **changes)


def typed(kind: int, nodes: list[onnx.NodeProto], out: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A graph with an input of another type."""
    graph = helper.make_graph(
        nodes,
        "typed",
        [helper.make_tensor_value_info("x", kind, IMAGE)],
        [helper.make_tensor_value_info("y", out, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)


def run(data: bytes, x: np.ndarray) -> np.ndarray:
    return equivalence.run(data, {"x": x})["y"]


X = np.random.default_rng(0).uniform(-9, 255, IMAGE).astype(np.float32)

# ---------------------------------------------------------------------- reading


def test_a_plain_file_is_a_model(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(relu(), path)
    found = load(path)
    assert [(s.name, s.shape, s.dtype, s.color) for s in found.inputs] == [
        ("x", (1, 3, 6, 8), "u8", "bgr")
    ]
    assert [(s.name, s.shape, s.dtype) for s in found.outputs] == [("y", (1, 3, 6, 8), "fp16")]
    assert found.origin == "net.onnx"
    assert found.module is None
    assert load(str(path)).sha256 == found.sha256
    assert pickle.loads(pickle.dumps(found)) == found


WHOLE = relu().SerializeToString()
NOT_ONNX = [
    (b"", "empty"),
    (WHOLE[: len(WHOLE) // 2], "truncated"),
    (WHOLE[:10], "truncated"),
    (b"hello, this is no model", "no ONNX file"),
    (b"\x00" * 100, "no ONNX file"),
    (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    (b"<!DOCTYPE html><html></html>", "web page"),
    (b"PK\x03\x04" + b"\x00" * 40, "torch.save"),
    (b'<?xml version="1.0"?><net/>', "XML"),
    (onnx.ModelProto(ir_version=8).SerializeToString(), "no opset"),
]


@pytest.mark.parametrize(("data", "what"), NOT_ONNX, ids=[n[1] for n in NOT_ONNX])
def test_what_is_no_onnx_is_said_to_be_none(data: bytes, what: str) -> None:
    with pytest.raises(SourceError, match=what) as caught:
        load_onnx(data, name="some.onnx")
    assert "some.onnx" in caught.value.where


def test_a_name_that_is_no_text_is_damage() -> None:
    data = WHOLE.replace(b"node_relu", b"node_\xe6\xe6\xe6\xe6")
    with pytest.raises(SourceError, match="damaged"):
        load_onnx(data)


@pytest.mark.parametrize("field", ["data_type", "dims"])
def test_a_constant_that_is_not_what_it_says_is_damage(field: str) -> None:
    net = model(
        [helper.make_node("Mul", ["x", "w"], ["y"])], {"x": IMAGE}, {"y": None}, {"w": np.ones(3)}
    )
    if field == "dims":
        net.graph.initializer[0].dims[0] = 7
    else:
        net.graph.initializer[0].data_type = 57
    with pytest.raises(SourceError, match="the constant 'w' cannot be read"):
        load_onnx(net.SerializeToString())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=3), st.integers(0, 4))
def test_damage_anywhere_is_an_error_of_ours_or_harmless(place: int, put: bytes, cut: int) -> None:
    data = WHOLE[:place] + put + WHOLE[place + cut :]
    with contextlib.suppress(BlobsmithError):
        load_onnx(data)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_every_truncation_is_an_error_of_ours(share: float) -> None:
    big = model(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        {"x": IMAGE},
        {"y": None},
        {"w": np.ones((4, 3, 3, 3), np.float32)},
    ).SerializeToString()
    with pytest.raises(BlobsmithError):
        load_onnx(big[: int(len(big) * share)])


def test_weights_in_another_file_are_found_or_asked_for(tmp_path: Path) -> None:
    net = model(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        {"x": IMAGE},
        {"y": None},
        {"w": np.full((1, 3, 1, 1), 2, np.float32)},
    )
    path = tmp_path / "big.onnx"
    onnx.save(net, path, save_as_external_data=True, location="big.data", size_threshold=0)
    found = load(path)
    np.testing.assert_array_equal(run(found.onnx_bytes, X), X * 2)
    with pytest.raises(SourceError, match=r"lie in another file: big\.data") as caught:
        load_onnx(path.read_bytes())
    assert "save_as_external_data=False" in caught.value.remedy
    (tmp_path / "big.data").unlink()
    with pytest.raises(SourceError, match=r"'big\.data', which is not beside it"):
        load(path)


@pytest.mark.parametrize("place", ["/etc/hostname", "../secret.data"])
def test_weights_outside_the_folder_are_not_read(tmp_path: Path, place: str) -> None:
    (tmp_path / "secret.data").write_bytes(b"\x00" * 400)
    inner = tmp_path / "inner"
    inner.mkdir()
    net = model(
        [helper.make_node("Mul", ["x", "w"], ["y"])], {"x": IMAGE}, {"y": None}, {"w": np.ones(8)}
    )
    tensor = net.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    with pytest.raises(SourceError, match="weights"):
        load_onnx(net.SerializeToString(), folder=str(inner))


def test_initializers_among_the_inputs_are_no_inputs() -> None:
    net = model(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        {"x": IMAGE, "w": [1]},
        {"y": None},
        {"w": np.array([3], np.float32)},
    )
    net.ir_version = 3
    found = load_onnx(net.SerializeToString())
    assert [s.name for s in found.inputs] == ["x"]
    np.testing.assert_array_equal(run(found.onnx_bytes, X), X * 3)


# ---------------------------------------------------------------------- operators and consistency


def test_an_operator_of_another_domain_is_named() -> None:
    net = model(
        [helper.make_node("FusedConv", ["x"], ["y"], name="fused_7", domain="com.microsoft")],
        {"x": IMAGE},
        {"y": None},
    )
    net.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(OperatorError, match=r"com\.microsoft\.FusedConv") as caught:
        load_onnx(net.SerializeToString())
    assert "fused_7" in caught.value.where


def test_functions_of_the_model_are_inlined() -> None:
    net = model([helper.make_node("Twice", ["x"], ["y"], domain="mine")], {"x": IMAGE}, {"y": None})
    net.opset_import.append(helper.make_opsetid("mine", 1))
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    net.functions.append(
        helper.make_function("mine", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 12)])
    )
    found = load_onnx(net.SerializeToString())
    assert [n.op_type for n in found.proto.graph.node] == ["Add"]
    np.testing.assert_array_equal(run(found.onnx_bytes, X), X * 2)


INCONSISTENT = [
    ([helper.make_node("Relu", ["nobody"], ["y"])], "not valid ONNX"),
    ([helper.make_node("NoSuchOperator", ["x"], ["y"])], "not valid ONNX"),
    (
        [
            helper.make_node("Transpose", ["x"], ["t"], perm=[3, 2, 1, 0]),
            helper.make_node("MatMul", ["x", "t"], ["y"]),
        ],
        "do not fit together",
    ),
]


@pytest.mark.parametrize(("nodes", "what"), INCONSISTENT, ids=["dangling", "unknown", "shapes"])
def test_an_inconsistent_graph_is_refused(nodes: list[onnx.NodeProto], what: str) -> None:
    net = model(nodes, {"x": IMAGE}, {"y": None})
    with pytest.raises(SourceError, match=what):
        load_onnx(net.SerializeToString())


def test_an_input_that_does_nothing_is_refused() -> None:
    net = model([helper.make_node("Relu", ["x"], ["y"])], {"x": IMAGE, "z": IMAGE}, {"y": None})
    with pytest.raises(SourceError, match="does not depend on the input 'z'"):
        load_onnx(net.SerializeToString())


# ---------------------------------------------------------------------- shapes


def test_dynamic_sizes_are_asked_for_and_taken() -> None:
    data = relu(["batch", 3, "height", "width"]).SerializeToString()
    with pytest.raises(UsageError, match=r"'x' \(batchx3xheightxwidth\)") as caught:
        load_onnx(data)
    assert "--input x=1x3x300x300" in caught.value.remedy
    found = load_onnx(data, inputs={"x": (1, 3, 5, 7)})
    assert found.inputs[0].shape == found.outputs[0].shape == (1, 3, 5, 7)
    with pytest.raises(UsageError, match=r"is \?x3x\?x\?, it cannot become 1x4x5x7"):
        load_onnx(data, inputs={"x": (1, 4, 5, 7)})


def test_a_fixed_shape_cannot_be_changed_but_may_be_repeated() -> None:
    data = relu().SerializeToString()
    assert load_onnx(data, inputs={"x": (1, 3, 6, 8)}).inputs[0].shape == (1, 3, 6, 8)
    with pytest.raises(UsageError, match="cannot become 1x3x5x5"):
        load_onnx(data, inputs={"x": (1, 3, 5, 5)})


def test_unknown_input_and_output_names() -> None:
    data = relu().SerializeToString()
    with pytest.raises(UsageError, match="no input 'xx'") as caught:
        load_onnx(data, inputs={"xx": (1, 3, 6, 8)})
    assert "did you mean 'x'" in caught.value.remedy
    with pytest.raises(UsageError, match="no output or inner value 'yy'"):
        load_onnx(data, outputs=["yy"])


def test_operators_of_another_domain_can_be_cut_off() -> None:
    """As in a classifier's file, which has probabilities for the chip and labels for the host."""
    net = model(
        [
            helper.make_node("Relu", ["x"], ["scores"]),
            helper.make_node("Label", ["scores"], ["y"], domain="ai.onnx.ml"),
        ],
        {"x": IMAGE},
        {"y": None},
    )
    net.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    with pytest.raises(OperatorError) as caught:
        load_onnx(net.SerializeToString())
    assert "--output-name" in caught.value.remedy
    found = load_onnx(net.SerializeToString(), outputs=["scores"])
    assert [n.op_type for n in found.proto.graph.node] == ["Relu"]


def test_outputs_end_the_graph_where_they_are() -> None:
    net = model(
        [
            helper.make_node("Relu", ["x"], ["middle"]),
            helper.make_node("Mul", ["middle", "w"], ["y"]),
        ],
        {"x": IMAGE},
        {"y": None},
        {"w": np.array([3], np.float32)},
    )
    found = load_onnx(net.SerializeToString(), outputs=["middle"])
    assert [s.name for s in found.outputs] == ["middle"]
    assert [n.op_type for n in found.proto.graph.node] == ["Relu"]
    both = load_onnx(net.SerializeToString(), outputs=["y", "middle"])
    assert [s.name for s in both.outputs] == ["y", "middle"]


def test_a_shape_that_depends_on_the_frame_is_refused() -> None:
    net = model([helper.make_node("NonZero", ["x"], ["y"])], {"x": IMAGE}, {"y": None})
    net.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(SourceError, match="depends on the frame"):
        load_onnx(net.SerializeToString())


# ---------------------------------------------------------------------- types


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_floats_become_float32(kind: int) -> None:
    net = typed(kind, [helper.make_node("Mul", ["x", "w"], ["y"])], kind)
    weight = np.array([3.0], helper.tensor_dtype_to_np_dtype(kind))
    net.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    found = load_onnx(net.SerializeToString())
    assert {i.type.tensor_type.elem_type for i in found.proto.graph.input} == {TensorProto.FLOAT}
    np.testing.assert_allclose(run(found.onnx_bytes, X), X * 3)
    assert any("converted to float32" in note for note in found.notes)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64])
def test_an_integer_input_that_is_cast_becomes_float(kind: int) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["f"], ["y"]),
    ]
    found = load_onnx(typed(kind, nodes).SerializeToString())
    assert found.inputs[0].dtype == "u8"
    np.testing.assert_array_equal(run(found.onnx_bytes, X), np.maximum(X, 0))


def test_an_integer_input_that_is_computed_with_is_refused() -> None:
    nodes = [
        helper.make_node("Add", ["x", "x"], ["s"], name="sum_7"),
        helper.make_node("Cast", ["s"], ["y"], to=TensorProto.FLOAT),
    ]
    with pytest.raises(SourceError, match="'x' is int64") as caught:
        load_onnx(typed(TensorProto.INT64, nodes).SerializeToString())
    assert "sum_7" in caught.value.where


@pytest.mark.parametrize("kind", [TensorProto.STRING, TensorProto.COMPLEX64])
def test_types_that_the_chip_lacks_are_refused(kind: int) -> None:
    net = typed(kind, [helper.make_node("Identity", ["x"], ["y"])], kind)
    with pytest.raises(SourceError, match="which the chip lacks"):
        load_onnx(net.SerializeToString())


def test_a_sequence_is_no_output() -> None:
    net = model([helper.make_node("SplitToSequence", ["x"], ["y"])], {"x": IMAGE}, {"y": None})
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    net.graph.output[0].type.CopyFrom(kind)
    with pytest.raises(SourceError, match="is a sequence, not a tensor"):
        load_onnx(net.SerializeToString())


def test_integer_and_boolean_outputs_are_cast() -> None:
    net = typed(
        TensorProto.FLOAT,
        [helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=0)],
        TensorProto.INT64,
    )
    found = load_onnx(net.SerializeToString())
    assert [s.name for s in found.outputs] == ["y"]
    got = run(found.onnx_bytes, X)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, X.argmax(1))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [([1, 3, 6, 8], "u8"), ([1, 1, 6, 8], "u8"), ([1, 16], "fp16"), ([1, 3, 1, 1], "fp16")],
)
def test_pictures_are_u8_and_numbers_fp16(shape: list[int], dtype: str) -> None:
    assert load_onnx(relu(shape).SerializeToString()).inputs[0].dtype == dtype
    request = {"x": InputRequest(dtype="fp32")}
    assert load_onnx(relu(shape).SerializeToString(), inputs=request).inputs[0].dtype == "fp32"


# ---------------------------------------------------------------------- opsets


@pytest.mark.parametrize("version", [7, 9, 11, 12, 13, 15, 17, 20, 22])
def test_every_opset_is_brought_between_12_and_15(version: int) -> None:
    found = load_onnx(relu(opset=version).SerializeToString())
    assert 12 <= opset.version(found.proto) <= 15
    np.testing.assert_array_equal(run(found.onnx_bytes, X), np.maximum(X, 0))
    assert bool(found.notes) == (not 12 <= version <= 15)


def test_an_opset_that_cannot_be_lowered_is_refused_with_the_node() -> None:
    net = model(
        [
            helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT32),
            helper.make_node("BitwiseAnd", ["i", "i"], ["j"], name="and_7"),
            helper.make_node("Cast", ["j"], ["y"], to=TensorProto.FLOAT),
        ],
        {"x": IMAGE},
        {"y": None},
        opset=18,
    )
    with pytest.raises(OpsetError, match="BitwiseAnd of opset 18 cannot be lowered") as caught:
        load_onnx(net.SerializeToString())
    assert "and_7" in caught.value.where


def test_an_opset_of_the_future_is_refused() -> None:
    with pytest.raises(BlobsmithError, match="opset 99"):
        load_onnx(one("Relu", opset=99).SerializeToString())
