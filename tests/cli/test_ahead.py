"""A worker starts ahead where it will be needed, and only there; plain options need no model."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from blobsmith import cache
from blobsmith.cli import ahead


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would have been started."""
    found: list[str] = []

    class Executor:
        def start(self, prepare: str) -> None:
            found.append(prepare)

    monkeypatch.setattr("blobsmith.workers.default_executor", Executor)
    monkeypatch.setattr(sys, "platform", "linux")
    return found


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("BLOBSMITH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "m.onnx").write_bytes(b"a model")
    return str(tmp_path / "m.onnx")


def test_a_build_starts_one_and_loads_the_checks_it_will_make(
    started: list[str], model: str
) -> None:
    ahead.start_worker(["build", model])
    ahead.start_worker(["build", model, "--no-verify"])
    ahead.start_worker(["build", "x.py:Y", "-o", "y.blob"])
    ahead.start_worker(["build", "x.py:Y", "--no-verify"])
    ahead.start_worker(["verify", "y.blob", "x.py:Y"])
    assert [name.partition(":")[2] for name in started] == [
        "preload_checks", "preload", "rehearse", "preload", "preload_checks",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "arguments", [[], ["zoo"], ["--help"], ["build", "--help"], ["build", "none.onnx"]]
)
def test_what_needs_none_starts_none(started: list[str], arguments: list[str]) -> None:
    ahead.start_worker(arguments)
    assert not started


def test_a_kept_build_of_the_same_bytes_needs_none(started: list[str], model: str) -> None:
    digest = hashlib.sha256(b"a model").hexdigest()
    (cache.directory() / cache.key(digest, {}, "t")).mkdir(parents=True)
    ahead.start_worker(["build", model])
    assert not started
    ahead.start_worker(["build", model, "--no-cache"])
    Path(model).write_bytes(b"another")
    ahead.start_worker(["build", model])
    assert len(started) == 2


def test_a_rehearsal_loads_what_a_build_takes() -> None:
    """A worker keeps what goes wrong in it to itself, so it runs here without one."""
    code = (
        "import sys; from blobsmith import road; road.rehearse(); "
        "assert {'onnxsim', 'onnxruntime', 'blobsmith.verify'} <= set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_many_modules_is_not_held_up_by_the_garbage_collector() -> None:
    code = "import gc; from blobsmith.cli import main; main(['zoo'])"
    ended = f"import atexit, gc; atexit.register(lambda: print(gc.get_threshold()[0])); {code}"
    done = subprocess.run([sys.executable, "-c", ended], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) >= 10_000


@pytest.mark.parametrize("source", ["zoo", "cache info"])
def test_plain_options_load_no_models(source: str, tmp_path: Path) -> None:
    code = (
        "import sys; from blobsmith.cli.app import run; "
        f"code = run({source.split()!r}); "
        "assert code == 0, code; assert 'pydantic' not in sys.modules; "
        "assert 'rich' not in sys.modules; assert 'onnx' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={"BLOBSMITH_CACHE": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_options_mean_what_typer_says_they_mean() -> None:
    """Each option read here gives what Typer's own way gives."""
    import typer.main
    from typer.core import TyperCommand

    from blobsmith.cli.app import app

    build: Any = typer.main.get_command(app).commands["build"]  # type: ignore[attr-defined]
    arguments = ["m.onnx", "-o", "a.blob", "--opset", "13", "--input", "a=1x3", "--input", "b=4",
                 "--no-verify", "--slices", "3"]  # fmt: skip
    plain = build.make_context("build", list(arguments)).params
    for option in build.params:
        vars(option).pop("process_value", None)
    usual = TyperCommand.make_context(build, "build", list(arguments)).params
    assert plain == usual
    assert isinstance(plain["output"], Path)
