"""Comparisons: the compiler's strict ones, negated."""

from __future__ import annotations

from onnx import helper

from blobsmith.graph.rewrites import rewrite


def test_x():
    n = [
        helper.make_node("GreaterOrEqual", ["x", "y"], ["b"]),
        helper.make_node("Cast", ["b"], ["o"], to=1),
    ]
    g = helper.make_graph(
        n,
        "g",
        [helper.make_tensor_value_info(v, 1, [2, 3]) for v in "xy"],
        [helper.make_tensor_value_info("o", 1, [2, 3])],
    )
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", 12)])
    r = rewrite(m, sets=("needed",))
    print(r)
    assert [x.op_type for x in r.proto.graph.node] == ["Less", "Not", "Cast"]
