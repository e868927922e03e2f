"""DepthAI logs on standard output, where `--json` promises one object and nothing else."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STDOUT, STDERR = 1, 2


@contextmanager
def native_output_to_stderr() -> Iterator[None]:
    """While it lasts, what is written to standard output goes to standard error.

    It works on the file descriptor, since native code does not know of `sys.stdout`; what Python
    prints meanwhile goes the same way. Where there is no standard output, nothing happens.
    """
    try:
        sys.stdout.flush()
        kept = os.dup(STDOUT)
        os.dup2(STDERR, STDOUT)
    except (OSError, ValueError, AttributeError):
        yield
        return
    try:
        yield
    finally:
        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)  # C's own buffer belongs to what was written meanwhile
        os.dup2(kept, STDOUT)
        os.close(kept)
