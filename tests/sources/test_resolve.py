"""What a source may be, and what is said of one that is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from blobsmith import zoo
from blobsmith.errors import BlobsmithError, SourceError, UsageError
from blobsmith.sources import load
from blobsmith.sources.resolve import resolve

from .modules import Halve

HERE = Path(__file__).parent
FILE = HERE / "modules.py"
PACKAGE = "tests.sources.modules"


@pytest.mark.parametrize(
    "source",
    [f"{FILE}:Halve", f"{PACKAGE}:Halve", f"{PACKAGE}:factory", f"{PACKAGE}:instance"],
)
def test_class_factory_and_instance_are_found(source: str) -> None:
    model = load(source)
    assert [(s.name, s.shape, s.dtype, s.color) for s in model.inputs] == [
        ("image", (1, 3, 8, 10), "u8", "bgr")
    ]
    assert [(s.name, s.shape, s.dtype) for s in model.outputs] == [
        ("output", (1, 3, 8, 10), "fp16")
    ]
    assert model.origin == source.replace(str(HERE) + "/", "")


def test_a_module_object_a_class_and_a_function_are_sources() -> None:
    from . import modules

    for source in (modules.Halve(), modules.Halve):
        assert load(source).inputs[0].name == "image"
    assert load(modules.double, inputs={"image": (1, 1, 4, 4)}).inputs[0].color == "gray"


def test_a_zoo_model_as_manifests_write_it() -> None:
    assert resolve("zoo:blur").origin == resolve("blur").origin == "zoo:blur"
    with pytest.raises(SourceError, match="no source 'bluur'"):
        resolve("zoo:bluur")


@pytest.mark.parametrize("name", zoo.names())
def test_every_zoo_entry_is_declared_as_it_is(name: str) -> None:
    small = {
        spec.name: (*spec.shape[:-2], 24, 32)
        for spec in zoo.get(name).inputs
        if len(spec.shape) > 2 and min(spec.shape[-2:]) > 1
    }
    model = load(name, inputs=small)
    entry = zoo.get(name)
    assert [s.name for s in model.inputs] == [s.name for s in entry.inputs]
    assert [s.color for s in model.inputs] == [s.color for s in entry.inputs]
    assert [(s.name, s.decoding) for s in model.outputs] == [
        (s.name, s.decoding) for s in entry.outputs
    ]
    assert model.origin == f"zoo:{name}"


BAD = [
    ("bluur", SourceError, "no source 'bluur'", "did you mean 'blur'"),
    (":Halve", SourceError, "before the colon", "file.py:Class"),
    (f"{FILE}:Halv", SourceError, "no 'Halv'", "did you mean 'Halve'"),
    (str(FILE), SourceError, "which class", "Halve"),
    (f"{HERE}/module.py:Halve", SourceError, "no such file", "modules.py"),
    (f"{PACKAGE}:Halv", SourceError, "no 'Halv'", "Halve"),
    ("no_such_package.inner:Blur", SourceError, "no module 'no_such_package'", "file.py:Class"),
    (f"{PACKAGE}:number", SourceError, "is a int", "nn.Module"),
    (f"{PACKAGE}:NeedsArguments", SourceError, "needs arguments to be made: size", "default"),
    ("model.xml", SourceError, "hand over the ONNX", ""),
    ("model.blob", SourceError, "compiled already", ""),
    ("weights.pth", SourceError, "no function", ""),
    ("missing.onnx", SourceError, "no such file", ""),
]


@pytest.mark.parametrize(("source", "kind", "what", "remedy"), BAD, ids=[b[0][-20:] for b in BAD])
def test_bad_source_is_one_clear_message(
    source: str, kind: type[BlobsmithError], what: str, remedy: str
) -> None:
    with pytest.raises(kind) as caught:
        load(source)
    assert what in caught.value.what
    assert remedy in caught.value.remedy
    assert caught.value.where or remedy


def test_a_failing_constructor_is_named_with_its_line() -> None:
    with pytest.raises(SourceError, match="fails while it is made: ValueError: no weights") as e:
        load(f"{FILE}:FailsToBeMade")
    assert "modules.py:" in e.value.where
    assert "raise ValueError" in e.value.where


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import torch\nclass A(torch.nn.Module)\n    pass\n", "SyntaxError"),
        ("import torch\nx = 1 / 0\n", "ZeroDivisionError"),
        ("import sys\nsys.exit(3)\n", "SystemExit"),
        ("import no_such_thing_at_all\n", "ModuleNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_its_line(
    tmp_path: Path, text: str, what: str
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(SourceError, match=what) as caught:
        load(f"{file}:A")
    assert "broken.py" in caught.value.where


def test_a_file_finds_its_neighbours_and_prints_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("FACTOR = 3\n")
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom neighbour_of_mine import FACTOR\nprint('loading')\n"
        "class Triple(torch.nn.Module):\n"
        "    def forward(self, x):\n        print('called')\n        return x * FACTOR\n"
    )
    load(f"{tmp_path}/mine.py:Triple", inputs={"x": (1, 1, 4, 4)})
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "loading" in seen.err
    assert "called" in seen.err
    assert str(tmp_path) not in sys.path


def test_shape_that_nobody_gave_is_asked_for() -> None:
    with pytest.raises(UsageError, match="inputs 'first', 'second'") as caught:
        load(f"{FILE}:Subtract")
    assert "--input first=1x3x300x300 --input second=1x3x300x300" in caught.value.remedy


def test_a_declared_input_that_is_no_parameter_is_told() -> None:
    class Typo(Halve):
        blobsmith_inputs: ClassVar = {"imag": (1, 3, 8, 10)}

    with pytest.raises(UsageError, match="declares an input 'imag'") as caught:
        load(Typo)
    assert "image" in caught.value.remedy


def test_unknown_input_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no input 'imag'") as caught:
        load(f"{FILE}:Halve", inputs={"imag": (1, 3, 8, 8)})
    assert "did you mean 'image'" in caught.value.remedy


@pytest.mark.parametrize("shape", [(1, 3, 0, 4), (1, -3, 4, 4), (), "abc", (1, 2.5)])
def test_a_shape_of_no_sizes_is_a_usage_error(shape: object) -> None:
    with pytest.raises(UsageError, match="positive sizes"):
        load(f"{FILE}:Halve", inputs={"image": shape})  # type: ignore[dict-item]


def test_resolving_leaves_the_search_path_alone() -> None:
    before = list(sys.path)
    resolve(f"{FILE}:Halve")
    assert sys.path == before


def test_importing_the_room_imports_nothing_heavy() -> None:
    code = (
        "import sys, blobsmith.sources\n"
        "print([m for m in ('torch', 'onnx', 'onnxruntime', 'kornia') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
