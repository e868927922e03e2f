"""A simplified graph computes the same, or is not handed on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxsim
import pytest
from onnx import helper

from blobsmith.errors import SimplifyError
from blobsmith.graph import equivalence
from blobsmith.graph.simplify import SimplifyResult, simplify
from blobsmith.tensors import TensorSpec

from ..graphs import model

SHAPE = (1, 3, 8, 10)


def foldable() -> onnx.ModelProto:
    """Three nodes of which two are constant, and an Identity."""
    nodes = [
        helper.make_node("Add", ["one", "one"], ["two"], name="fold"),
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Mul", ["same", "two"], ["y"], name="keep"),
    ]
    for node in nodes:
        node.doc_string = f"user.py:{len(node.output[0])}: {node.output[0]} = ..."
    return model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"one": np.ones(1, np.float32)})


def test_constants_are_folded_and_counted() -> None:
    small, stats = simplify(foldable())
    assert [n.op_type for n in small.graph.node] == ["Mul"]
    assert dict(stats.before.by_type) == {"Add": 1, "Identity": 1, "Mul": 1}
    assert dict(stats.after.by_type) == {"Mul": 1}
    assert stats.notes == ()
    assert small.graph.node[0].doc_string == "user.py:1: y = ..."
    result = simplify(foldable().SerializeToString())
    assert (result.before, result.after) == (result.stats.before, result.stats.after)


def test_the_graph_that_came_is_not_changed() -> None:
    before = foldable()
    data = before.SerializeToString()
    simplify(before)
    assert before.SerializeToString() == data


def test_inputs_and_outputs_keep_name_and_order() -> None:
    nodes = [
        helper.make_node("Sub", ["b", "a"], ["second"]),
        helper.make_node("Relu", ["a"], ["first"]),
    ]
    proto = model(nodes, {"b": SHAPE, "a": SHAPE}, {"second": SHAPE, "first": SHAPE})
    small = simplify(proto).proto
    assert [i.name for i in small.graph.input] == ["b", "a"]
    assert [o.name for o in small.graph.output] == ["second", "first"]


def padded_pool(value: float) -> onnx.ModelProto:
    """A pad, then a max pool, on values of both signs."""
    nodes = [
        helper.make_node("Sub", ["x", "offset"], ["s"]),
        helper.make_node("Pad", ["s", "pads", "value"], ["p"]),
        helper.make_node("MaxPool", ["p"], ["y"], kernel_shape=[3, 3]),
    ]
    constants = {
        "offset": np.array([300], np.float32),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "value": np.array(value, np.float32),
    }
    return model(nodes, {"x": SHAPE}, {"y": SHAPE}, constants)


def test_a_pad_before_a_pool_is_left_alone() -> None:
    """onnxsim puts it into the pool, which pads with minus infinity and costs 42 stages."""
    before = padded_pool(0.0)
    small = simplify(before).proto
    assert [n.op_type for n in small.graph.node] == ["Sub", "Pad", "MaxPool"]
    frame = equivalence.probe_feeds([TensorSpec("x", SHAPE)])[0]
    np.testing.assert_array_equal(
        equivalence.run(small, frame)["y"], equivalence.run(before, frame)["y"]
    )


def tampered(change: Callable[[onnx.ModelProto], None], times: int) -> Callable[..., Any]:
    """onnxsim whose first results are changed, while its own check says that all is well."""
    calls = [0]

    def fake(proto: onnx.ModelProto, **options: Any) -> tuple[onnx.ModelProto, bool]:
        calls[0] += 1
        if calls[0] <= times:
            change(proto)
        return proto, True

    return fake


def weight_changed(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(1, 1.01, np.float32), tensor.name))


def output_renamed(proto: onnx.ModelProto) -> None:
    proto.graph.node[-1].output[0] = proto.graph.output[0].name = "z"


def swapped(proto: onnx.ModelProto) -> None:
    first, second = list(proto.graph.output)
    copies = [onnx.ValueInfoProto.FromString(v.SerializeToString()) for v in (second, first)]
    del proto.graph.output[:]
    proto.graph.output.extend(copies)


def crashed(proto: onnx.ModelProto) -> None:
    raise RuntimeError("onnxsim has no idea")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (weight_changed, "changed the result"),
        (output_renamed, "its outputs became z"),
        (crashed, "onnxsim has no idea"),
    ],
)
def test_a_bad_result_is_replaced_by_a_humbler_one_and_told(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[onnx.ModelProto], None], why: str
) -> None:
    monkeypatch.setattr(onnxsim, "simplify", tampered(change, 1))
    result = simplify(foldable())
    assert len(result.stats.notes) == 1
    assert why in result.stats.notes[0]
    frame = {"x": np.ones(SHAPE, np.float32)}
    assert equivalence.run(result.proto, frame)["y"].max() == 2


@pytest.mark.parametrize("change", [weight_changed, output_renamed, crashed])
def test_what_cannot_be_simplified_rightly_is_refused(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[onnx.ModelProto], None]
) -> None:
    monkeypatch.setattr(onnxsim, "simplify", tampered(change, 3))
    with pytest.raises(SimplifyError, match="without changing its result") as caught:
        simplify(foldable())
    assert caught.value.where.count("onnxsim (") == 3


def test_swapped_outputs_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["x"], ["b"])]
    proto = model(nodes, {"x": SHAPE}, {"a": SHAPE, "b": SHAPE})
    monkeypatch.setattr(onnxsim, "simplify", tampered(swapped, 3))
    with pytest.raises(SimplifyError, match="without changing"):
        simplify(proto)


def test_onnxsims_own_check_is_enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def doubtful(proto: onnx.ModelProto, **options: Any) -> tuple[onnx.ModelProto, bool]:
        seen.append(options)
        return proto, False

    monkeypatch.setattr(onnxsim, "simplify", doubtful)
    with pytest.raises(SimplifyError) as caught:
        simplify(foldable())
    assert "its own check found another result" in caught.value.where
    assert all(options["check_n"] >= 1 for options in seen)


def test_a_function_that_gives_nan_by_itself_is_simplified() -> None:
    """The root of what may be negative; two additions become one constant all the same."""
    nodes = [
        helper.make_node("Add", ["one", "one"], ["two"]),
        helper.make_node("Sub", ["x", "two"], ["d"]),
        helper.make_node("Sqrt", ["d"], ["y"]),
    ]
    proto = model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"one": np.full(1, 64, np.float32)})
    small, stats = simplify(proto)
    assert [n.op_type for n in small.graph.node] == ["Sub", "Sqrt"]
    assert stats.notes == ()


def test_a_graph_that_does_not_run_is_refused() -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    proto = model(nodes, {"x": SHAPE}, {"y": None}, {"shape": np.array([7, 7], np.int64)})
    with pytest.raises(SimplifyError, match="cannot be run"):
        simplify(proto)


def test_declared_ranges_are_used() -> None:
    """Outside its range an input makes this graph infinite; within, it is tame."""
    nodes = [helper.make_node("Exp", ["x"], ["y"])]
    proto = model(nodes, {"x": SHAPE}, {"y": SHAPE})
    spec = TensorSpec("x", SHAPE, "fp16", value_range=(0.0, 1.0))
    assert isinstance(simplify(proto, specs=[spec]), SimplifyResult)


def test_torch_is_not_imported_and_nothing_is_printed() -> None:
    code = (
        "import sys\n"
        "from tests.graph.test_simplify import foldable\n"
        "from blobsmith.graph.simplify import simplify\n"
        "simplify(foldable())\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
