"""The loop that runs inside a worker process."""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import signal
import sys
import tempfile
import traceback
from typing import Any

from ..errors import BlobsmithError, EnvironmentFault
from .channel import receive, send
from .telling import listen


def main() -> None:
    """Reads jobs from stdin, answers on what was stdout, until stdin closes.

    Native libraries print on file descriptor 1; the answers keep a private duplicate of it.
    The second argument, if any, names a function to call first.
    """
    _limit(int(sys.argv[1]))
    _end_with_owner()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    jobs = sys.stdin.buffer
    send(answers, ("ready", None))
    listen(lambda text: send(answers, ("progress", text)))
    if len(sys.argv) > 2:
        _prepare(sys.argv[2])
    while True:
        try:
            job = receive(jobs, trusted=True)
        except EOFError:
            return
        send(answers, _run(job))


def _limit(memory: int) -> None:
    """Limits memory (0: not) and leaves no core files; Windows has no such limits."""
    with contextlib.suppress(ImportError):
        import resource

        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_owner() -> None:
    """Has Linux end this process with its owner's, whatever it does then.

    An owner that is killed closes stdin too, but a job that hangs would not notice.
    """
    if sys.platform != "linux":
        return
    import ctypes

    set_death_signal = 1  # of <linux/prctl.h>
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL))


def _prepare(name: str) -> None:
    """Calls "module:function" before the first job; what it loads stays for the process's life.

    What fails here fails again, with its own words, in the job that needs it.
    """
    module, _, function = name.partition(":")
    gc.disable()  # nothing that is loaded here is garbage
    with contextlib.suppress(Exception):
        getattr(importlib.import_module(module), function)()
    gc.freeze()
    gc.enable()


def _run(job: tuple[str, str, tuple[Any, ...], dict[str, Any]]) -> tuple[str, Any]:
    module, name, args, kwargs = job
    try:
        function: Any = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        return ("value", function(*args, **kwargs))
    except BlobsmithError as error:
        return ("error", error)
    except Exception as error:
        known = _lack(error)
        if known is not None:
            return ("error", known)
        return ("fault", (type(error).__name__, str(error), traceback.format_exc()))


def _lack(error: Exception) -> EnvironmentFault | None:
    """What the machine lacks, if that is the reason; None if it is not."""
    # a library that finds no room is told by the loader, as an ImportError or an OSError
    if isinstance(error, MemoryError) or "failed to map segment" in str(error):
        return EnvironmentFault(
            "a worker ran out of the memory it is allowed",
            remedy="make the model smaller, or set BLOBSMITH_MEMORY (bytes) higher",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return EnvironmentFault(
            f"a temporary file cannot be written: {error.strerror}",
            where=str(error.filename or tempfile.gettempdir()),
            remedy="free some space there, or let TMPDIR name a folder on another disk",
        )
    return None


if __name__ == "__main__":
    main()
