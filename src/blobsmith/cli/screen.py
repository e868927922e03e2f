"""Lines and tables on a terminal or in a pipe, without a library: it would take longer to load
than a cached build takes altogether.
"""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Sequence
from typing import TextIO

STYLES = {"dim": "2", "yellow": "33", "red": "31", "green": "32", "bold": "1"}
_GAP = "  "
_NARROWEST = 16


def is_terminal(stream: TextIO) -> bool:
    """Whether a person watches this stream."""
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def say(text: str, stream: TextIO, *, style: str | None = None) -> None:
    """One line, coloured on a terminal unless NO_COLOR is set.

    What the stream's encoding lacks is written as "?", rather than not at all.
    """
    if style and is_terminal(stream) and not os.environ.get("NO_COLOR"):
        text = f"\x1b[{STYLES[style]}m{text}\x1b[0m"
    try:
        stream.write(text + "\n")
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    stream.flush()


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    title: str = "",
    room: int | None = None,
) -> str:
    """A table with a rule under its head; numbers to the right.

    Args:
        columns: heads.
        rows: cells.
        title: a line above.
        room: the most characters a line may have; the widest columns are folded into it.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [
        max([width(head), *(width(row[i]) for row in cells)]) for i, head in enumerate(columns)
    ]
    if room is not None:
        widths = _fitted(widths, room - len(_GAP) * (len(columns) - 1))
    right = [
        bool(rows) and all(isinstance(row[i], (int, float)) for row in rows)
        for i in range(len(columns))
    ]
    lines = [title] if title else []
    lines += _row(list(columns), widths, right)
    lines.append("─" * (sum(widths) + len(_GAP) * (len(widths) - 1)))
    for row in cells:
        lines += _row(row, widths, right)
    return "\n".join(lines)


def terminal_room(stream: TextIO) -> int | None:
    """Characters of a line of the terminal; None where the stream is none, and nothing folds."""
    return shutil.get_terminal_size().columns if is_terminal(stream) else None


def width(text: str) -> int:
    """Columns that a text takes: two for a Chinese character."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _fitted(widths: list[int], room: int) -> list[int]:
    fitted = list(widths)
    while sum(fitted) > room and max(fitted) > _NARROWEST:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def _row(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    folded = [_fold(cell, space) for cell, space in zip(cells, widths, strict=True)]
    lines = []
    for number in range(max(len(parts) for parts in folded)):
        pieces = []
        for parts, space, to_right in zip(folded, widths, right, strict=True):
            text = parts[number] if number < len(parts) else ""
            blank = " " * (space - width(text))
            pieces.append(blank + text if to_right else text + blank)
        lines.append(_GAP.join(pieces).rstrip())
    return lines


def _fold(text: str, space: int) -> list[str]:
    """The text in lines of at most `space` columns, broken at blanks where there are any."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            joined = f"{line} {word}" if line else word
            if width(joined) <= space:
                line = joined
                continue
            if line:
                lines.append(line)
            line = word
            while width(line) > space:
                cut = space
                while width(line[:cut]) > space:
                    cut -= 1
                lines.append(line[:cut])
                line = line[cut:]
        lines.append(line)
    return lines
