"""The example scripts: short, well typed against DepthAI's own stubs, and they run."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from blobsmith.emulator import Emulator
from blobsmith.oak import v2
from blobsmith.oak.messages import tensor_message
from blobsmith.packaging.manifest import manifest_path

from ..zoo_blobs import blobs, entry, manifest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = ("concat", "blur", "edge", "corners", "diff")
SCRIPTS = [f"{folder}{name}.py" for folder in ("", "v2/") for name in NAMES]


@pytest.mark.parametrize("script", SCRIPTS)
def test_under_sixty_lines(script: str) -> None:
    assert len((EXAMPLES / script).read_text().splitlines()) < 60


def test_typed_against_depthais_stubs(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    text = (EXAMPLES / "blur.py").read_text()
    wrong.write_text(text.replace("requestOutput((width, height),", "requestOutput(width,"))
    for folder, files in (("v3", SCRIPTS[:5]), ("v2", SCRIPTS[5:])):
        paths = [str(EXAMPLES / file) for file in files]
        done = mypy(*paths)
        assert done.returncode == 0, f"{folder}: {done.stdout}"
    done = mypy(str(wrong))
    assert "requestOutput" in done.stdout
    assert done.returncode == 1


def mypy(*paths: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--scripts-are-modules", *paths]
    return subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES.parent)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures to stand in for a camera."""
    folder = tmp_path_factory.mktemp("frames")
    for index in range(3):
        picture = np.random.default_rng(index).integers(0, 256, (24, 40, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return folder


def built(name: str, folder: Path) -> str:
    path = folder / f"{name}.blob"
    path.write_bytes(blobs(name)[6])
    manifest_path(path).write_bytes(manifest(name, blobs(name)[6], "blob").to_bytes())
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_camera(
    name: str, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    script = str(EXAMPLES / f"{name}.py")
    blob = built(name, tmp_path)
    monkeypatch.setattr(sys, "argv", [script, blob, "--host", str(frames), "-o", f"{out}/"])
    runpy.run_path(script, run_name="__main__")
    # diff's script takes a first frame to compare the second with.
    assert len(list(out.iterdir())) == (2 if name == "diff" else 3)
    picture = cv2.imread(str(out / "00000.png"))
    assert picture is not None
    assert picture.shape == (24, {"concat": 120, "corners": 80}.get(name, 40), 3)
    if name == "concat":
        source = cv2.imread(str(frames / "0.png"))
        assert np.array_equal(picture, np.hstack([source] * 3))


@pytest.mark.parametrize("name", NAMES)
def test_v2_with_its_messages_scripted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graphs themselves are built by v2 in tests/v2; here the script around them runs."""
    emulator = Emulator(_blob(name))
    rng = np.random.default_rng(0)
    made = entry(name)

    def results(artifact: Any, **options: Any) -> Any:
        assert set(options.get("feeds", {})) <= {spec.name for spec in artifact.inputs}
        for _ in range(2):
            inputs = {s.name: rng.integers(0, 256, s.shape, np.uint8) for s in made.inputs}
            yield v2.Result(tensor_message(dict(emulator.run(inputs))), {})

    monkeypatch.setattr(v2, "results", results)
    script, out = str(EXAMPLES / "v2" / f"{name}.py"), tmp_path / "out"
    monkeypatch.setattr(sys, "argv", [script, built(name, tmp_path), "-o", f"{out}/"])
    runpy.run_path(script, run_name="__main__")
    assert len(list(out.iterdir())) == 2


def _blob(name: str) -> Any:
    from blobsmith.blob import Blob

    return Blob.from_bytes(blobs(name)[6])
