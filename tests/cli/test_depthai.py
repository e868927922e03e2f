"""`blobsmith run` through DepthAI, from the command line, with no camera attached."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from blobsmith.packaging.archive import make_archive
from blobsmith.packaging.manifest import manifest_path
from blobsmith.packaging.superblob import make_superblob

from ..packaging.test_archive import changed, rename_input
from ..zoo_blobs import blobs, entry, manifest

Call = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Call:
    """Runs `blobsmith run ARGUMENTS --json`; gives its code, its one object and its stderr."""
    from blobsmith.cli.app import run

    monkeypatch.chdir(tmp_path)

    def called(*arguments: str) -> tuple[int, dict[str, Any], str]:
        code = run(["run", *arguments, "--json"])
        told = capfd.readouterr()
        assert len(told.out.splitlines()) == 1
        return code, json.loads(told.out), told.err

    return called


def write(path: Path, name: str, *, known: bool = True) -> str:
    path.write_bytes(blobs(name)[6])
    if known:
        manifest_path(path).write_bytes(manifest(name, blobs(name)[6], "blob").to_bytes())
    return path.name


def test_no_camera_exits_5(call: Call, tmp_path: Path) -> None:
    code, data, _ = call(write(tmp_path / "blur.blob", "blur"), "--on", "oak")
    assert code == 5
    assert data["error"]["what"] == "no OAK camera is attached"
    assert "--on depthai-host" in data["error"]["remedy"]


@pytest.mark.parametrize("name", ["blur", "diff", "concat"])
def test_without_a_camera(name: str, call: Call, tmp_path: Path) -> None:
    file = write(tmp_path / "x.blob", name)
    code, data, _ = call(file, "--on", "depthai-host", "--limit", "2", "-o", "out")
    assert (code, data["frames"], len(data["paths"])) == (0, 2, 2)


def test_outputs_only(call: Call, tmp_path: Path) -> None:
    file = write(tmp_path / "blur.blob", "blur")
    for on in ("emulator", "depthai-host"):
        call(file, "--on", on, "--limit", "1", "-o", on, "--outputs-only")
        picture = cv2.imread(str(tmp_path / on / "00000.png"))
        assert picture is not None
        assert picture.shape == (*entry("blur").outputs[0].shape[2:], 3)


def test_what_is_unknown_without_a_manifest_is_said(call: Call, tmp_path: Path) -> None:
    file = write(tmp_path / "bare.blob", "blur", known=False)
    for on in ("emulator", "depthai-host"):
        _, data, _ = call(file, "--on", on, "--limit", "1")
        assert any("no manifest" in text for text in data["warnings"])


@pytest.mark.parametrize("on", ["emulator", "depthai-host", "oak"])
def test_packages_that_contradict_themselves(on: str, call: Call, tmp_path: Path) -> None:
    """Refused before a camera is looked for."""
    parts = {"inputs": entry("concat").inputs, "outputs": entry("concat").outputs}
    archive = changed(make_archive(blobs("concat")[6], name="concat", **parts), rename_input)
    (tmp_path / "other.tar.xz").write_bytes(archive)
    code, data, _ = call("other.tar.xz", "--on", on)
    assert (code, data["error"]["code"]) == (1, "package")
    assert "names an input 'picture'" in data["error"]["what"]

    header = struct.Struct(">17q")
    whole = make_superblob(blobs("concat"))
    base, *sizes = header.unpack_from(whole)
    start = header.size + base
    holed = header.pack(base, 0, *sizes[1:]) + whole[header.size : start]
    (tmp_path / "holed.superblob").write_bytes(holed + whole[start + sizes[0] :])
    code, data, _ = call("holed.superblob", "--on", on)
    assert code == 1
    assert "no patch for 1 shaves" in data["error"]["what"]
    assert "--format superblob" in data["error"]["remedy"]
