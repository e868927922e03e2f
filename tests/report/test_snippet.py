"""The program on the page is Python, uses what DepthAI has, and this model's names."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from blobsmith import zoo
from blobsmith.report.snippet import depthai, snippets
from blobsmith.tensors import Decoding, TensorSpec

NAMES = zoo.names()


def _uses(tree: ast.AST, root: str) -> set[str]:
    """Dotted names that start at `root`, without calls' results."""
    found = set()
    for node in ast.walk(tree):
        parts, inner = [], node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if parts and isinstance(inner, ast.Name) and inner.id == root:
            found.add(".".join(reversed(parts)))
    return found


@pytest.mark.parametrize("kind", ["blob", "superblob", "archive"])
@pytest.mark.parametrize("name", NAMES)
def test_every_name_it_uses_exists(name: str, kind: str) -> None:
    import depthai as dai

    entry = zoo.get(name)
    code = depthai(f"{name}.{kind}", kind, entry.inputs, entry.outputs, 6)
    tree = ast.parse(code)
    for path in _uses(tree, "dai"):
        found: Any = dai
        for part in path.split("."):
            found = getattr(found, part)
    network = dai.node.NeuralNetwork
    for path in _uses(tree, "network"):
        assert hasattr(network, path.split(".")[0]), path
    for spec in entry.inputs if len(entry.inputs) > 1 else ():
        assert repr(spec.name) in code
    for spec in entry.outputs:
        assert f"getTensor({spec.name!r})" in code
    assert repr(f"{name}.{kind}") in code


@pytest.mark.parametrize("name", NAMES)
def test_every_name_it_reads_it_has_made(name: str) -> None:
    entry = zoo.get(name)
    tree = ast.parse(depthai("f.blob", "blob", entry.inputs, entry.outputs, 6))
    made = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    made |= {
        a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names
    }
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assert read <= made


def test_the_script_for_earlier_frames_is_python_of_its_own() -> None:
    entry = zoo.get("diff")
    code = depthai("diff.blob", "blob", entry.inputs, entry.outputs, 6)
    assigned = next(n for n in ast.parse(code).body if isinstance(n, ast.Assign))
    assert isinstance(assigned.value, ast.Constant)
    script = ast.parse(str(assigned.value.value))
    assert isinstance(script.body[0], ast.Assign)
    assert "history.setScript(HISTORY)" in code


def test_frames_are_asked_for_in_the_models_size_and_values_are_sent_once() -> None:
    entry = zoo.get("normalize", (120, 160))
    code = depthai("n.blob", "blob", entry.inputs, entry.outputs, 6)
    assert "requestOutput((160, 120), type=dai.ImgFrame.Type.BGR888p, fps=30)" in code
    assert "network.inputs['mean'].setReusePreviousMessage(True)" in code
    assert code.index("pipeline.start()") < code.index("mean_queue.send(mean)")


def test_a_recorded_factor_is_undone_and_odd_names_become_python() -> None:
    spec = TensorSpec("1/out:0", (1, 1, 8, 8), "fp16", decoding=Decoding("tensor", factor=0.25))
    frame = TensorSpec("frames", (1, 3, 8, 8), "u8", "NCHW", "bgr")
    code = depthai("m.blob", "blob", [frame], [spec], 4)
    assert "tensor_1_out_0 = message.getTensor('1/out:0') / 0.25  # 1x1x8x8" in code
    ast.parse(code)


def test_the_commands_name_the_file() -> None:
    entry = zoo.get("blur")
    program, commands = snippets("my.blob", "blob", entry.inputs, entry.outputs, 6)
    assert (program.language, commands.language) == ("python", "sh")
    assert commands.code.count("blobsmith run my.blob") == 2
