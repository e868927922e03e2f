"""The tutorial's recipe through the stand-in, with nothing changed but the import."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import kornia
import numpy as np
import onnx
import onnxsim
import pytest
import torch

import blobsmith
from blobsmith.compat import blobconverter
from blobsmith.errors import BlobsmithError, ModelError, UsageError
from blobsmith.packaging.manifest import Manifest

VENDOR_CONCAT = "6ac3023ea8dac9b7501ead0f9b2c2a4495d2791a58b7049de065246455cf87be"


class ConcatFrames(torch.nn.Module):
    """As in the tutorial."""

    def forward(self, img1: torch.Tensor, img2: torch.Tensor, img3: torch.Tensor) -> torch.Tensor:
        return torch.cat((img1, img2, img3), 3)


class Blur(torch.nn.Module):
    """As in the tutorial."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return kornia.filters.gaussian_blur2d(image, (9, 9), (2.5, 2.5))


class Edge(torch.nn.Module):
    """As in the tutorial."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return kornia.filters.laplacian(image, 3)


@pytest.fixture(autouse=True)
def restored_defaults() -> Iterator[None]:
    """Every test starts with blobconverter's own defaults."""
    before = blobconverter._state["defaults"]
    yield
    blobconverter._state["defaults"] = before


def simplified(tmp_path: Path, module: torch.nn.Module, names: list[str], size: int) -> Path:
    """Export and onnxsim, as the tutorial does them."""
    path = tmp_path / "model_simplified.onnx"
    example = tuple(torch.rand(1, 3, size, size) for _ in names)
    torch.onnx.export(
        module, example, str(path), opset_version=12, do_constant_folding=True, dynamo=False,
        input_names=names, output_names=["output"],
    )  # fmt: skip
    small, same = onnxsim.simplify(onnx.load(path))
    assert same
    onnx.save(small, path)
    return path


def recipe(path: Path, folder: Path) -> Path:
    """The tutorial's last step."""
    return blobconverter.from_onnx(
        model=str(path),
        data_type="FP16",
        shaves=6,
        use_cache=False,
        output_dir=folder,
        optimizer_params=[],
    )


def test_concat_is_the_published_blob(tmp_path: Path) -> None:
    path = simplified(tmp_path, ConcatFrames(), ["img1", "img2", "img3"], 300)
    out = recipe(path, tmp_path / "models")
    assert out == tmp_path / "models" / "model_simplified_openvino_2022.1_6shave.blob"
    assert hashlib.sha256(out.read_bytes()).hexdigest() == VENDOR_CONCAT


@pytest.mark.parametrize("module", [Blur(), Edge()])
def test_blur_and_edge(tmp_path: Path, module: torch.nn.Module) -> None:
    out = recipe(simplified(tmp_path, module, ["input"], 96), tmp_path)
    frame = np.random.default_rng(0).integers(0, 256, (1, 3, 96, 96), dtype=np.uint8)
    got = blobsmith.Emulator(blobsmith.Blob.open(out)).run({"input": frame})["output"]
    with torch.no_grad():
        expected = module(torch.from_numpy(frame).float()).numpy()
    assert float(np.abs(got.astype(np.float32) - expected).max()) < 0.13


def test_the_dangerous_defaults_are_kept_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = simplified(tmp_path, Edge(), ["input"], 32)
    out = blobconverter.from_onnx(path, output_dir=tmp_path)
    assert "127.5" in capsys.readouterr().err
    assert out.name.endswith("_4shave.blob")
    manifest = Manifest.for_file(out)
    assert manifest is not None
    assert manifest.inputs[0].mean == (127.5, 127.5, 127.5)
    assert manifest.inputs[0].scale == (255.0, 255.0, 255.0)
    blobconverter.set_defaults(silent=True)
    blobconverter.from_onnx(path, output_dir=tmp_path)
    assert capsys.readouterr().err == ""


def test_set_defaults(tmp_path: Path) -> None:
    path = simplified(tmp_path, Edge(), ["input"], 32)
    blobconverter.set_defaults(shaves=7, output_dir=tmp_path / "deep" / "er", optimizer_params=[])
    out = blobconverter.from_onnx(model=path)
    assert out.parent == tmp_path / "deep" / "er"
    assert blobsmith.Blob.open(out).shaves == 7


def test_optimizer_parameters(tmp_path: Path) -> None:
    path = simplified(tmp_path, Edge(), ["input"], 32)
    out = blobconverter.from_onnx(
        path, output_dir=tmp_path, compile_params=["-ip FP16", "-op FP32"],
        optimizer_params=["--reverse_input_channels", "--input_shape=[1,3,32,32]"],
    )  # fmt: skip
    blob = blobsmith.Blob.open(out)
    assert (blob.input_specs[0].dtype, blob.output_specs[0].dtype) == ("fp16", "fp32")
    manifest = Manifest.for_file(out)
    assert manifest is not None
    assert manifest.inputs[0].color == "rgb"


def test_another_model_of_the_same_name_is_built_anew(tmp_path: Path) -> None:
    """The original reuses any blob with the same name, version and shaves."""
    first = recipe(simplified(tmp_path, Edge(), ["input"], 32), tmp_path).read_bytes()
    second = recipe(simplified(tmp_path, Blur(), ["input"], 32), tmp_path).read_bytes()
    assert first != second


@pytest.mark.parametrize(
    "changes",
    [
        {"nonsense": 1},
        {"data_type": "FP32"},
        {"version": "2021.4"},
        {"download_ir": True},
        {"dry": True},
        {"optimizer_params": ["--transform=x"]},
        {"compile_params": ["-x"]},
    ],
)
def test_what_is_not_supported_is_an_error(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"")
    with pytest.raises(UsageError):
        blobconverter.from_onnx(path, output_dir=tmp_path, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"model_size": 3}, {"model_sha256": "00"}])
def test_size_and_hash_are_checked(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"abcdef")
    with pytest.raises(ModelError):
        blobconverter.from_onnx(path, output_dir=tmp_path, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["from_caffe", "from_tf", "from_zoo", "from_openvino"])
def test_other_sources_tell_the_way(name: str) -> None:
    with pytest.raises(BlobsmithError) as caught:
        getattr(blobconverter, name)("x", shaves=6)
    assert "ONNX" in caught.value.remedy
