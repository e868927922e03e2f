"""`blobsmith cache`: finished builds kept on this machine."""

from __future__ import annotations

import typer

from .command import Command, Group
from .session import DebugFlag, JsonFlag, session

app = typer.Typer(
    cls=Group,
    help="Finished builds kept on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("info", cls=Command)
def info_command(as_json: JsonFlag = False, debug: DebugFlag = False) -> None:
    """How many finished builds are kept, where, and how large they are."""
    with session(as_json, debug) as out:
        from .. import cache

        found = cache.info()
        out.data.update(directory=str(found.directory), entries=found.entries, size=found.size)
        out.say(f"{found.entries} builds, {found.size / 1e6:.1f} MB in {found.directory}")


@app.command("clear", cls=Command)
def clear_command(as_json: JsonFlag = False, debug: DebugFlag = False) -> None:
    """Deletes them all."""
    with session(as_json, debug) as out:
        from .. import cache

        before = cache.clear()
        out.data.update(entries=before.entries, size=before.size)
        out.say(f"deleted {before.entries} builds, {before.size / 1e6:.1f} MB")
