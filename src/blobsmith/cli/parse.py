"""Reading the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..spelling import color, inputs, numbers

__all__ = ["Inputs", "Outputs", "color", "inputs", "names", "numbers"]

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=1x3x300x300[:u8|fp16|fp32[:LOW..HIGH]]",
        help="Shape, element type and range of an input; repeat for several.",
    ),
]
Outputs = Annotated[
    list[str] | None,
    typer.Option("--output-name", metavar="NAME", help="Name of an output; repeat in order."),
]


def names(given: str | None) -> tuple[str, ...]:
    """``"cat,dog"``, or the lines of a text file, as names.

    Raises:
        UsageError: there is none, or the file cannot be read.
    """
    if given is None:
        return ()
    path = Path(given)
    if path.suffix == ".txt":
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise UsageError(f"the names in {given} cannot be read: {error}") from None
        found = tuple(line.strip() for line in text.splitlines() if line.strip())
    else:
        found = tuple(part.strip() for part in given.split(",") if part.strip())
    if not found:
        raise UsageError(f"--classes {given!r} names nothing", remedy="write --classes cat,dog")
    return found
