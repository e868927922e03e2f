"""Builds end to end: what is written, what is not, and what the cache gives back."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

import blobsmith
from blobsmith import cache
from blobsmith.errors import (
    CheckFailed,
    EnvironmentFault,
    ModelError,
    OperatorError,
    OpsetError,
    SourceError,
    ToolchainError,
    UsageError,
)
from blobsmith.packaging.manifest import Manifest, manifest_path
from blobsmith.tensors import InputRequest
from tests import graphs

VENDOR_CONCAT = "6ac3023ea8dac9b7501ead0f9b2c2a4495d2791a58b7049de065246455cf87be"
SHAPE = {"image": (1, 3, 32, 40)}


class Halve(torch.nn.Module):
    """A function of one frame."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image / 2 + 1


class Two(torch.nn.Module):
    """Two inputs, two outputs."""

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return first - second, torch.relu(first - 100)


class Warm(torch.nn.Module):
    """Tells red from blue: channel 0 is red for a function that expects RGB."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, 0:1] - image[:, 2:3]


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toolchain: Path) -> None:
    """A cache of this test's own, with the installed compiler."""
    monkeypatch.setenv("BLOBSMITH_TOOLCHAIN", str(toolchain))
    monkeypatch.setenv("BLOBSMITH_CACHE", str(tmp_path / "cache"))


def test_the_concat_zoo_model_is_the_vendors_blob(tmp_path: Path) -> None:
    result = blobsmith.build("concat", output=tmp_path / "c.blob", shaves=6)
    assert result.path is not None
    data = result.path.read_bytes()
    assert len(data) == 1024
    assert hashlib.sha256(data).hexdigest() == VENDOR_CONCAT


def test_a_module_becomes_a_verified_blob(tmp_path: Path) -> None:
    result = blobsmith.build(Halve(), inputs=SHAPE, output=tmp_path / "h.blob", shaves=4)
    assert result.verification is not None
    assert result.verification.passed
    assert result.blob.shaves == 4
    assert result.stages == len(result.blob.stages) > 0
    assert {s.name for s in result.steps} >= {"simplify", "rewrite", "compile", "verify"}
    frame = np.random.default_rng(0).integers(0, 256, SHAPE["image"], dtype=np.uint8)
    out = blobsmith.Emulator(result.blob).run({"image": frame})["output"]
    np.testing.assert_allclose(out.astype(np.float32), frame / 2 + 1, atol=0.07)


def test_file_manifest_and_onnx_belong_together(tmp_path: Path) -> None:
    path = tmp_path / "h.blob"
    result = blobsmith.build(Halve(), inputs=SHAPE, output=path)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == [
        "h.blob", "h.blob.json", "h.blob.onnx",
    ]  # fmt: skip
    manifest = Manifest.for_file(path)
    assert manifest is not None
    assert manifest == result.manifest
    onnx_file = manifest.onnx_file(path)
    assert onnx_file is not None
    assert hashlib.sha256(onnx_file.read_bytes()).hexdigest() == manifest.onnx_sha256
    assert [spec.color for spec in manifest.inputs] == ["bgr"]
    assert manifest.options["shaves"] == 6
    assert json.loads(manifest_path(path).read_text())["version"] == 1


def test_several_inputs_and_outputs_keep_their_names_and_meaning() -> None:
    shapes = {"first": (1, 3, 16, 16), "second": (1, 3, 16, 16)}
    result = blobsmith.build(Two(), inputs=shapes, outputs=["difference", "bright"])
    assert [s.name for s in result.manifest.inputs] == ["first", "second"]
    assert [s.name for s in result.manifest.outputs] == ["difference", "bright"]
    feeds = {
        n: np.full(s, v, np.uint8) for (n, s), v in zip(shapes.items(), (200, 50), strict=True)
    }
    out = blobsmith.Emulator(result.blob).run(feeds)
    assert float(out["difference"].max()) == 150.0
    assert float(out["bright"].max()) == 100.0


@pytest.mark.parametrize(
    ("color", "expected"),
    [("rgb", {"red": 255, "blue": -255}), ("bgr", {"red": -255, "blue": 255})],
)
def test_pure_colours_show_a_lost_swap(color: str, expected: dict[str, float]) -> None:
    """Frames are planar BGR; a function that expects RGB must see red first."""
    result = blobsmith.build(Warm(), inputs=SHAPE, color=color)
    emulator = blobsmith.Emulator(result.blob)
    for name, channel in (("blue", 0), ("green", 1), ("red", 2)):
        frame = np.zeros(SHAPE["image"], np.uint8)
        frame[:, channel] = 255
        out = emulator.run({"image": frame})["output"]
        assert set(np.unique(out).tolist()) == {float(expected.get(name, 0))}


def test_mean_and_scale_are_in_the_graph() -> None:
    result = blobsmith.build(Halve(), inputs=SHAPE, mean=(10, 20, 30), scale=2)
    frame = np.full(SHAPE["image"], 50, np.uint8)
    out = blobsmith.Emulator(result.blob).run({"image": frame})["output"][0, :, 0, 0]
    np.testing.assert_allclose(out.astype(float), [11.0, 8.5, 6.0], atol=0.02)


@pytest.mark.parametrize("dtype", ["u8", "fp16", "fp32"])
def test_input_types(dtype: str) -> None:
    request = blobsmith.InputRequest(shape=SHAPE["image"], dtype=dtype, value_range=(0, 255))  # type: ignore[arg-type]
    result = blobsmith.build(Halve(), inputs={"image": request})
    assert result.blob.input_specs[0].dtype == dtype


def test_no_optimize_is_the_plain_recipe_and_agrees() -> None:
    plain = blobsmith.build("blur", optimize=False)
    fast = blobsmith.build("blur")
    assert plain.rewrites == ()
    assert fast.rewrites
    frame = np.random.default_rng(0).integers(0, 256, (1, 3, 300, 300), dtype=np.uint8)
    one = blobsmith.Emulator(plain.blob).run({"image": frame})["output"].astype(np.float32)
    other = blobsmith.Emulator(fast.blob).run({"image": frame})["output"].astype(np.float32)
    assert float(np.abs(one - other).max()) <= 0.25


def test_an_onnx_file_is_built_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "relu.onnx"
    onnx.save(graphs.one("Relu"), path)
    result = blobsmith.build(path, output=tmp_path / "relu.blob")
    assert result.verification is not None
    assert result.manifest.origin == "relu.onnx"


def test_a_second_build_comes_from_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "relu.onnx"
    onnx.save(graphs.one("Relu"), path)
    first = blobsmith.build(path, output=tmp_path / "a.blob")
    second = blobsmith.build(path, output=tmp_path / "b.blob")
    assert (first.cached, second.cached) == (False, True)
    assert (tmp_path / "a.blob").read_bytes() == (tmp_path / "b.blob").read_bytes()
    found = Manifest.for_file(tmp_path / "b.blob")
    assert found is not None
    assert found.onnx_file(tmp_path / "b.blob") == tmp_path / "b.blob.onnx"
    assert [s.name for s in second.steps] == [s.name for s in first.steps]


def test_silent_trap_a_stale_cache(tmp_path: Path) -> None:
    """Same name, other content: never the old blob."""
    path = tmp_path / "model.onnx"
    onnx.save(graphs.one("Relu"), path)
    first = blobsmith.build(path)
    onnx.save(graphs.one("Neg"), path)
    second = blobsmith.build(path)
    assert not second.cached
    assert first.artifact != second.artifact
    assert not blobsmith.build(path, shaves=3).cached
    assert cache.info().entries == 3


@pytest.mark.parametrize(
    ("source", "error", "told"),
    [
        ("nosuch", SourceError, "nosuch"),
        ("blurr", SourceError, "blur"),
        ("missing.py:Class", SourceError, "missing.py"),
        ("missing.onnx", SourceError, "missing.onnx"),
        ("model.xml", (SourceError, UsageError), "ONNX"),
    ],
)
def test_a_source_that_is_not_there(source: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error) as caught:
        blobsmith.build(source)
    assert told in str(caught.value)


def test_a_missing_class_names_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import torch\nclass Blur(torch.nn.Module):\n    pass\n")
    with pytest.raises(SourceError, match="Blurr") as caught:
        blobsmith.build(f"{file}:Blurr", inputs=SHAPE)
    assert "Blur" in str(caught.value)


def test_shapes_that_the_function_cannot_take() -> None:
    class Picky(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image @ torch.ones(7, 7)

    with pytest.raises(SourceError) as caught:
        blobsmith.build(Picky(), inputs=SHAPE)
    assert "test_builder.py" in str(caught.value)


def test_missing_shapes_are_asked_for() -> None:
    with pytest.raises((SourceError, UsageError), match="image") as caught:
        blobsmith.build(Halve())
    assert "--input image=" in str(caught.value)


def test_dynamic_axes_are_asked_for(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["a"], ["y"])
    proto = graphs.model([node], {"a": ["n", 3, 16, 16]}, {"y": None})
    onnx.save(proto, tmp_path / "d.onnx")
    with pytest.raises((ModelError, UsageError), match="a"):
        blobsmith.build(tmp_path / "d.onnx")
    fixed = blobsmith.build(tmp_path / "d.onnx", inputs={"a": (1, 3, 16, 16)})
    assert fixed.blob.input_specs[0].shape == (1, 3, 16, 16)


def test_an_operator_that_the_compiler_lacks_names_node_and_line() -> None:
    class Spectrum(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.special.erfinv(image / 256)

    with pytest.raises(ModelError) as caught:
        blobsmith.build(Spectrum(), inputs=SHAPE)
    assert "erfinv" in str(caught.value).lower()
    assert "test_builder.py" in str(caught.value)


@pytest.mark.parametrize("cut", [0, 10, 60])
def test_a_truncated_onnx(tmp_path: Path, cut: int) -> None:
    data = graphs.one("Relu").SerializeToString()
    (tmp_path / "t.onnx").write_bytes(data[: len(data) * cut // 100])
    with pytest.raises(ModelError):
        blobsmith.build(tmp_path / "t.onnx", output=tmp_path / "t.blob")
    assert not (tmp_path / "t.blob").exists()


def test_an_opset_that_cannot_be_lowered(tmp_path: Path) -> None:
    proto = graphs.one("Relu", opset=18)
    proto.opset_import[0].version = 99
    onnx.save(proto, tmp_path / "new.onnx")
    with pytest.raises((OpsetError, ModelError)):
        blobsmith.build(tmp_path / "new.onnx")


def test_a_build_that_fails_verification_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blobsmith import reference

    right = reference.module_outputs

    def wrong(*arguments: object) -> list[dict[str, np.ndarray]]:
        return [{k: v + 5 for k, v in o.items()} for o in right(*arguments)]  # type: ignore[arg-type]

    monkeypatch.setattr(reference, "module_outputs", wrong)
    with pytest.raises(CheckFailed, match="output"):
        blobsmith.build(Halve(), inputs=SHAPE, output=tmp_path / "h.blob")
    assert [p for p in tmp_path.iterdir() if p.is_file()] == []


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault):
        blobsmith.build(Halve(), inputs=SHAPE, output="/dev/full/x.blob")
    with pytest.raises(EnvironmentFault, match="folder"):
        blobsmith.build(Halve(), inputs=SHAPE, output=tmp_path / "none" / "x.blob")


def test_no_toolchain_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from blobsmith.workers import LimitedExecutor

    monkeypatch.setenv("BLOBSMITH_TOOLCHAIN", str(tmp_path / "nowhere"))
    with LimitedExecutor() as fresh, pytest.raises(ToolchainError, match="not installed"):
        blobsmith.build(Halve(), inputs=SHAPE, executor=fresh, use_cache=False)


@pytest.mark.parametrize(("system", "machine"), [("Windows", "AMD64"), ("Linux", "aarch64")])
def test_other_platforms_are_told_what_works_there(
    system: str, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    with pytest.raises(ToolchainError, match="x86-64 only") as caught:
        blobsmith.build("there/is/no.py:Such", use_cache=False)
    assert "emulator" in caught.value.remedy


def test_a_build_that_was_begun_ahead_is_the_same_build(toolchain: Path) -> None:
    from dataclasses import replace

    from blobsmith import road
    from blobsmith.builder import _with_reference
    from blobsmith.loading import load_source, requests_of

    model = load_source(Halve(), requests_of(SHAPE), None)
    request = road.Request(source=model, toolchain=str(toolchain))
    request = _with_reference(request, lambda _: None)
    at_once = road.run(request)
    begun = replace(request, token="a")
    road.begin(replace(begun, reference=None))
    ahead = road.run(begun)
    again = road.run(begun)  # what was begun is used once
    for other in (ahead, again):
        assert other.blobs == at_once.blobs
        assert other.verification == at_once.verification
        assert [step.name for step in other.steps] == [step.name for step in at_once.steps]


def test_what_stops_a_worker_names_the_source(tmp_path: Path) -> None:
    from blobsmith.workers import LimitedExecutor

    onnx.save(graphs.one("Relu"), tmp_path / "slow.onnx")
    with LimitedExecutor(timeout=0.01) as hasty, pytest.raises(EnvironmentFault) as caught:
        blobsmith.build(
            tmp_path / "slow.onnx", output=tmp_path / "s.blob", executor=hasty, use_cache=False
        )
    assert caught.value.where == "slow.onnx"
    assert not (tmp_path / "s.blob").exists()


def test_onnx_runtime_collects_nothing(tmp_path: Path) -> None:
    """Its telemetry would write into the home and temporary folders."""
    code = (
        "from blobsmith.graph.equivalence import Session; from tests import graphs; "
        "Session(graphs.one('Relu'))"
    )
    home = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1],
        env={**environment, **home},
    )  # fmt: skip
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    "changes", [{"shaves": 17}, {"format": "zip"}, {"nonsense": 1}, {"contents": "dlc"}]
)
def test_options_that_do_not_exist(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        blobsmith.build(Halve(), inputs=SHAPE, **changes)


@pytest.mark.parametrize("change", [{"mean": 127.5}, {"scale": 255}, {"color": "rgb"}])
def test_preprocessing_that_no_input_takes_is_refused(change: dict[str, object]) -> None:
    """It would be ignored without a word: a vector is no image."""
    request = blobsmith.InputRequest(shape=(1, 16), dtype="u8")
    with pytest.raises(UsageError, match=f"{next(iter(change))} would be ignored"):
        blobsmith.build(Halve(), inputs={"image": request}, verify=False, **change)


def test_the_export_is_a_step_with_its_time() -> None:
    result = blobsmith.build(Halve(), inputs=SHAPE)
    assert [s.name for s in result.steps][:2] == ["export", "reference"]
    assert result.steps[0].seconds > 0
    assert [s["name"] for s in result.manifest.steps] == [s.name for s in result.steps]


def test_frames_that_prove_little_are_told() -> None:
    """Within -1..1, which is assumed where nothing is said, no depth is beyond 300."""

    def near(depth: torch.Tensor) -> torch.Tensor:
        return (depth > 300).float() * depth

    warned = []
    for value_range in (None, (0.0, 3000.0)):
        request = InputRequest((1, 1, 8, 8), "fp16", value_range=value_range)
        found = blobsmith.build(near, inputs={"depth": request}, use_cache=False)
        warned.append(any("little is proven" in text for text in found.warnings))
    assert warned == [True, False]


def test_a_result_too_large_for_fp16_says_how_to_build_it() -> None:
    class Energy(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            total = image.sum(1, keepdim=True)
            return total * total

    with pytest.raises(CheckFailed) as caught:
        blobsmith.build(Energy(), inputs=SHAPE)
    assert "does not fit in FP16" in caught.value.what
    assert "--fix-fp16" in caught.value.remedy


def test_too_many_operators_name_the_line_and_the_way_out(tmp_path: Path) -> None:
    """An unrolled loop is refused at once, not by the time limit."""
    from blobsmith.road.steps import MOST_NODES

    nodes = [helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(MOST_NODES + 1)]
    nodes[-1].output[0] = "output"
    sizes = [helper.make_tensor_value_info(n, 1, [1, 3, 4, 4]) for n in ("v0", "output")]
    graph = helper.make_graph(nodes, "loop", sizes[:1], sizes[1:])
    path = tmp_path / "loop.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)]), path)
    with pytest.raises(OperatorError) as caught:
        blobsmith.build(path, output=tmp_path / "loop.blob")
    assert str(MOST_NODES + 1) in caught.value.what
    assert "fewer iterations" in caught.value.remedy
    assert not (tmp_path / "loop.blob").exists()
