"""The command line: one file a command; what is heavy loads inside the command that needs it."""

from __future__ import annotations

from typing import NoReturn


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with its code (0 to 5)."""
    import gc
    import sys

    from .ahead import start_worker

    # Loading PyTorch makes a great many objects that stay; looking through them takes 0.2 s.
    gc.set_threshold(50_000, 20, 100)
    given = sys.argv[1:] if arguments is None else arguments
    start_worker(given)
    from .app import run

    leave(run(given))


def leave(code: int) -> NoReturn:
    """Ends the process with a code, at once where PyTorch would take 0.6 s to unload.

    What is registered for the end (workers, sessions) is done, and all output is written.
    """
    import sys

    if "torch" not in sys.modules or "depthai" in sys.modules:
        sys.exit(code)
    import atexit
    import os

    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads it any more
        pass
    except OSError as error:
        sys.stderr.write(f"error: the output cannot be written: {error.strerror}\n")
        code = 5
    try:
        sys.stderr.flush()
    except OSError:
        code = code or 5
    os._exit(code)
