"""Runs the code blocks of a page: in this process, so that torch is imported once."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from blobsmith.cli.app import app
from blobsmith.cli.app import run as run_command

from .blocks import LANGUAGES, Block, as_told, blocks, commands
from .camera import scripted_camera, scripted_v2

SERVER = "http://127.0.0.1:8000"
ROOT = Path(__file__).parents[2]
STAND_INS = {"camera": scripted_camera, "v2": scripted_v2}


class PageFailed(AssertionError):
    """A block did not do what its page says."""


def run_page(page: Path) -> int:
    """Runs every block of a page in the working directory; returns how many there were.

    Raises:
        PageFailed: a block failed, or printed something else than the page says.
    """
    found = blocks(page, ROOT)
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.ExitStack() as stack:
        if any(block.marks.get("run") == "server" for block in found):
            url = stack.enter_context(running_server())
            found = [_asking(block, url) for block in found]
        for block in found:
            try:
                printed = _run(block, names)
            except PageFailed:
                raise
            except (Exception, SystemExit) as error:
                raise PageFailed(f"{block.where}: {type(error).__name__}: {error}") from error
            if block.expected is not None and not as_told(block.expected, printed):
                raise PageFailed(f"{block.where}: it printed\n{printed}\nnot\n{block.expected}")
    return len(found)


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """A server as the page's reader has started it, on a port that is free here."""
    from blobsmith.server.settings import Settings
    from tests.server.conftest import served

    with served(Settings()) as server:
        yield server.url


def _asking(block: Block, url: str) -> Block:
    """The block with the address of the server that runs here."""
    return replace(block, code=block.code.replace(SERVER, url))


def _run(block: Block, names: dict[str, Any]) -> str:
    if block.language not in LANGUAGES:
        raise PageFailed(f"{block.where}: a block of {block.language or 'no language'}")
    if block.language == "text":
        return ""
    if block.title:
        compile(block.code, block.title, "exec")
        Path(block.title).write_text(block.code, encoding="utf-8")
        return ""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        if block.language == "python":
            _python(block, names)
        else:
            for command in commands(block):
                _command(block, command, said)
    return said.getvalue()


def _python(block: Block, names: dict[str, Any]) -> None:
    code = compile(block.code, block.where, "exec")
    stand_in = STAND_INS.get(block.marks.get("run", ""), contextlib.nullcontext)
    with stand_in():
        exec(code, names)


def _command(block: Block, command: str, said: io.StringIO) -> None:
    program, *arguments = shlex.split(command)
    wanted = int(block.marks.get("exit", "0"))
    if program == "blobsmith" and "run" in block.marks:
        _parse(arguments)
        return
    if program == "blobsmith":
        code = run_command(arguments)
        if code != wanted:
            raise PageFailed(f"{block.where}: {command}: exit code {code}\n{said.getvalue()}")
    elif program == "curl" and block.marks.get("run") == "server":
        done = subprocess.run(
            [program, "--noproxy", "*", *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        said.write(done.stdout)
        if done.returncode != wanted:
            raise PageFailed(f"{block.where}: {command}: exit code {done.returncode}")
    elif program == "python" and arguments[0].endswith(".py"):
        _script(arguments, camera="run" in block.marks)
    else:
        _known(block, command)


def _parse(arguments: list[str]) -> None:
    """Reads a command's arguments as it would, without running it."""
    top: Any = typer.main.get_command(app)
    command = top.commands[arguments[0]]
    command.make_context(arguments[0], list(arguments[1:]))


def _script(arguments: list[str], *, camera: bool) -> None:
    path = Path(arguments[0])
    path = path if path.exists() else ROOT / path
    if camera:
        compile(path.read_text(encoding="utf-8"), str(path), "exec")
        return
    before = sys.argv
    sys.argv = [str(path), *arguments[1:]]
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.argv = before


def _known(block: Block, command: str) -> None:
    """What sets a machine up is not run, but what it names exists."""
    if made := re.fullmatch(r"make ([\w-]+)", command):
        if re.search(rf"^{made[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE):
            return
    elif extra := re.fullmatch(
        r"(?:[\w./-]+/)?pip install (?:-e )?'?\.?(?:\[([\w,]+)\])?'?", command
    ):
        known = (ROOT / "pyproject.toml").read_text()
        if all(f"\n{name} = [" in known for name in (extra[1] or "torch").split(",")):
            return
    elif re.fullmatch(r"python3? -m venv \S+|source \S+/bin/activate|git clone \S+( \S+)?|cd \S+",
                      command):  # fmt: skip
        return
    raise PageFailed(f"{block.where}: nothing checks {command!r}")
