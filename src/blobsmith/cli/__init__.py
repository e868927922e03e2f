"""The command line: one file a command; what is heavy loads inside the command that needs it."""

from __future__ import annotations


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with its code (0 to 5)."""
    import sys

    from .ahead import start_worker

    given = sys.argv[1:] if arguments is None else arguments
    start_worker(given)
    from .app import run

    sys.exit(run(given))
