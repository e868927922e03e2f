"""Node counts before and after a step."""

from __future__ import annotations

import json
import subprocess
import sys

from onnx import helper

from blobsmith.graph.stats import Change, GraphStats

from ..graphs import IMAGE, model


def test_nodes_are_counted_by_type_subgraphs_and_domains_included() -> None:
    branch = helper.make_graph([helper.make_node("Neg", ["x"], ["b"])], "b", [], [])
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("If", ["c"], ["i"], then_branch=branch, else_branch=branch),
        helper.make_node("Magic", ["r"], ["y"], domain="mine"),
    ]
    proto = model(nodes, {"x": IMAGE}, {"y": None})
    stats = GraphStats.of(proto)
    assert dict(stats.by_type) == {"If": 1, "Neg": 2, "Relu": 1, "mine.Magic": 1}
    assert stats.total == 5
    assert stats.size == proto.ByteSize()


def test_a_change_is_a_table_and_json() -> None:
    change = Change(GraphStats({"Add": 2, "Pad": 1}, 90), GraphStats({"Add": 1, "Conv": 1}, 50))
    assert change.rows() == [("Add", 2, 1), ("Conv", 0, 1), ("Pad", 1, 0)]
    data = json.loads(json.dumps(change.to_dict()))
    assert data["before"] == {"Add": 2, "Pad": 1}
    assert (data["bytes_before"], data["bytes_after"]) == (90, 50)


def test_counts_are_read_without_onnx() -> None:
    code = "import sys, blobsmith.graph.stats; print('onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
