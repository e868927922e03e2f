"""`blobsmith toolchain`: the compiler's libraries on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .command import Command, Group
from .session import DebugFlag, JsonFlag, Session, session

app = typer.Typer(
    cls=Group,
    help="The MyriadX compiler on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _show(out: Session, directory: Path | None = None) -> bool:
    from ..myriad.toolchain import status

    found = status(directory)
    out.data.update(
        directory=str(found.directory), installed=found.installed, problem=found.problem,
        identity=found.identity, size=found.size,
    )  # fmt: skip
    out.say(f"{found.identity}: {found.problem or 'installed, all hashes right'}")
    out.say(f"  {found.directory}" + (f"  {found.size / 1e6:.1f} MB" if found.size else ""))
    return not found.problem


@app.command("status", cls=Command)
def status_command(as_json: JsonFlag = False, debug: DebugFlag = False) -> None:
    """Says whether the compiler is installed and sound; exit code 3 if not."""
    with session(as_json, debug) as out:
        sound = _show(out)
    if not sound:
        raise typer.Exit(3)


@app.command("install", cls=Command)
def install_command(
    wheel: Annotated[
        Path | None, typer.Option(help="Use this wheel file instead of a download.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Downloads the compiler with your own pip or uv (38 MB), checks it by hash, unpacks it."""
    with session(as_json, debug) as out:
        from ..myriad.toolchain import install

        out.step("install the compiler")
        install(wheel=wheel, force=force)
        _show(out)


@app.command("remove", cls=Command)
def remove_command(as_json: JsonFlag = False, debug: DebugFlag = False) -> None:
    """Deletes the compiler from this machine."""
    with session(as_json, debug) as out:
        from ..myriad.toolchain import remove

        removed = remove()
        out.data["removed"] = removed
        out.say("removed" if removed else "there was none")
