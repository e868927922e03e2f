"""The compiler through its worker: golden bytes, silent traps, and reasons in words."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
from onnx import helper

from blobsmith.blob import Blob
from blobsmith.errors import BlobError, ModelError, OpsetError, UsageError
from blobsmith.myriad import CompileOptions, RefusedError, compile_onnx, compile_variants
from tests import graphs

# The blob that Luxonis published for the tutorial's concat model in 2021 (6 shaves, 6 slices).
VENDOR_CONCAT = "6ac3023ea8dac9b7501ead0f9b2c2a4495d2791a58b7049de065246455cf87be"


def test_concat_is_the_vendors_blob_byte_for_byte() -> None:
    blob = compile_onnx(graphs.concat().SerializeToString(), CompileOptions(shaves=6))
    assert len(blob) == 1024
    assert hashlib.sha256(blob).hexdigest() == VENDOR_CONCAT


@pytest.mark.parametrize("shaves", [1, 4, 8, 9, 16])
def test_shaves_stand_in_the_header(shaves: int) -> None:
    data = compile_onnx(graphs.one("Relu").SerializeToString(), CompileOptions(shaves=shaves))
    blob = Blob.from_bytes(data)
    assert (blob.shaves, blob.header.cmx_slices) == (shaves, shaves)
    assert blob.size == len(data)


def test_slices_may_exceed_shaves() -> None:
    options = CompileOptions(shaves=4, cmx_slices=8)
    blob = Blob.from_bytes(compile_onnx(graphs.one("Relu").SerializeToString(), options))
    assert (blob.shaves, blob.header.cmx_slices) == (4, 8)


@pytest.mark.parametrize(("shaves", "slices"), [(0, None), (17, None), (4, 3), (4, 20)])
def test_impossible_counts_are_usage_errors(shaves: int, slices: int | None) -> None:
    with pytest.raises(UsageError):
        CompileOptions(shaves=shaves, cmx_slices=slices)


def test_variants_equal_single_compilations() -> None:
    data = graphs.concat(64).SerializeToString()
    options = [CompileOptions(shaves=n) for n in (1, 6, 16)]
    assert compile_variants(data, options) == [compile_onnx(data, o) for o in options]


@pytest.mark.parametrize("dtype", ["u8", "fp16", "fp32"])
def test_input_types(dtype: str) -> None:
    options = CompileOptions(inputs={"x0": dtype}, outputs={"y": "fp32"})
    blob = Blob.from_bytes(compile_onnx(graphs.one("Relu").SerializeToString(), options))
    assert blob.input_specs[0].dtype == dtype
    assert blob.output_specs[0].dtype == "fp32"


@pytest.mark.parametrize(
    ("op", "count", "told"),
    [("Atan", 1, "Atan"), ("Det", 1, "Det"), ("Sin", 1, "Sin"), ("Mod", 2, "fmod")],
)
def test_the_reason_of_a_refusal_is_in_words(op: str, count: int, told: str) -> None:
    with pytest.raises(RefusedError, match=told) as caught:
        compile_onnx(graphs.one(op, count).SerializeToString(), CompileOptions())
    assert op in caught.value.operators
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("opset", [16, 17, 18, 21])
def test_silent_trap_opset_above_15(opset: int) -> None:
    data = graphs.one("Relu", opset=opset).SerializeToString()
    with pytest.raises(OpsetError, match=str(opset)):
        compile_onnx(data, CompileOptions())


def test_silent_trap_unused_input() -> None:
    shape = graphs.IMAGE
    node = helper.make_node("Relu", ["a"], ["y"])
    proto = graphs.model([node], {"a": shape, "unused": shape}, {"y": shape})
    with pytest.raises((BlobError, ModelError), match="unused"):
        compile_onnx(proto.SerializeToString(), CompileOptions())


def test_silent_trap_duplicate_output() -> None:
    shape = graphs.IMAGE
    nodes = [
        helper.make_node("Relu", ["a"], ["y"]),
        helper.make_node("Identity", ["y"], ["same"]),
    ]
    proto = graphs.model(nodes, {"a": shape}, {"y": shape, "same": shape})
    with pytest.raises((BlobError, ModelError)):
        compile_onnx(proto.SerializeToString(), CompileOptions())


def test_silent_trap_identity_loses_its_name() -> None:
    with pytest.raises((BlobError, ModelError), match="x0"):
        compile_onnx(graphs.one("Identity").SerializeToString(), CompileOptions())


def test_silent_trap_batch_in_the_header() -> None:
    weights = np.ones((2, 3, 3, 3), np.float32)
    node = helper.make_node("Conv", ["a", "w"], ["y"], pads=[1, 1, 1, 1])
    shape = (4, 3, 16, 16)
    proto = graphs.model([node], {"a": shape}, {"y": (4, 2, 16, 16)}, {"w": weights})
    blob = Blob.from_bytes(compile_onnx(proto.SerializeToString(), CompileOptions()))
    assert blob.input_specs[0].shape == shape
    assert blob.output_specs[0].shape == (4, 2, 16, 16)


def test_dynamic_shapes_are_refused() -> None:
    node = helper.make_node("Relu", ["a"], ["y"])
    proto = graphs.model([node], {"a": ["batch", 3, 16, 16]}, {"y": None})
    with pytest.raises(ModelError, match="no fixed shape") as caught:
        compile_onnx(proto.SerializeToString(), CompileOptions())
    assert "--input a=" in caught.value.remedy


@pytest.mark.parametrize("data", [b"", b"garbage" * 10, graphs.concat().SerializeToString()[:40]])
def test_damaged_onnx_is_one_message(data: bytes) -> None:
    with pytest.raises(ModelError):
        compile_onnx(data, CompileOptions())


def test_several_outputs_keep_their_names() -> None:
    shape = graphs.IMAGE
    nodes = [helper.make_node("Relu", ["b"], ["first"]), helper.make_node("Neg", ["a"], ["second"])]
    proto = graphs.model(nodes, {"a": shape, "b": shape}, {"second": shape, "first": shape})
    onnx.checker.check_model(proto)
    blob = Blob.from_bytes(compile_onnx(proto.SerializeToString(), CompileOptions()))
    assert {s.name for s in blob.output_specs} == {"first", "second"}
    assert {s.name for s in blob.input_specs} == {"a", "b"}
