"""What all commands share: progress on stderr, one result on stdout, errors as one message."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BlobsmithError, EnvironmentFault

if TYPE_CHECKING:
    from rich.console import Console

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
DebugFlag = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


class Session:
    """One run of a command.

    Attributes:
        as_json: the result is one JSON object on stdout; progress goes to stderr.
        data: what that object will hold.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.data: dict[str, Any] = {}
        self._consoles: dict[bool, Console] = {}

    def console(self, *, stderr: bool = False) -> Console:
        """A rich console; quiet about colours where it is no terminal or NO_COLOR is set."""
        if stderr not in self._consoles:
            from rich.console import Console

            self._consoles[stderr] = Console(stderr=stderr, highlight=False, soft_wrap=True)
        return self._consoles[stderr]

    def say(self, text: str, *, style: str | None = None) -> None:
        """A line of the result; nothing with --json."""
        if not self.as_json:
            self.console().print(text, style=style, markup=False)

    def progress(self, text: str) -> None:
        """A line about what is going on, on stderr; only where a person watches."""
        console = self.console(stderr=True)
        if console.is_terminal:
            console.print(text, style="dim", markup=False)

    def warn(self, text: str) -> None:
        """A warning on stderr, and in the JSON object."""
        self.data.setdefault("warnings", []).append(text)
        if not self.as_json:
            self.console(stderr=True).print(f"warning: {text}", style="yellow", markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table of the result; nothing with --json."""
        if self.as_json:
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, box=box.SIMPLE, title_justify="left", pad_edge=False)
        numeric = [
            bool(rows) and all(isinstance(row[i], (int, float)) for row in rows)
            for i in range(len(columns))
        ]
        for column, right in zip(columns, numeric, strict=True):
            table.add_column(column, justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(str(cell)) for cell in row))
        console = self.console()
        console.print(table, soft_wrap=not console.is_terminal)


@contextlib.contextmanager
def session(as_json: bool, debug: bool) -> Iterator[Session]:
    """Runs a command's body; turns errors into one message and the exit code of their branch."""
    current = Session(as_json)
    try:
        yield current
    except BlobsmithError as error:
        _tell(error, as_json, debug)
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:
        raise typer.Exit(0) from None
    except OSError as error:
        if debug:
            traceback.print_exc()
        fault = EnvironmentFault(
            error.strerror or str(error), where=str(error.filename or ""), remedy="check the path"
        )
        _tell(fault, as_json, False)
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
        _tell(own, as_json, False)
        raise typer.Exit(1) from None
    if as_json:
        sys.stdout.write(json.dumps({"ok": True, **clean(current.data)}) + "\n")


def _tell(error: BlobsmithError, as_json: bool, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
        detail = getattr(error, "detail", "")
        if detail:
            sys.stderr.write(detail)
    if as_json:
        sys.stdout.write(json.dumps({"ok": False, "error": error.to_dict()}) + "\n")
    elif not debug:
        sys.stderr.write(f"error: {error}\n")


def clean(value: Any) -> Any:
    """The value as strict JSON: tuples as lists, numbers that are not finite as strings."""
    if isinstance(value, dict):
        return {str(key): clean(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
