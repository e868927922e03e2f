"""A virtual environment with DepthAI v2, which cannot live beside v3.

    python -m tests.v2.environment          makes .venv-v2 if it is not there

It holds depthai 2.30 and numpy and nothing else: blobsmith's own code is found by PYTHONPATH, and
what the v2 helper imports needs no more.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv-v2"
PACKAGES = ("depthai==2.30.0.0", "numpy>=1.26")


def python_with_v2() -> Path:
    """The environment's Python; made on the first call, by one process even if several ask."""
    python, ready = FOLDER / "bin" / "python", FOLDER / ".ready"
    wanted = f"{sys.version_info[:2]} {' '.join(PACKAGES)}"
    FOLDER.mkdir(exist_ok=True)
    with open(FOLDER / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.is_file() and ready.read_text() == wanted:
            return python
        ready.unlink(missing_ok=True)
        venv.create(FOLDER, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES],
            check=True,
        )
        ready.write_text(wanted)
    return python


if __name__ == "__main__":
    print(python_with_v2())
