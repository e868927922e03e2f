"""Names, shapes and laziness: what programs rely on."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys

import pytest

from blobsmith import zoo
from blobsmith.errors import SourceError, UsageError

NAMES = [
    "concat",
    "blur",
    "edge",
    "sobel",
    "harris",
    "corners",
    "diff",
    "normalize",
    "cosine",
    "contrast",
    "threshold",
]

# name -> inputs, outputs: names, shapes, dtypes, colour order of the inputs
SIGNATURES = {
    "concat": ("img1 img2 img3", [(1, 3, 300, 300)] * 3, "bgr", "output", [(1, 3, 300, 900)]),
    "blur": ("image", [(1, 3, 300, 300)], "bgr", "output", [(1, 3, 300, 300)]),
    "edge": ("image", [(1, 3, 300, 300)], "bgr", "output", [(1, 3, 300, 300)]),
    "sobel": ("image", [(1, 3, 300, 300)], "bgr", "output", [(1, 3, 300, 300)]),
    "harris": ("image", [(1, 3, 300, 300)], "bgr", "output", [(1, 3, 300, 300)]),
    "corners": ("image", [(1, 3, 300, 300)], "rgb", "edges corners", [(1, 1, 300, 300)] * 2),
    "diff": ("img1 img2", [(3, 720, 720)] * 2, "bgr", "output", [(720, 720)]),
    "normalize": (
        "frame scale mean",
        [(1, 3, 300, 300), (1, 3, 1, 1), (1, 3, 1, 1)],
        "bgr",
        "output",
        [(1, 3, 300, 300)],
    ),
    "cosine": ("a b", [(256,), (256,)], None, "output", [(1,)]),
    "contrast": ("image", [(1, 3, 300, 300)], "bgr", "output", [(1, 3, 300, 300)]),
    "threshold": ("image", [(1, 3, 300, 300)], "rgb", "output", [(1, 1, 300, 300)]),
}


def test_names() -> None:
    assert zoo.names() == tuple(NAMES)
    assert set(SIGNATURES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_signature(name: str) -> None:
    inputs, shapes, color, outputs, results = SIGNATURES[name]
    entry = zoo.get(name)
    assert [spec.name for spec in entry.inputs] == inputs.split()
    assert [spec.shape for spec in entry.inputs] == shapes
    assert entry.inputs[0].color == color
    assert [spec.name for spec in entry.outputs] == outputs.split()
    assert [spec.shape for spec in entry.outputs] == results
    assert all(spec.dtype == "fp16" for spec in entry.outputs)
    for spec in (*entry.inputs, *entry.outputs):
        assert len(spec.layout) == len(spec.shape)
    for spec in entry.inputs:
        picture = spec.layout[-2:] == "HW" and spec.shape[-1] > 1
        assert spec.dtype == ("u8" if picture else "fp16")
        assert (spec.value_range is None) == picture


@pytest.mark.parametrize("name", NAMES)
def test_forward_has_the_inputs_names(name: str) -> None:
    entry = zoo.get(name)
    parameters = list(inspect.signature(entry.factory().forward).parameters)
    assert parameters == [spec.name for spec in entry.inputs]


@pytest.mark.parametrize("name", NAMES)
def test_docstring_says_what_goes_in_and_out(name: str) -> None:
    text = type(zoo.get(name).factory()).__doc__
    assert text
    for word in ("Input", "Output", "Source"):
        assert word in text


def test_entries_travel_to_workers() -> None:
    entry = pickle.loads(pickle.dumps(zoo.get("blur", (20, 30))))
    assert entry == zoo.get("blur", (20, 30))
    assert type(entry.factory()).__name__ == "Blur"


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from blobsmith import zoo; [zoo.get(n) for n in zoo.names()];"
        "print([m for m in ('torch', 'kornia', 'numpy', 'cv2', 'onnx') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_sizes() -> None:
    assert zoo.get("blur", 64).inputs[0].shape == (1, 3, 64, 64)
    assert zoo.get("concat", (48, 64)).outputs[0].shape == (1, 3, 48, 192)
    assert zoo.get("diff", (48, 64)).outputs[0].shape == (48, 64)
    assert zoo.get("cosine", 128).inputs[1].shape == (128,)


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(SourceError, match="no zoo model 'sobell'") as caught:
        zoo.get("sobell")
    assert "did you mean 'sobel'" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "size"), [("blur", 4), ("edge", (1, 30)), ("concat", 0), ("cosine", (2, 8))]
)
def test_sizes_that_the_function_is_not_defined_for(name: str, size: int | tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="cannot have the size"):
        zoo.get(name, size)
