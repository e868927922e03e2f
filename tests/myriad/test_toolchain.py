"""The toolchain is checked before every use and installed atomically."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from blobsmith.errors import EnvironmentFault, ToolchainError
from blobsmith.myriad import release, toolchain


@pytest.fixture
def copy(toolchain: Path, tmp_path: Path) -> Path:
    """A private copy of the installed toolchain."""
    target = tmp_path / "copy"
    shutil.copytree(toolchain, target)
    target.chmod(0o700)
    return target


def test_the_installed_one_is_sound(toolchain: Path) -> None:
    from blobsmith.myriad.toolchain import status

    found = status(toolchain)
    assert found.installed
    assert found.problem == ""
    assert 30e6 < found.size < 40e6


@pytest.mark.parametrize("name", list(release.LIBRARIES))
def test_one_flipped_bit_is_found(copy: Path, name: str) -> None:
    with (copy / name).open("r+b") as file:
        file.seek(100_000)
        byte = file.read(1)[0]
        file.seek(100_000)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(ToolchainError, match=name) as caught:
        toolchain.require(copy)
    assert "install --force" in caught.value.remedy


def test_a_missing_library_is_found(copy: Path) -> None:
    (copy / "libtbb.so.2").unlink()
    with pytest.raises(ToolchainError, match="missing"):
        toolchain.require(copy)


def test_changed_plugins_are_found(copy: Path) -> None:
    (copy / "plugins.xml").write_text("<ie/>")
    with pytest.raises(ToolchainError, match=r"plugins\.xml"):
        toolchain.require(copy)


def test_a_directory_that_others_can_write_is_refused(copy: Path) -> None:
    copy.chmod(0o777)
    with pytest.raises(ToolchainError, match="writable by others"):
        toolchain.require(copy)


def test_nothing_installed(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="not installed") as caught:
        toolchain.require(tmp_path / "nowhere")
    assert "toolchain install" in caught.value.remedy
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("system", "machine"), [("Windows", "AMD64"), ("Darwin", "arm64"), ("Linux", "aarch64")]
)
def test_other_platforms_are_told_what_works(system: str, machine: str) -> None:
    with pytest.raises(ToolchainError, match=system) as caught:
        toolchain.check_platform(system, machine)
    assert "emulator" in caught.value.remedy


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "onnxruntime_openvino-1.12.0-cp39.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in release.LIBRARIES:
            archive.writestr(f"onnxruntime/capi/{name}", b"not it")
    with pytest.raises(ToolchainError, match="expected hash"):
        toolchain.install(wheel=wheel, directory=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == [wheel.name]


def test_a_wheel_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="cannot be read"):
        toolchain.install(wheel=tmp_path / "none.whl", directory=tmp_path / "new")


def test_no_network_gives_a_message_with_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ToolchainError, match="could not be downloaded") as caught:
        toolchain.install(directory=tmp_path / "new")
    assert "--wheel" in caught.value.remedy
    assert not (tmp_path / "new").exists()


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        toolchain.install(directory=tmp_path / "file" / "new")


def test_neither_pip_nor_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ToolchainError, match="neither pip nor uv"):
        toolchain.install(directory=tmp_path / "new")


def test_install_and_remove(tmp_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake_download(_: Path, target: Path) -> None:
        for name in release.LIBRARIES:
            shutil.copyfile(copy / name, target / name)

    monkeypatch.setattr(toolchain, "_download", fake_download)
    target = tmp_path / "fresh"
    assert toolchain.install(directory=target).problem == ""
    (target / "libtbb.so.2").write_bytes(b"broken")
    assert toolchain.status(target).problem
    assert toolchain.install(directory=target).problem == ""
    assert toolchain.remove(target)
    assert not toolchain.remove(target)
