"""`blobsmith serve` as a process: it tells where it listens, and ends without a trace."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from blobsmith.cli.app import run
from tests import graphs

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, toolchain: Path) -> Iterator[Start]:
    """Starts the command with a folder of its own for temporary files."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "tmp").mkdir()

    def start_(*arguments: str, **extra: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "blobsmith", "serve", "--port", "0", *arguments],
            env={**os.environ, "TMPDIR": str(tmp_path / "tmp"),
                 "BLOBSMITH_TOOLCHAIN": str(toolchain), **extra},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start_
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    told: dict[str, Any] = json.loads(process.stdout.readline())
    return told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_one_object_serves_and_ends_without_a_trace(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    process = start("--json")
    told = _ready(process)
    assert told["ok"]
    data = graphs.one("Relu").SerializeToString()
    with httpx.Client(base_url=told["url"], timeout=120, trust_env=False) as client:
        answer = client.post("/api/v1/build", files={"model": ("m.onnx", data)})
        assert answer.status_code == 200
        assert list((tmp_path / "tmp").iterdir()) != [], "a result is kept"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_person_reads_where_it_is(start: Start) -> None:
    process = start()
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    assert "blobconverter.set_defaults(url=" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


def test_other_machines_are_warned_of(start: Start) -> None:
    process = start("--host", "0.0.0.0", "--json")
    told = _ready(process)
    assert "no authentication" in told["warnings"][0]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    guarded = start("--host", "0.0.0.0", BLOBSMITH_SERVE_TOKEN="s3cret")
    assert guarded.stdout is not None
    guarded.stdout.readline()
    guarded.send_signal(signal.SIGINT)
    out, err = guarded.communicate(timeout=60)
    assert "no authentication" not in err
    assert "nothing is encrypted" in err
    assert "s3cret" not in out + err


@pytest.fixture
def refused(toolchain: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """What the command says where it does not begin to listen, and its exit code."""

    def call(*arguments: str) -> dict[str, Any]:
        code = run(["serve", "--port", "0", *arguments, "--json"])
        return {"exit": code, **json.loads(capsys.readouterr().out)["error"]}

    return call


def test_a_port_in_use(refused: Callable[..., dict[str, Any]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = refused("--port", str(port))
    assert error["exit"] == 5
    assert str(port) in error["where"]
    assert "--port" in error["remedy"]


def test_no_compiler(
    refused: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BLOBSMITH_TOOLCHAIN", str(tmp_path / "nowhere"))
    error = refused()
    assert error["exit"] == 3
    assert "toolchain install" in error["remedy"]


@pytest.mark.parametrize("lacking", ["fastapi", "uvicorn", "python_multipart", "yaml"])
def test_without_the_extra(
    refused: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    from importlib import util

    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda n, *a: None if n == lacking else found(n, *a))
    error = refused()
    assert error["exit"] == 5
    assert error["remedy"] == "pip install 'blobsmith[server]'"


@pytest.mark.parametrize(
    "arguments", [("--jobs", "0"), ("--timeout", "0"), ("--max-upload", "0"), ("--port", "99999")]
)
def test_limits_that_make_no_sense(
    refused: Callable[..., dict[str, Any]], arguments: tuple[str, ...]
) -> None:
    assert refused(*arguments)["exit"] == 2


def test_help_loads_no_server() -> None:
    code = (
        "import sys; from blobsmith.cli.app import run; run(['serve', '--help'])\n"
        "print([m for m in ('fastapi', 'uvicorn', 'starlette', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_strangers_names_do_not_reach_the_terminal_raw(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from blobsmith.cli.session import Session

    Session(as_json=False).fault("no \x1b[2J\u202e name\nin two lines")
    assert capsys.readouterr().err == "no ?[2J? name\nin two lines\n"
