"""Standard output belongs to the program: what native code prints on it goes elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ..zoo_blobs import blobs

SCRIPT = """
import ctypes, sys
from blobsmith.oak.logs import native_output_to_stderr
libc = ctypes.CDLL(None)
print("before")
with native_output_to_stderr():
    libc.printf(b"native\\n")
    print("python")
print("after")
"""


def test_only_while_it_lasts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["before", "after"]
    assert sorted(done.stderr.split()) == ["native", "python"]


def test_without_a_standard_output() -> None:
    code = f"import os, sys\nos.close(1)\n{SCRIPT.replace('print', '(lambda *_: None)')}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_a_run_through_depthai_prints_one_object(tmp_path: Path) -> None:
    """depthai logs on standard output as soon as it is imported."""
    path = tmp_path / "threshold.blob"
    path.write_bytes(blobs("threshold")[6])
    command = [
        sys.executable, "-m", "blobsmith", "run", str(path), "--on", "depthai-host", "--limit", "2",
        "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["frames"] == 2
