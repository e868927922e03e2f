"""The command's end: output written, what was registered done, the code kept."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys
import blobsmith.cli
{load}
atexit.register(print, "registered")
sys.stdout.write("not flushed yet ")
blobsmith.cli.leave(4)
"""


@pytest.mark.parametrize("load", ["", "import torch", "sys.modules['torch'] = sys"])
def test_everything_is_written_before_the_end(load: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(load=load)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert done.stdout == "not flushed yet registered\n"
    assert done.stderr == ""


def test_a_reader_that_has_gone_is_no_error() -> None:
    program = PROGRAM.format(load="sys.modules['torch'] = sys")
    program = program.replace('atexit.register(print, "registered")', "sys.stdin.read()")
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
    ) as running:  # fmt: skip
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        running.stdin.close()
        assert running.stderr.read() == ""
    assert running.returncode == 4


def test_output_that_finds_no_room_is_told() -> None:
    program = PROGRAM.format(load="sys.modules['torch'] = sys").replace("leave(4)", "leave(0)")
    program = program.replace('atexit.register(print, "registered")', "")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}, check=False,
        )  # fmt: skip
    assert done.returncode == 5
    assert "cannot be written" in done.stderr
