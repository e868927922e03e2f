"""The editor: names, readers, types and outputs stay right while a graph is changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blobsmith.errors import ModelError
from blobsmith.graph.builder import Builder
from blobsmith.graph.editor import Editor
from blobsmith.graph.equivalence import run
from blobsmith.graph.extract import extract
from blobsmith.graph.node import Node


def parse(body: str, *, opset: int = 13, y: str = "float[1,3,4,5] y") -> onnx.ModelProto:
    """A model of one input x 1x3x4x5 in ONNX text form."""
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[1,3,4,5] x) => ({y}) {{ {body} }}'
    )


def picture(seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Noise for x."""
    rng = np.random.default_rng(seed)
    return {"x": rng.standard_normal((1, 3, 4, 5)).astype(np.float32)}


def test_reading() -> None:
    """Producers, readers, shapes and constants, initializers and Constant nodes alike."""
    e = Editor(parse("k = Constant<value_float=2.0>() a = Mul(x, k) b = Relu(a) y = Add(a, b)"))
    multiply = e.producer("a")
    assert multiply is not None
    assert multiply.op == "Mul"
    assert [n.op for n in e.consumers("a")] == ["Relu", "Add"]
    assert e.single_consumer("a") is None
    assert e.single_consumer("b") is e.producer("y")
    assert e.single_consumer("y") is None
    assert e.uses("y") == 1
    assert e.scalar("k") == 2
    assert e.constant("a") is None
    assert (e.shape("a"), e.rank("b"), e.dtype("y")) == ((1, 3, 4, 5), 4, np.float32)
    assert e.type("nothing") is None


def test_false_shapes_of_exporters_are_not_believed() -> None:
    """A value_info that claims rank 0 for an image is inferred anew."""
    proto = parse("a = Relu(x) y = Neg(a)")
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("a", 1, []))
    assert Editor(proto).shape("a") == (1, 3, 4, 5)


def test_replace_keeps_the_source_line_and_the_value() -> None:
    """A new node without a line inherits that of the node it replaces."""
    proto = parse("a = Relu(x) y = Neg(a)")
    proto.graph.node[1].doc_string = "user.py:7: y = -a"
    e = Editor(proto)
    old = e.producer("y")
    assert old is not None
    b = Builder(e, like=old)
    with e.recording() as record:
        b.commit([old], {"y": b.op("Mul", "a", -1.0)})
    assert {k: v for k, v in record.same.items() if k == "y"} == {"y": "y"}
    result = e.to_proto()
    assert [n.op_type for n in result.graph.node] == ["Relu", "Mul"]
    assert result.graph.node[1].doc_string == "user.py:7: y = -a"
    assert [o.name for o in result.graph.output] == ["y"]
    np.testing.assert_array_equal(run(result, picture())["y"], run(proto, picture())["y"])


def test_changed_shape_is_refused() -> None:
    """A replacement must have the type of what it replaces."""
    e = Editor(parse("a = Relu(x) y = Neg(a)"))
    node = e.producer("y")
    assert node is not None
    b = Builder(e, like=node)
    flat = b.reshape("a", [60])
    with pytest.raises(ModelError, match="changed"):
        b.commit([node], {"y": flat})


def test_lost_value_is_refused() -> None:
    """A node whose result is still read cannot be taken out without a successor."""
    e = Editor(parse("a = Relu(x) y = Neg(a)"))
    relu = e.producer("a")
    assert relu is not None
    with pytest.raises(ModelError, match="still read"):
        e.replace([relu], [])


def test_ill_formed_node_is_refused() -> None:
    """Shape inference judges every new node at once."""
    e = Editor(parse("y = Relu(x)"))
    node = e.producer("y")
    assert node is not None
    with pytest.raises(ModelError, match="MatMul"):
        Builder(e, like=node).op("MatMul", "x", np.ones((9, 9), np.float32))


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("a = Identity(x) y = Relu(a)", "float[1,3,4,5] y"),
        ("a = Relu(x) y = Identity(a)", "float[1,3,4,5] y"),
        ("a = Relu(x) y = Identity(a) z = Neg(a)", "float[1,3,4,5] y, float[1,3,4,5] z"),
        ("a = Relu(x) y = Identity(a) z = Identity(a)", "float[1,3,4,5] y, float[1,3,4,5] z"),
        ("y = Identity(x)", "float[1,3,4,5] y"),
    ],
)
def test_redirect_keeps_outputs_under_their_names(body: str, outputs: str) -> None:
    """Identity nodes are bridged; outputs keep name, order and value."""
    proto = parse(body, y=outputs)
    e = Editor(proto)
    for node in e.sorted():
        if node.op == "Identity" and node in e:
            e.redirect(node.output, node.inputs[0])
    e.drop_dead()
    result = e.to_proto()
    onnx.checker.check_model(result)
    assert [o.name for o in result.graph.output] == [o.name for o in proto.graph.output]
    wanted, got = run(proto, picture()), run(result, picture())
    for name, value in wanted.items():
        np.testing.assert_array_equal(got[name], value)


def test_new_nodes_are_sorted_and_dead_ones_dropped() -> None:
    """Order of insertion does not matter; what nobody reads goes, with its makers."""
    e = Editor(parse("a = Relu(x) b = Neg(a) c = Abs(b) y = Exp(a)"))
    e.insert([Node("Add", ["late", "x"], ["sum"])])
    e.insert([Node("Sqrt", ["a"], ["late"])])
    exp = e.producer("y")
    assert exp is not None
    e.rewire(exp, 0, "sum")
    assert e.drop_dead() == 2
    assert [n.op for n in e.sorted()] == ["Relu", "Sqrt", "Add", "Exp"]


def test_cycle_is_an_error() -> None:
    """A change that makes a value depend on itself is found when the graph is sorted."""
    e = Editor(parse("a = Relu(x) y = Neg(a)"))
    relu = e.producer("a")
    assert relu is not None
    e.rewire(relu, 0, "y")
    with pytest.raises(ModelError, match="cycle"):
        e.sorted()


def test_undo() -> None:
    """A clone is independent, and a graph can become what it was; names are never used twice."""
    e = Editor(parse("a = Relu(x) y = Neg(a)"))
    before = e.clone()
    relu = e.producer("a")
    assert relu is not None
    b = Builder(e, like=relu)
    made = b.op("Abs", "x")
    b.commit([relu], {"a": made})
    e.become(before)
    assert [n.op for n in e.sorted()] == ["Relu", "Neg"]
    assert e.fresh(made) != made


def test_subgraphs_read_outer_values() -> None:
    """What a branch captures counts as read, and is not dropped."""
    branch = onnx.helper.make_graph(
        [onnx.helper.make_node("Neg", ["a"], ["b"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("b", 1, [1, 3, 4, 5])],
    )
    proto = parse("a = Relu(x) s = ReduceSum<keepdims=0>(x) c = Cast<to=9>(s) y = Neg(a)")
    proto.graph.node[-1].CopyFrom(
        onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    )
    e = Editor(proto)
    e.drop_dead()
    assert [n.op for n in e.consumers("a")] == ["If"]
    np.testing.assert_array_equal(run(e.to_proto(), picture())["y"], run(proto, picture())["y"])


def test_extract_feeds_where_it_stops() -> None:
    """A part of the graph runs alone, from given values, even for a value that is fed itself."""
    e = Editor(parse("a = Relu(x) b = Add(a, x) y = Mul(b, a)"))
    part = extract(e, ["b", "y"], stop=lambda value: value in ("a", "b"))
    assert set(part.inputs) == {"a", "b", "x"}
    assert part.outputs["b"] != "b"
    ones = np.ones((1, 3, 4, 5), np.float32)
    got = run(part.proto, {"a": ones, "b": 5 * ones, "x": 2 * ones})
    assert got[part.outputs["b"]][0, 0, 0, 0] == 3
    assert got[part.outputs["y"]][0, 0, 0, 0] == 5


STEPS = st.lists(st.sampled_from(["Neg", "Abs", "Relu", "Identity", "Add"]), min_size=1, max_size=9)


@settings(max_examples=30, deadline=None)
@given(STEPS, st.integers(0, 99))
def test_bridging_any_identities_changes_nothing(steps: list[str], seed: int) -> None:
    """For random chains with side branches, removing the Identity nodes keeps the result."""
    lines, values = [], ["x"]
    for index, op in enumerate(steps):
        operands = [values[-1]] if op != "Add" else [values[-1], values[len(values) // 2]]
        lines.append(f"v{index} = {op}({', '.join(operands)})")
        values.append(f"v{index}")
    proto = parse(" ".join([*lines, f"y = Identity({values[-1]})"]))
    e = Editor(proto)
    for node in e.sorted():
        if node.op == "Identity" and (node.output != "y" or e.producer(node.inputs[0])):
            e.redirect(node.output, node.inputs[0])
    e.drop_dead()
    result = e.to_proto()
    np.testing.assert_array_equal(run(result, picture(seed))["y"], run(proto, picture(seed))["y"])
