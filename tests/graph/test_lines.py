"""The user's line of each node, through exporters, simplification and rewriting."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper

from blobsmith import zoo
from blobsmith.graph import lines, preprocess, simplify
from blobsmith.graph.lines import SourceLine
from blobsmith.graph.rewrites import rewrite
from blobsmith.sources import load

from ..graphs import IMAGE, model

HERE = str(Path(__file__))
TORCH = "/home/me/.venv/lib/python3.12/site-packages/torch/nn/functional.py"
KORNIA = "/home/me/.venv/lib/python3.12/site-packages/kornia/filters/sobel.py"
EXPORTER = str(Path(lines.__file__).parents[1] / "sources" / "exporters.py")


def node(doc: str = "", stack: str = "") -> onnx.NodeProto:
    made = helper.make_node("Relu", ["x"], ["y"], doc_string=doc)
    if stack:
        made.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=stack)
    return made


def test_innermost_frame_outside_the_libraries_of_a_torchscript_stack() -> None:
    doc = (
        f"{TORCH}(5823): pad\n{KORNIA}(99): sobel\n/home/me/filters.py(7): forward\n"
        f"/home/me/app.py(3): <module>\n{EXPORTER}(50): forward\n"
    )
    assert lines.user_line(node(doc)) == SourceLine("filters.py", 7)


def test_innermost_frame_of_a_dynamo_stack() -> None:
    stack = (
        '  File "/home/me/app.py", line 3, in forward\n    self.f(x)\n'
        f'  File "{HERE}", line 5, in forward\n    x\n'
        f'  File "{KORNIA}", line 99, in forward\n    y'
    )
    found = lines.user_line(node(stack=stack))
    assert found is not None
    assert (found.file, found.line) == ("tests/graph/test_lines.py", 5)


def test_code_is_read_and_paths_are_short() -> None:
    number = next(
        i for i, text in enumerate(Path(HERE).read_text().splitlines(), 1) if "HERE =" in text
    )
    found = lines.user_line(node(f"{HERE}({number}): forward\n"))
    assert str(found) == f"tests/graph/test_lines.py:{number}  HERE = str(Path(__file__))"


def test_a_library_alone_is_better_than_nothing() -> None:
    """A Kornia module exported as it is has no line of the user's."""
    assert lines.user_line(node(f"{TORCH}(1): pad\n{KORNIA}(99): sobel\n")) == SourceLine(
        "sobel.py", 99
    )
    assert lines.user_line(node(f"{TORCH}(1): pad\n")) is None
    assert lines.user_line(node()) is None


@pytest.mark.parametrize("code", ["y = x[:, 0:1]", "", "a: int = 7  # b.py:3: no"])
def test_the_short_form_is_read_back(code: str) -> None:
    line = SourceLine("pkg/file.py", 41, code)
    assert lines.user_line(node(line.doc_string())) == line


def chain(*names: str, docs: dict[str, str] | None = None) -> onnx.ModelProto:
    """x -> names[0] -> names[1] ..., each a Relu, with doc strings by output."""
    values = ["x", *names]
    nodes = [
        helper.make_node("Relu", [values[i]], [values[i + 1]], doc_string=(docs or {}).get(n, ""))
        for i, n in enumerate(names)
    ]
    return model(nodes, {"x": IMAGE}, {names[-1]: IMAGE})


def test_attach_shortens_and_fills() -> None:
    before = chain(
        "a", "b", "c", docs={"b": "/home/me/f.py(7): forward\n" + f"{TORCH}(1): x\n" * 9}
    )
    after = lines.attach(before)
    assert after.ByteSize() < before.ByteSize()
    assert {str(v) for v in lines.lookup(after).values()} == {"f.py:7"}
    assert set(lines.lookup(after)) == {"a", "b", "c"}
    assert lines.lookup(lines.attach(after)) == lines.lookup(after)


def test_attach_keeps_what_is_no_stack() -> None:
    before = chain("a", docs={"a": "the first block"})
    assert lines.attach(before).graph.node[0].doc_string == "the first block"


def test_inherit_by_output_by_made_name_and_by_neighbour() -> None:
    before = chain("a", "b", "c", docs={"a": "f.py:1: a", "b": "f.py:2: b", "c": "f.py:3: c"})
    after = chain("a__12", "new", "b", "tail", "c")
    found = lines.lookup(lines.inherit(before, after))
    assert {name: line.line for name, line in found.items()} == {
        "a__12": 1,  # made from a
        "new": 2,  # replaces what came before b
        "b": 2,
        "tail": 3,
        "c": 3,
    }
    assert [n.doc_string for n in after.graph.node] == [""] * 5, (
        "the graph that came is not changed"
    )


def test_inherit_goes_up_where_nothing_is_below() -> None:
    before = chain("a", docs={"a": "f.py:1: a"})
    after = chain("a", "cast")
    assert lines.lookup(lines.inherit(before, after))["cast"].line == 1


def test_a_line_that_is_there_wins() -> None:
    before = chain("a", docs={"a": "f.py:1: a"})
    after = chain("a", docs={"a": "f.py:9: better"})
    assert lines.lookup(lines.inherit(before, after))["a"].line == 9


def test_a_long_graph_without_lines_is_left_quickly() -> None:
    names = [f"v{i}" for i in range(3000)]
    assert lines.lookup(lines.attach(chain(*names))) == {}


@pytest.mark.parametrize("name", zoo.names())
def test_every_node_of_the_zoo_names_its_line_after_every_step(name: str) -> None:
    small = {
        spec.name: (*spec.shape[:-2], 24, 32)
        for spec in zoo.get(name).inputs
        if len(spec.shape) > 2 and min(spec.shape[-2:]) > 1
    }
    model_ = load(name, inputs=small)
    source = Path(zoo.__file__).with_name(f"{name}.py").read_text().splitlines()
    simple = simplify.simplify(model_.proto, specs=model_.inputs).proto
    prepared = lines.inherit(simple, preprocess.insert(model_.with_graph(simple)).proto)
    rewritten = lines.inherit(prepared, rewrite(prepared).proto)
    for proto in (model_.proto, simple, prepared, rewritten):
        for item in proto.graph.node:
            line = lines.user_line(item)
            assert line is not None, item.op_type
            assert line.file == f"blobsmith/zoo/{name}.py"
            assert source[line.line - 1].strip() == line.code
            assert line.line > next(i for i, t in enumerate(source) if "def forward" in t)
