"""What all commands share: progress on stderr, one result on stdout, errors as one message."""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BlobsmithError, EnvironmentFault
from ..spelling import strict_json
from . import screen
from .progress import BUILD_STEPS, ProgressLine

if TYPE_CHECKING:
    from rich.console import Console

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
DebugFlag = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


class Session:
    """One run of a command.

    Attributes:
        as_json: the result is one JSON object on stdout; progress goes to stderr.
        data: what that object will hold.
        published: it has been printed.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.data: dict[str, Any] = {}
        self.published = False
        self._line = ProgressLine(sys.stderr, BUILD_STEPS)

    @staticmethod
    def console() -> Console:
        """A rich console on stderr, for progress bars."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str, *, style: str | None = None) -> None:
        """A line of the result; nothing with --json."""
        self._line.clear()
        if not self.as_json:
            screen.say(text, sys.stdout, style=style)

    def progress(self, text: str) -> None:
        """A line about what is going on, on stderr; only where a person watches."""
        self._line.clear()
        if screen.is_terminal(sys.stderr):
            screen.say(text, sys.stderr, style="dim")

    def step(self, name: str, share: float | None = None) -> None:
        """What begins now; shown on a terminal if the command takes longer than a second."""
        self._line.step(name, share)

    def close(self) -> None:
        """Takes what is shown of the progress away."""
        self._line.close()

    def warn(self, text: str) -> None:
        """A warning on stderr, and in the JSON object."""
        self._line.clear()
        self.data.setdefault("warnings", []).append(text)
        if not self.as_json:
            screen.say(f"warning: {text}", sys.stderr, style="yellow")

    def fault(self, text: str) -> None:
        """What a command that goes on has to report on stderr; names in it are strangers'."""
        self._line.clear()
        screen.say("".join(c if c.isprintable() or c == "\n" else "?" for c in text), sys.stderr)

    def publish(self) -> None:
        """Prints the JSON object now, where the command goes on after its result is known."""
        if not self.published:
            self.published = True
            if self.as_json:
                sys.stdout.write(json.dumps({"ok": True, **strict_json(self.data)}) + "\n")
            sys.stdout.flush()

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table of the result; nothing with --json."""
        self._line.clear()
        if self.as_json:
            return
        room = screen.terminal_room(sys.stdout)
        screen.say("\n" + screen.table(columns, rows, title=title, room=room) + "\n", sys.stdout)


@contextlib.contextmanager
def session(as_json: bool, debug: bool) -> Iterator[Session]:
    """Runs a command's body; turns errors into one message and the exit code of their branch."""
    current = Session(as_json)
    try:
        try:
            yield current
        finally:
            current.close()
    except BlobsmithError as error:
        _tell(error, as_json and not current.published, debug, current.data)
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:
        raise typer.Exit(0) from None
    except OSError as error:
        if debug:
            traceback.print_exc()
        fault = EnvironmentFault(
            error.strerror or str(error), where=str(error.filename or ""), remedy="check the path"
        )
        _tell(fault, as_json and not current.published, False)
        raise typer.Exit(fault.exit_code) from None
    except (typer.Exit, typer.Abort, KeyboardInterrupt):
        raise
    except Exception as error:
        if debug:
            traceback.print_exc()
        own = BlobsmithError(
            f"blobsmith itself failed: {type(error).__name__}: {error}",
            remedy="run again with --debug and report the traceback",
        )
        _tell(own, as_json and not current.published, False)
        raise typer.Exit(1) from None
    current.publish()


def _tell(
    error: BlobsmithError, as_json: bool, debug: bool, found: dict[str, Any] | None = None
) -> None:
    """One message; with --json, what was found until then stands beside the error."""
    if debug:
        traceback.print_exception(error)
        detail = getattr(error, "detail", "")
        if detail:
            sys.stderr.write(detail)
    if as_json:
        told = {**strict_json(found or {}), "ok": False, "error": error.to_dict()}
        sys.stdout.write(json.dumps(told) + "\n")
    elif not debug:
        sys.stderr.write(f"error: {error}\n")
