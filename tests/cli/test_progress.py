"""What a person sees while a command runs, and what nobody sees in a pipe or a file."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from blobsmith.cli.progress import BUILD_STEPS, ProgressLine

MODULE = """
import time
import torch


class Slow(torch.nn.Module):
    def __init__(self):
        super().__init__()
        time.sleep(1.2)

    def forward(self, image):
        return image / 2
"""
BUILD = ("build", "slow.py:Slow", "--input", "image=1x3x16x16", "-o", "slow.blob", "--no-cache")
COLOUR = re.compile(r"\x1b\[[\d;]*3[0-7]")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def _wait_for(stream: io.StringIO, text: str) -> None:
    for _ in range(200):
        if text in stream.getvalue():
            return
        time.sleep(0.05)
    raise AssertionError(stream.getvalue())


def test_the_line_names_the_step_and_goes_away() -> None:
    stream = Terminal()
    line = ProgressLine(stream, BUILD_STEPS, after=0)
    line.step("export")
    _wait_for(stream, "export")
    line.step("compile")
    _wait_for(stream, "compile")
    first, last = (re.findall(r"(█*)░+  " + name, stream.getvalue())[-1]
                   for name in ("export", "compile"))  # fmt: skip
    assert len(first) < len(last)
    line.close()
    assert stream.getvalue().endswith("\r\x1b[K")
    assert not COLOUR.search(stream.getvalue())


def test_what_is_quick_shows_nothing() -> None:
    stream = Terminal()
    line = ProgressLine(stream, after=60)
    line.step("compile")
    time.sleep(0.3)
    line.close()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("term", ["", "dumb"])
def test_nobody_watches(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term or "xterm")
    stream: io.StringIO = Terminal() if term else io.StringIO()
    line = ProgressLine(stream, after=0)
    line.step("compile")
    time.sleep(0.3)
    line.close()
    assert stream.getvalue() == ""


@pytest.fixture
def desk(tmp_path: Path, toolchain: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a slow module, and a cache of its own."""
    monkeypatch.setenv("BLOBSMITH_TOOLCHAIN", str(toolchain))
    monkeypatch.setenv("BLOBSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TERM", "xterm")
    (tmp_path / "slow.py").write_text(MODULE)
    return tmp_path


def _in_a_terminal(folder: Path, *arguments: str, **extra: str) -> tuple[str, str]:
    """Runs a command whose stderr is a terminal and whose stdout is a pipe."""
    master, slave = pty.openpty()
    environment = {**os.environ, **extra}
    told: list[bytes] = []

    def listen() -> None:
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # the other side has closed
                return
            if not part:
                return
            told.append(part)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    done = subprocess.run(
        [sys.executable, "-m", "blobsmith", *arguments],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=slave, text=True, check=False,
    )  # fmt: skip
    os.close(slave)
    listener.join(10)
    assert done.returncode == 0, b"".join(told)
    return done.stdout, b"".join(told).decode()


def test_a_build_on_a_terminal(desk: Path) -> None:
    """Steps while it runs; a clean object where the result goes; no colour against NO_COLOR."""
    out, told = _in_a_terminal(desk, *BUILD, "--json", NO_COLOR="1")
    data = json.loads(out)
    assert out.count("\n") == 1
    names = [step["name"] for step in data["steps"]]
    assert names[0] == "export"
    assert {"reference", "simplify", "compile", "verify"} <= set(names)
    assert all(step["seconds"] >= 0 and step["summary"] for step in data["steps"])
    assert "export" in told
    assert not COLOUR.search(told)
    assert told.rstrip().rsplit("\r", 1)[-1].startswith("\x1b[K")


def test_a_build_in_a_pipe_says_only_its_result(desk: Path) -> None:
    with (desk / "log").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-m", "blobsmith", *BUILD],
            cwd=desk, stdout=log, stderr=subprocess.PIPE, text=True,
            check=False,
        )  # fmt: skip
    text = (desk / "log").read_text()
    assert done.returncode == 0
    assert done.stderr == ""
    assert "\x1b" not in text
    for name in ("export", "simplify", "compile", "verify"):
        assert re.search(rf"^ ?{name} +\d+\.\d\d s  ", text, re.MULTILINE)
