"""The loop that runs inside a worker process."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import resource
import sys
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
    memory = int(sys.argv[1])
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
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
    except MemoryError:
        return ("error", EnvironmentFault("a worker ran out of the memory it is allowed"))
    except BlobsmithError as error:
        return ("error", error)
    except Exception as error:
        return ("fault", (type(error).__name__, str(error), traceback.format_exc()))


if __name__ == "__main__":
    main()
