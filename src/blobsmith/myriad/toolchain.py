"""The compiler's libraries on this machine: download, verify, unpack, remove.

They are downloaded by the user's own pip (or uv), with the user's index and proxy, checked by
hash, and unpacked into the user's cache directory; nothing of them is part of this package.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import EnvironmentFault, ToolchainError
from ..paths import cache_root
from . import release

_INSTALL = "run `blobsmith toolchain install`"
_PIP_TARGET = [
    "--python-version", "3.9", "--implementation", "cp", "--abi", "cp39",
    "--platform", "manylinux2014_x86_64",
]  # fmt: skip
_UV_TARGET = ["--python-version", "3.9", "--python-platform", "x86_64-manylinux_2_17"]


@dataclass(frozen=True)
class ToolchainStatus:
    """What is known of the compiler on this machine.

    Attributes:
        directory: where it is, or would be.
        installed: the directory is there.
        problem: what is wrong with it; empty if nothing is.
        identity: the exact compiler this version of blobsmith uses.
        size: bytes on disk.
    """

    directory: Path
    installed: bool
    problem: str
    identity: str = release.IDENTITY
    size: int = 0


def toolchain_directory() -> Path:
    """Where the compiler is unpacked; BLOBSMITH_TOOLCHAIN overrides it."""
    given = os.environ.get("BLOBSMITH_TOOLCHAIN")
    return Path(given) if given else cache_root() / "toolchain" / release.IDENTITY


def check_platform(system: str | None = None, machine: str | None = None) -> None:
    """Refuses platforms for which no build of the compiler exists.

    Raises:
        ToolchainError: this is not Linux on x86-64.
    """
    system = system or platform.system()
    machine = machine or platform.machine()
    if system != "Linux" or machine not in ("x86_64", "AMD64"):
        raise ToolchainError(
            f"the MyriadX compiler exists for Linux on x86-64 only, this is {system} on {machine}",
            remedy="here the emulator, `inspect`, `run`, `check` and `verify` work on blobs built "
            "elsewhere; build on Linux x86-64 (WSL 2 on Windows, or a container)",
        )


def status(directory: Path | None = None) -> ToolchainStatus:
    """Examines the installed compiler, hashing every file."""
    directory = directory or toolchain_directory()
    if not directory.is_dir():
        return ToolchainStatus(directory, False, "not installed")
    size = sum(f.stat().st_size for f in directory.iterdir() if f.is_file())
    return ToolchainStatus(directory, True, _problem(directory), size=size)


def find() -> Path:
    """The compiler's directory, whose content is not looked at: `require` does that.

    Raises:
        ToolchainError: there is no compiler for this platform, or none is installed.
    """
    check_platform()
    directory = toolchain_directory()
    if not directory.is_dir():
        raise _not_installed(directory)
    return directory


def _not_installed(directory: Path) -> ToolchainError:
    return ToolchainError(
        "the MyriadX compiler is not installed", where=str(directory), remedy=_INSTALL
    )


def require(directory: Path | None = None) -> Path:
    """The compiler's directory, after checking platform, owner, permissions and every hash.

    Raises:
        ToolchainError: it is missing, altered, or could be altered by somebody else.
    """
    check_platform()
    found = status(directory)
    if not found.installed:
        raise _not_installed(found.directory)
    if found.problem:
        raise ToolchainError(
            f"the MyriadX compiler is damaged: {found.problem}",
            where=str(found.directory),
            remedy="run `blobsmith toolchain install --force`",
        )
    return found.directory


def _problem(directory: Path) -> str:
    info = directory.stat()
    if info.st_uid not in (os.getuid(), 0):
        return f"the directory belongs to user {info.st_uid}"
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "the directory is writable by others"
    for name, expected in release.LIBRARIES.items():
        path = directory / name
        if not path.is_file():
            return f"{name} is missing"
        if file_sha256(path) != expected:
            return f"{name} does not have the expected hash"
    plugins = directory / "plugins.xml"
    if not plugins.is_file() or plugins.read_text() != release.PLUGINS_XML:
        return "plugins.xml is missing or changed"
    return ""


def file_sha256(path: Path) -> str:
    """Hash of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def install(
    *, wheel: Path | None = None, force: bool = False, directory: Path | None = None
) -> ToolchainStatus:
    """Downloads and unpacks the compiler, unless a sound one is there.

    Args:
        wheel: a wheel file to use instead of a download, for machines without a network.
        force: replace what is there.
        directory: where to; None for `toolchain_directory`.

    Raises:
        ToolchainError: no platform build, no download, a wrong hash.
        EnvironmentFault: the directory cannot be written.
    """
    check_platform()
    target = directory or toolchain_directory()
    found = status(target)
    if found.installed and not found.problem and not force:
        return found
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".install-") as scratch:
            unpacked = Path(scratch) / "unpacked"
            unpacked.mkdir(mode=0o700)
            if wheel is not None:
                _unpack_wheel(wheel, unpacked)
            else:
                _download(Path(scratch), unpacked)
            (unpacked / "plugins.xml").write_text(release.PLUGINS_XML)
            _swap_in(unpacked, target, replace=bool(found.problem) or force)
    except OSError as error:
        raise EnvironmentFault(
            f"the compiler cannot be written: {error.strerror or error}",
            where=str(target),
            remedy="free some disk space, or set BLOBSMITH_CACHE to a directory you can write",
        ) from error
    done = status(target)
    if done.problem:
        raise ToolchainError(f"the unpacked compiler is not sound: {done.problem}")
    return done


def remove(directory: Path | None = None) -> bool:
    """Deletes the compiler; returns whether there was one."""
    target = directory or toolchain_directory()
    if not target.is_dir():
        return False
    shutil.rmtree(target)
    return True


def _swap_in(unpacked: Path, target: Path, *, replace: bool) -> None:
    if target.exists() and replace:
        old = unpacked.parent / "old"
        target.rename(old)
    try:
        unpacked.rename(target)
    except OSError:
        # Another process finished first; what it made is verified by the caller.
        if not target.is_dir():
            raise


def _unpack_wheel(wheel: Path, target: Path) -> None:
    try:
        digest = file_sha256(wheel)
    except OSError as error:
        raise ToolchainError(
            f"the wheel cannot be read: {error.strerror}",
            where=str(wheel),
            remedy="name a wheel file that exists",
        ) from error
    if digest not in release.WHEELS.values():
        raise ToolchainError(
            "the wheel does not have the expected hash",
            where=f"{wheel.name}: sha256 {digest}",
            remedy=f"use the cp39 manylinux2014_x86_64 wheel of {release.PACKAGE} "
            f"{' or '.join(release.WHEELS)}",
        )
    with zipfile.ZipFile(wheel) as archive:
        for name in release.LIBRARIES:
            (target / name).write_bytes(archive.read(f"onnxruntime/capi/{name}"))


def _download(scratch: Path, target: Path) -> None:
    version, digest = next(iter(release.WHEELS.items()))
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{release.PACKAGE}=={version} --hash=sha256:{digest}\n")
    into = scratch / "download"
    common = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(requirements)]
    pip = [sys.executable, "-m", "pip"]
    uv = shutil.which("uv")
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode == 0:
        _call([*pip, "download", "--disable-pip-version-check", *common, *_PIP_TARGET,
               "-d", str(into)])  # fmt: skip
        _unpack_wheel(next(into.glob("*.whl")), target)
    elif uv is not None:
        _call([uv, "pip", "install", *common, *_UV_TARGET, "--link-mode", "copy",
               "--target", str(into)])  # fmt: skip
        for name in release.LIBRARIES:
            shutil.copyfile(into / "onnxruntime" / "capi" / name, target / name)
    else:
        raise ToolchainError(
            "neither pip nor uv is available to download the compiler",
            remedy="install one of them, or give a wheel: `blobsmith toolchain install --wheel "
            "FILE`",
        )


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    output = (done.stderr or done.stdout).strip()
    if done.returncode:
        lines = [line for line in output.splitlines() if "ERROR" in line or "error" in line]
        raise ToolchainError(
            "the compiler could not be downloaded: " + (lines or output.splitlines() or [""])[-1],
            where=" ".join(command[:4]),
            remedy="check the network and your package index; without a network: `blobsmith "
            f"toolchain install --wheel FILE` with the cp39 wheel of {release.PACKAGE} "
            f"{next(iter(release.WHEELS))}",
        )
