"""`blobsmith check` as issue and documentation promise it, from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from blobsmith.blob import Blob
from blobsmith.emulator import Emulator
from tests import graphs

MODULE = """
import kornia
import torch
from kornia.filters import gaussian_blur2d, spatial_gradient
from torch import nn

class Harris(nn.Module):
    def forward(self, image):
        gradients = spatial_gradient(image)
        dx, dy = gradients[:, :, 0], gradients[:, :, 1]
        ixx = gaussian_blur2d(dx * dx, (7, 7), (1.0, 1.0))
        iyy = gaussian_blur2d(dy * dy, (7, 7), (1.0, 1.0))
        ixy = gaussian_blur2d(dx * dy, (7, 7), (1.0, 1.0))
        determinant = ixx * iyy - ixy * ixy
        trace = ixx + iyy
        return determinant - 0.04 * trace * trace

class Kornia(nn.Module):
    def forward(self, image):
        return kornia.feature.harris_response(image)

class Cosine(nn.Module):
    def forward(self, a, b):
        product = torch.sum(a * b, dim=1, keepdim=True)
        lengths = torch.sum(a * a, dim=1, keepdim=True) * torch.sum(b * b, dim=1, keepdim=True)
        return product / torch.sqrt(lengths)

class Halve(nn.Module):
    def forward(self, image):
        return image / 2

class Unknown(nn.Module):
    def forward(self, image):
        return torch.linalg.svd(image[0, 0])[1]

class Inverse(nn.Module):
    def forward(self, image):
        return 1 / (image + 1e-8)

class Recurrent(nn.GRU):
    def __init__(self):
        super().__init__(128, 8)
    def forward(self, image):
        return super().forward(image[0])[0]

class Roots(nn.Module):
    def forward(self, image):
        return torch.sqrt(image - 128)
"""
GREY = "image=1x1x96x128"
VECTORS = ("--input", "a=1x256:fp16:-10..10", "--input", "b=1x256:fp16:-10..10")


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """Its one JSON object."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture
def call(
    tmp_path: Path, toolchain: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Done]:  # fmt: skip
    """Runs `blobsmith ARGUMENTS` inside this process, in a folder with the functions above."""
    from blobsmith.cli.app import run

    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLOBSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BLOBSMITH_TOOLCHAIN", str(toolchain))

    def called(*arguments: str) -> Done:
        code = run(list(arguments))
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return called


def photograph(shape: tuple[int, int]) -> np.ndarray:
    from skimage import data

    return cv2.resize(data.camera(), shape[::-1], interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("name", ["blur", "edge", "concat"])
def test_the_zoo_is_proven_safe_for_every_input(name: str, call: Callable[..., Done]) -> None:
    """The compiled stages are among the tensors, so they are proven too."""
    done = call("check", name, "--json")
    assert done.code == 0
    assert done.data["verdict"] == "safe"
    assert done.data["proven"]
    assert {t["verdict"] for t in done.data["tensors"]} == {"safe for every input"}
    assert any(e["run"] == "blob" for e in done.data["errors"])
    assert call("check", name).out.splitlines()[0].startswith("safe: no value can leave")


def test_harris_on_0_to_255_is_broken_at_its_tensor_and_line(call: Callable[..., Done]) -> None:
    told = call("check", "mine.py:Harris", "--input", GREY)
    assert told.code == 4
    line = next(n for n, text in enumerate(MODULE.splitlines(), 1) if "determinant =" in text)
    where = f"mine.py:{line}  determinant = ixx * iyy - ixy * ixy"
    assert told.out.startswith("broken: 3 tensors leave FP16's range, the first at " + where)
    first = told.out.split("\n\n")[1].splitlines()
    assert first[0] == where
    assert first[1].startswith("  Mul ")
    assert "overflows on what was seen" in first[1]
    assert "seen 0 .. " in first[2]
    assert "divide the image by 255 first" in first[3]

    found = call("check", "mine.py:Harris", "--input", GREY, "--json")
    assert found.code == 4
    assert not found.data["ok"]
    assert found.data["error"]["code"] == "check"
    assert found.data["verdict"] == "broken", "the report stands beside the error"
    worst = found.data["tensors"][0]
    assert worst["line"] == where
    assert worst["seen"][1] > 65520


def corners(response: np.ndarray) -> set[tuple[int, int]]:
    """Local maxima of at least a hundredth of the largest response."""
    plane = response.reshape(response.shape[-2:]).astype(np.float64)
    around = cv2.dilate(plane, np.ones((3, 3), np.uint8))
    return set(map(tuple, np.argwhere((plane == around) & (plane > 0.01 * plane.max()))))


@pytest.mark.parametrize("name", ["Harris", "Kornia"])
def test_a_fixed_harris_finds_the_same_corners(
    name: str, call: Callable[..., Done], tmp_path: Path
) -> None:
    """Within 1 % of the range on a photograph, whichever road it takes; the factor is recorded."""
    import kornia

    fixed = call("check", f"mine.py:{name}", "--input", GREY, "--fix", "fixed.onnx", "--json")
    assert fixed.code == 0
    assert fixed.data["repair"]["accepted"]
    assert call("build", "fixed.onnx", "-o", "one.blob", "--no-optimize").code == 0
    built = call("build", f"mine.py:{name}", "--input", GREY, "--fix-fp16", "-o", "two.blob")
    assert built.code == 0
    image = photograph((96, 128))
    import torch

    wanted = kornia.feature.harris_response(torch.from_numpy(image)[None, None].float()).numpy()
    for path in (tmp_path / "one.blob", tmp_path / "two.blob"):
        manifest = json.loads(path.with_name(path.name + ".json").read_text())
        factor = manifest["outputs"][0]["decoding"]["factor"]
        assert factor < 1
        assert np.log2(factor) == round(np.log2(factor))
        result = Emulator(Blob.open(path)).run({"image": image[None, None]})
        got = result["output"].astype(np.float32) / factor
        assert np.isfinite(got).all()
        assert np.abs(got - wanted).max() <= 0.01 * (wanted.max() - wanted.min())
        assert len(corners(wanted)) > 40
        assert corners(got) == corners(wanted)


def test_a_fixed_cosine_agrees(call: Callable[..., Done], tmp_path: Path) -> None:
    """Within 0.2 % of FP32, on vectors of all lengths in the declared range."""
    told = call("check", "mine.py:Cosine", *VECTORS, "--json")
    assert told.code == 4
    assert told.data["verdict"] == "broken"
    assert "lengths = torch.sum(a * a" in told.data["tensors"][0]["line"]
    assert call("check", "mine.py:Cosine", *VECTORS, "--fix", "fixed.onnx").code == 0
    assert call("check", "fixed.onnx", *VECTORS).code == 0
    assert call("build", "fixed.onnx", *VECTORS, "--no-optimize", "-o", "c.blob").code == 0
    assert json.loads((tmp_path / "c.blob.json").read_text())["outputs"][0]["decoding"][
        "factor"
    ] == 1.0, "a cosine fits"  # fmt: skip
    emulator = Emulator(Blob.open(tmp_path / "c.blob"))
    rng = np.random.default_rng(5)
    for scale in (10.0, 3.0, 1.0):
        a = (rng.uniform(-1, 1, (1, 256)) * scale).astype(np.float16)
        b = (a + rng.uniform(-1, 1, (1, 256)) * scale / 2).clip(-10, 10).astype(np.float16)
        x, y = a.astype(np.float64), b.astype(np.float64)
        wanted = float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))
        assert emulator.run({"a": a, "b": b})["output"].item() == pytest.approx(wanted, rel=2e-3)


def test_what_cannot_be_repaired_stays_broken(call: Callable[..., Done], tmp_path: Path) -> None:
    """1 / (x + 1e-8) is 1e8 on black: no scale holds that beside 1 / 255."""
    done = call("check", "mine.py:Inverse", "--input", GREY, "--fix", "fixed.onnx", "--json")
    assert done.code == 4
    assert "not repaired" in done.data["error"]["what"]
    assert not done.data["repair"]["accepted"]
    assert not (tmp_path / "fixed.onnx").exists()
    assert "torch.clamp" in done.data["tensors"][0]["advice"]


def test_frames_of_a_folder_and_of_a_video(call: Callable[..., Done], tmp_path: Path) -> None:
    """Odd sizes, grey and transparent pictures; --limit holds."""
    folder = tmp_path / "frames"
    folder.mkdir()
    picture = cv2.cvtColor(photograph((67, 121)), cv2.COLOR_GRAY2BGR)
    cv2.imwrite(str(folder / "a.png"), picture)
    cv2.imwrite(str(folder / "b.png"), picture[:17, :5, 0])
    cv2.imwrite(str(folder / "c.png"), np.dstack([picture, picture[..., :1]]))
    video = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (121, 67))
    for _ in range(6):
        video.write(picture)
    video.release()
    for source, count in (("frames", 3), ("v.avi", 4)):
        done = call("check", "mine.py:Halve", "--input", "image=1x3x31x45", "--frames", source,
                    "--limit", "4", "--json")  # fmt: skip
        assert done.code == 0
        own = [f for f in done.data["frames"] if f.startswith("frame ")]
        assert own == [f"frame {i}" for i in range(count)]
    missing = call("check", "mine.py:Halve", "--input", GREY, "--frames", "nothing", "--json")
    assert (missing.code, missing.data["error"]["code"]) == (1, "frames")


def test_frames_have_a_bar_on_a_terminal(call: Callable[..., Done], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), photograph((16, 16)))
    onnx.save(graphs.one("Relu"), tmp_path / "relu.onnx")
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "blobsmith", "check", "relu.onnx", "--frames", "a.png"],
        stdout=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "TERM": "xterm"},
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            seen += part
        os.close(ours)
    assert b"0/1" in seen
    assert b"1/1" in seen
    assert process.returncode == 0


def test_what_has_no_onnx_is_said_in_a_sentence(call: Callable[..., Done]) -> None:
    done = call("check", "mine.py:Unknown", "--input", "image=1x1x8x8", "--json")
    assert done.code == 1
    assert done.data["error"]["code"] == "source"
    assert "svd" in done.data["error"]["what"]


def test_a_refusal_closes_with_its_own_remedy(call: Callable[..., Done]) -> None:
    done = call("check", "mine.py:Recurrent", "--input", GREY)
    assert done.code == 4
    assert "return super().forward(image[0])[0]" in done.err
    assert "remedy: write that step with other operators than GRUSequence" in done.err
    assert "--fix" not in done.err


def test_a_broken_verdict_closes_with_what_build_does(call: Callable[..., Done]) -> None:
    done = call("check", "mine.py:Cosine", *VECTORS)
    assert done.code == 4
    assert "remedy: `blobsmith build` re" in done.err


def test_not_a_number_in_fp32_too(call: Callable[..., Done]) -> None:
    done = call("check", "mine.py:Roots", "--input", GREY, "--json")
    assert done.code == 0
    assert done.data["verdict"] == "at risk"
    assert "FP32 too" in done.data["tensors"][0]["advice"]


@pytest.mark.parametrize(
    "text", ["a=256:fp16:1", "a=256:fp16:3..1", "a=256:fp16:0..inf", "a=256:u8:0..1"]
)
def test_ranges_are_read_with_care(text: str, call: Callable[..., Done]) -> None:
    done = call("check", "mine.py:Cosine", "--input", text, "--json")
    assert (done.code, done.data["error"]["code"]) == (2, "usage")
