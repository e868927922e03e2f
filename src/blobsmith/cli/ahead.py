"""Starts the worker of a command that will surely need it, before the command line is even read.

A worker takes as long to load ONNX, ONNX Runtime and the compiler as this process takes to load
the command line, and PyTorch for a module: beside each other they cost the time of one.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

_COMMANDS = frozenset(["build", "check", "verify", "demo"])
_NO_WORK = frozenset(["-h", "--help"])


def start_worker(arguments: Sequence[str]) -> None:
    """Starts this process's worker, unless the command has no use for it or may do without."""
    if not arguments or arguments[0] not in _COMMANDS or _NO_WORK & set(arguments):
        return
    if sys.platform != "linux" or _is_kept(arguments):
        return
    from ..errors import BlobsmithError
    from ..workers import default_executor

    with contextlib.suppress(BlobsmithError):  # the command itself tells it
        default_executor().start("blobsmith.road:" + _preparation(arguments))


def _preparation(arguments: Sequence[str]) -> str:
    """What the worker does until its job comes: the longer, the longer that will be."""
    if "--no-verify" in arguments:
        return "preload"
    quick = arguments[0] == "verify" or any(text.lower().endswith(".onnx") for text in arguments)
    return "preload_checks" if quick else "rehearse"


def _is_kept(arguments: Sequence[str]) -> bool:
    """Whether a finished build of the same .onnx file is kept, so that no worker may be needed.

    A file that cannot be read needs none either.
    """
    if arguments[0] != "build" or "--no-cache" in arguments:
        return False
    source = next((text for text in arguments if text.lower().endswith(".onnx")), None)
    if source is None:
        return False
    import hashlib

    from .. import cache

    try:
        with open(source, "rb") as file:
            return cache.holds(hashlib.sha256(file.read()).hexdigest())
    except OSError:
        return True
