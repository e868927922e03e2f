"""The command tree, and how usage errors leave it."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer

from . import (
    build,
    cache,
    check,
    coverage,
    demo,
    doctor,
    graph,
    inspect,
    run_,
    serve,
    toolchain,
    verify,
    zoo,
)
from .command import Command, Group

app = typer.Typer(
    name="blobsmith",
    cls=Group,
    help="A PyTorch or Kornia function in, a checked MyriadX .blob for OAK cameras out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("build", cls=Command)(build.build)
app.command("check", cls=Command)(check.check)
app.command("verify", cls=Command)(verify.verify)
app.command("inspect", cls=Command)(inspect.inspect)
app.command("run", cls=Command)(run_.run)
app.command("coverage", cls=Command)(coverage.coverage)
app.command("graph", cls=Command)(graph.graph)
app.command("demo", cls=Command)(demo.demo)
app.command("zoo", cls=Command)(zoo.zoo)
app.add_typer(toolchain.app, name="toolchain")
app.add_typer(cache.app, name="cache")
app.command("serve", cls=Command)(serve.serve)
app.command("doctor", cls=Command)(doctor.doctor)


def _version(value: bool) -> None:
    if value:
        from .._version import __version__

        typer.echo(f"blobsmith {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    pass


# Typer carries click inside it in some versions and beside it in others.
_UsageError: Any = typer.BadParameter.__mro__[1]


def run(arguments: list[str]) -> int:
    """Runs the command line; returns the exit code.

    A usage error is one message on stderr, or with --json one object on stdout.
    """
    try:
        code = app(args=arguments, standalone_mode=False)
        return int(code) if isinstance(code, int) else 0
    except _UsageError as error:
        message = error.format_message()
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "blobsmith"
        remedy = f"see `{command} --help`"
        if not message and type(error).__name__ == "NoArgsIsHelpError":
            return 2
        if "--json" in arguments:
            told = {"code": "usage", "what": message, "where": command, "remedy": remedy}
            sys.stdout.write(json.dumps({"ok": False, "error": told}) + "\n")
        else:
            sys.stderr.write(f"error: {message}\n  remedy: {remedy}\n")
        return 2
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("stopped\n")
        return 130
