"""FILE.json: what is written is read back, what is wrong is named, what is stale is refused."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blobsmith.errors import EnvironmentFault, PackageError
from blobsmith.packaging.manifest import MANIFEST_VERSION, Manifest, manifest_path
from blobsmith.tensors import Decoding, TensorSpec

IMAGE = TensorSpec("image", (1, 3, 30, 40), "u8", "NCHW", "rgb", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
RESULT = TensorSpec(
    "output", (1, 1, 30, 40), "fp16", "NCHW", "gray", decoding=Decoding("image", 2.0, 1.0, 0.25)
)
CONTENT = b"the file that the manifest describes"


def sample(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "kind": "blob",
        "shaves": (6,),
        "origin": "filters.py:Blur",
        "inputs": (IMAGE,),
        "outputs": (RESULT,),
        "onnx_path": "blur.onnx",
        "onnx_sha256": "0" * 64,
        "options": {"shaves": 6, "mean": (1.0, 2.0), "fix_fp16": False, "extra": (("A", "B"),)},
        "versions": {"blobsmith": "0.1.0", "toolchain": "1.12.0"},
        "steps": ({"name": "export", "seconds": 0.25},),
    }
    return Manifest.describing(CONTENT, **{**values, **changes})


def test_written_and_read_it_is_the_same(tmp_path: Path) -> None:
    manifest = sample()
    path = tmp_path / "blur.blob.json"
    path.write_bytes(manifest.to_bytes())
    assert Manifest.read(path) == manifest
    assert Manifest.read(path).outputs[0].decoding.factor == 0.25
    assert json.loads(path.read_bytes())["version"] == MANIFEST_VERSION


NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
SPECS = st.builds(
    TensorSpec,
    name=NAMES,
    shape=st.lists(st.integers(1, 4000), min_size=1, max_size=5).map(tuple),
    dtype=st.sampled_from(["u8", "fp16", "fp32", "i32"]),
    color=st.sampled_from([None, "bgr", "rgb", "gray"]),
    mean=st.none() | st.lists(NUMBERS, min_size=1, max_size=3).map(tuple),
    scale=st.none() | st.lists(NUMBERS.filter(bool), min_size=1, max_size=3).map(tuple),
    decoding=st.builds(
        Decoding,
        kind=st.sampled_from(["image", "mask", "map", "vector", "tensor"]),
        scale=NUMBERS,
        offset=NUMBERS,
        factor=NUMBERS.filter(bool),
    ),
    value_range=st.none() | st.tuples(NUMBERS, NUMBERS).map(sorted).map(tuple),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBERS | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(
    inputs=st.lists(SPECS, min_size=1, max_size=3, unique_by=lambda spec: spec.name).map(tuple),
    shaves=st.sets(st.integers(1, 16), min_size=1).map(sorted).map(tuple),
    options=st.dictionaries(NAMES, VALUES, max_size=4),
    origin=NAMES,
)
def test_reading_undoes_writing(
    inputs: tuple[TensorSpec, ...], shaves: tuple[int, ...], options: Any, origin: str
) -> None:
    manifest = sample(inputs=inputs, shaves=shaves, options=options, origin=origin)
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


# (path into the JSON, value or None to delete it, what the error must name)
WRONG: list[tuple[tuple[Any, ...], Any, str]] = [
    (("version",), 99, "version"),
    (("version",), "1", "version"),
    (("version",), True, "version"),
    (("origin",), None, "origin"),
    (("kind",), "zip", "kind"),
    (("sha256",), "abc", "sha256"),
    (("sha256",), "G" * 64, "sha256"),
    (("size",), 0, "size"),
    (("shaves",), [17], "shaves[0]"),
    (("shaves",), [6, 6], "shaves"),
    (("shaves",), 6, "shaves"),
    (("colour",), "bgr", "'colour'"),
    (("inputs",), [], "inputs"),
    (("inputs", 0, "name"), "", "inputs[0].name"),
    (("inputs", 0, "dtype"), "float", "inputs[0].dtype"),
    (("inputs", 0, "dtype"), ["u8"], "inputs[0].dtype"),
    (("inputs", 0, "shape"), [1, -3, 30, 40], "inputs[0].shape[1]"),
    (("inputs", 0, "shape"), [1, 3.0, 30, 40], "inputs[0].shape[1]"),
    (("inputs", 0, "layout"), "NCH", "inputs[0]"),
    (("inputs", 0, "color"), "BGR", "inputs[0].color"),
    (("inputs", 0, "scale"), [1.0, 0.0, 1.0], "inputs[0].scale"),
    (("inputs", 0, "mean"), ["1"], "inputs[0].mean[0]"),
    (("inputs", 0, "colour"), "rgb", "'colour'"),
    (("inputs", 0, "value_range"), [3, 1], "inputs[0].value_range"),
    (("outputs", 0, "decoding", "kind"), "picture", "outputs[0].decoding.kind"),
    (("outputs", 0, "decoding", "factor"), 0, "outputs[0].decoding.factor"),
    (("outputs", 0, "decoding", "scale"), 10**400, "outputs[0].decoding.scale"),
    (("options",), [], "options"),
    (("versions", "blobsmith"), 1, "versions.blobsmith"),
    (("steps",), [{"seconds": 1}], "steps[0].name"),
]


@pytest.mark.parametrize(("where", "value", "named"), WRONG, ids=lambda v: str(v)[:40])
def test_a_wrong_value_is_named(where: tuple[Any, ...], value: Any, named: str) -> None:
    data = copy.deepcopy(sample().to_dict())
    target: Any = data
    for key in where[:-1]:
        target = target[key]
    if value is None:
        del target[where[-1]]
    else:
        target[where[-1]] = value
    with pytest.raises(PackageError) as caught:
        Manifest.from_dict(data)
    assert named in f"{caught.value.what} {caught.value.where}"


def test_two_inputs_of_one_name() -> None:
    with pytest.raises(PackageError, match="same name"):
        sample(inputs=(IMAGE, IMAGE))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b'{"version": NaN}', "NaN"),
        (b'{"version": 1, "version": 1}', "twice"),
        (b'{"a":' * 100_000, "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(PackageError, match=named) as caught:
        Manifest.read(path)
    assert str(path) in caught.value.where


def test_a_stale_manifest_is_never_applied(tmp_path: Path) -> None:
    blob = tmp_path / "blur.blob"
    blob.write_bytes(CONTENT)
    manifest_path(blob).write_bytes(sample().to_bytes())
    assert Manifest.for_file(blob) == sample()
    blob.write_bytes(CONTENT + b"rebuilt by something else")
    with pytest.raises(PackageError, match="belongs to another file") as caught:
        Manifest.for_file(blob)
    assert "blur.blob.json" in caught.value.where


def test_no_manifest_and_no_file(tmp_path: Path) -> None:
    assert Manifest.for_file(tmp_path / "none.blob") is None
    manifest_path(tmp_path / "gone.blob").write_bytes(sample().to_bytes())
    with pytest.raises(EnvironmentFault):
        Manifest.for_file(tmp_path / "gone.blob")


def test_the_onnx_is_found_beside_the_file(tmp_path: Path) -> None:
    assert sample().onnx_file(tmp_path / "blur.blob") == tmp_path / "blur.onnx"
    assert sample(onnx_path=None).onnx_file(tmp_path / "blur.blob") is None


def test_packaging_reads_manifests_and_archives_without_numpy() -> None:
    code = (
        "import sys, blobsmith.packaging.manifest, blobsmith.packaging.atomic, "
        "blobsmith.packaging.superblob, blobsmith.packaging.archive, "
        "blobsmith.packaging.artifact, blobsmith.oak.planner, blobsmith.oak.v2; "
        "print([m for m in ('numpy', 'onnx', 'cv2', 'torch', 'depthai') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
