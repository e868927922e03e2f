"""From ONNX to boxes and lines, what is the same in two graphs, and the SVG."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from blobsmith.errors import ModelError
from blobsmith.graph.outline import KEPT, outline
from blobsmith.report.drawing import Drawing, arrange, counts_table, kind_of, related
from blobsmith.report.graphs import draw, draw_all
from blobsmith.report.svg import inline_svg, legend, standalone_svg
from tests import graphs

SVG = "{http://www.w3.org/2000/svg}"


def _model(op: str = "Relu", name: str = "act") -> onnx.ModelProto:
    """x -> Conv -> op -> y, with weights, a Constant and a line."""
    nodes = [
        helper.make_node("Constant", [], ["two"], value=numpy_helper.from_array(np.float32(2))),
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["c", "two"], ["m"], "double", doc_string="mine.py:7: m = c * 2"),
        helper.make_node(op, ["m"], ["y"], name),
    ]
    weights = np.arange(81, dtype=np.float32).reshape(3, 3, 3, 3)
    return graphs.model(nodes, {"x": graphs.IMAGE}, {"y": graphs.IMAGE}, {"w": weights})


def _node(drawing: Drawing, label: str) -> int:
    return next(i for i, node in enumerate(drawing.nodes) if node.label == label)


def test_boxes_lines_and_what_is_known_of_them() -> None:
    drawing = draw(_model().SerializeToString())
    assert [node.label for node in drawing.nodes] == ["x", "Conv", "Mul", "Relu", "y"]
    assert drawing.counts == {"Constant": 1, "Conv": 1, "Mul": 1, "Relu": 1}
    assert (drawing.total, drawing.hidden) == (4, 1)
    conv, mul = drawing.nodes[1], drawing.nodes[2]
    assert (conv.kind, conv.key, conv.name) == ("linear", "c", "conv")
    assert conv.attributes == (("pads", "1, 1, 1, 1"),)
    assert [(i.name, i.type, i.constant, i.value) for i in conv.inputs] == [
        ("x", "fp32 1x3x16x16", False, ""),
        ("w", "fp32 3x3x3x3", True, ""),
    ]
    assert mul.inputs[1].value == "2"
    assert mul.inputs[1].type == "fp32 scalar"
    assert mul.line == "mine.py:7  m = c * 2"
    ends = {w.tensor.name: (w.source, w.targets) for w in drawing.wires}
    assert ends == {"x": (0, (1,)), "c": (1, (2,)), "m": (2, (3,)), "y": (3, (4,))}


def test_what_a_branch_reads_from_outside_is_a_line() -> None:
    inner = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["n"])],
        "then", [], [helper.make_tensor_value_info("n", TensorProto.FLOAT, graphs.IMAGE)],
    )  # fmt: skip
    node = helper.make_node("If", ["flag"], ["y"], then_branch=inner, else_branch=inner)
    proto = graphs.model([node], {"x": graphs.IMAGE}, {"y": graphs.IMAGE}, {"flag": np.array(True)})
    drawing = draw(proto.SerializeToString())
    assert ("x", (1,)) in [(w.tensor.name, w.targets) for w in drawing.wires]
    assert drawing.counts == {"If": 1, "Neg": 2}
    assert ("then_branch", "graph of 1 nodes") in drawing.nodes[1].attributes


def test_an_outline_draws_the_same_graph_without_the_weights() -> None:
    big = np.ones((64, 3, 9, 9), np.float32)
    held = helper.make_node(
        "Constant", [], ["k"], "held", doc_string="f.py:1: k", value=numpy_helper.from_array(big)
    )
    conv = helper.make_node("Conv", ["x", "k"], ["y"], "conv")
    proto = graphs.model([held, conv], {"x": graphs.IMAGE}, {"y": None}, {"unused": big})
    small = outline(proto)
    assert len(small) < 600 < len(proto.SerializeToString())
    assert draw(small) == draw(proto.SerializeToString())
    read = onnx.load_model_from_string(small)
    assert read.graph.node[0].doc_string == "f.py:1: k"
    assert read.opset_import == proto.opset_import


@pytest.mark.parametrize(("count", "kept"), [(KEPT, True), (KEPT + 1, False)])
def test_an_outline_keeps_small_constants(count: int, kept: bool) -> None:
    node = helper.make_node("Add", ["x", "c"], ["y"])
    values = np.arange(count, dtype=np.float32)
    proto = graphs.model([node], {"x": (count,)}, {"y": (count,)}, {"c": values})
    (found,) = onnx.load_model_from_string(outline(proto)).graph.initializer
    assert found.dims == [count]
    assert bool(found.raw_data) is kept


def test_too_large_a_graph_is_counted_and_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blobsmith.report.graphs.MOST_NODES", 2)
    drawing = arrange(draw(_model().SerializeToString()))
    assert drawing.nodes == ()
    assert drawing.total == 4
    assert "3 nodes are too many to draw" in drawing.note
    assert inline_svg(drawing, "graph") == ""


def test_damaged_bytes_are_refused() -> None:
    with pytest.raises(ModelError, match="no ONNX model"):
        draw(b"\xff\xfe not a model")


def test_the_same_node_in_two_graphs() -> None:
    after = _model("Tanh")
    after.graph.node[2].name = "renamed"
    extra = helper.make_node("Neg", ["y_"], ["y"])
    after.graph.node[3].output[0] = "y_"
    after.graph.node.append(extra)
    first, second = related([draw(_model().SerializeToString()), draw(after.SerializeToString())])
    assert {n.label: n.change for n in first.nodes} == dict.fromkeys(
        ("x", "Conv", "Mul", "Relu", "y"), ""
    )
    assert {n.label: n.fate for n in first.nodes if n.fate} == {}
    changes = {n.label: n.change for n in second.nodes}
    # Neg now makes what Relu made: the same result by another operator.
    assert changes == {"x": "", "Conv": "", "Mul": "", "Tanh": "new", "Neg": "changed", "y": ""}


def test_a_node_that_is_gone_is_marked_before() -> None:
    after = _model()
    del after.graph.node[2]
    after.graph.node[2].input[0] = "c"
    first, second = related([draw(_model().SerializeToString()), draw(after.SerializeToString())])
    assert [n.label for n in first.nodes if n.fate == "gone"] == ["Mul"]
    assert [n.label for n in second.nodes if n.change] == []


def test_counts_side_by_side() -> None:
    assert counts_table([{"Conv": 1, "Constant": 9}, {"Conv": 2}]) == [
        ("Constant", [9, 0]),
        ("Conv", [1, 2]),
    ]


@pytest.mark.parametrize(
    ("op", "kind"),
    [("Conv", "linear"), ("MaxPool", "pool"), ("Add", "arithmetic"), ("Relu", "curve"),
     ("Greater", "logic"), ("Reshape", "move"), ("NoSuchThing", "move")],
)  # fmt: skip
def test_kinds(op: str, kind: str) -> None:
    assert kind_of(op) == kind


# ---------------------------------------------------------------------- SVG

HOSTILE = "\"'><script>alert(1)</script>&amp;]]>"


def test_an_inline_svg_has_every_box_and_line() -> None:
    drawing = draw_all({"a": _model().SerializeToString()})["a"]
    root = ElementTree.fromstring(inline_svg(drawing, "the graph"))
    assert root.get("aria-label") == "the graph"
    boxes = [g for g in root.iter("g") if "n" in (g.get("class") or "").split()]
    assert [g.get("data-k") for g in boxes] == ["x", "c", "m", "y", "output y"]
    assert len(root.findall(".//path")) == len(drawing.wires)
    assert "k-linear" in str(boxes[1].get("class"))


def test_a_standalone_svg_is_sound_and_says_all_on_hover() -> None:
    drawings = draw_all({"Before": _model().SerializeToString()})
    root = ElementTree.fromstring(standalone_svg(drawings, "mine"))
    assert root.findtext(f"{SVG}title") == "mine"
    titles = [t.text or "" for t in root.iter(f"{SVG}title")]
    told = next(text for text in titles if text.startswith("Conv"))
    assert "w  fp32 3x3x3x3" in told
    assert "pads = 1, 1, 1, 1" in told
    assert any("from mine.py:7" in text for text in titles)
    assert "Before: 4 nodes" in [t.text for t in root.iter(f"{SVG}text")]


def test_hostile_names_stay_text() -> None:
    proto = _model(name=HOSTILE)
    proto.graph.input[0].name = proto.graph.node[1].input[0] = HOSTILE
    drawings = draw_all({HOSTILE: proto.SerializeToString()})
    for text in (standalone_svg(drawings, HOSTILE), inline_svg(drawings[HOSTILE], HOSTILE)):
        root = ElementTree.fromstring(text)
        scripts = [e for e in root.iter() if e.tag.endswith("script")]
        assert len(scripts) <= 1
        assert all("alert" not in (script.text or "") for script in scripts)
        assert HOSTILE in [e.text for e in root.iter() if e.tag.endswith("text")]


def test_the_legend_names_the_kinds_that_are_there() -> None:
    drawings = draw_all({"a": _model().SerializeToString()})
    assert [kind for kind, _ in legend(drawings)] == [
        "linear", "arithmetic", "curve", "input", "output",
    ]  # fmt: skip
