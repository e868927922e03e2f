"""The code blocks of a Markdown page, and what the page says of each.

Blocks run in the order in which they stand, those of one page in one folder and one namespace:

    ```python                 runs
    ```python title="a.py"    is written to a.py, for the blocks behind it
    ```sh                     each line is a command; `blobsmith` runs in this process
    ```text                   right behind a block that ran: what it printed ("..." for anything)

A comment above a block changes that: `<!-- exit: 4 -->` expects this exit code,
`<!-- run: camera -->` needs a camera (`v2`: one, and DepthAI v2), `<!-- run: parse -->` a person
(a window, a browser), `<!-- run: server -->` a running `blobsmith serve`, which there is: curl asks
it, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

LANGUAGES = {"python", "sh", "text"}
_FENCE = re.compile(
    r"(?P<marks>(?:^<!--[^\n]*-->\n+)*)^```(?P<info>[^\n`]*)\n(?P<code>.*?)^```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"<!--\s*(\w+):\s*(\S+)\s*-->")
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """One code block.

    Attributes:
        where: page and line, for messages.
        language: what stands behind the fence.
        title: the file that it is; empty if it is none.
        marks: what the comments above it say.
        code: its text.
        expected: what the page says that it prints; None if it does not say.
    """

    where: str
    language: str
    title: str
    marks: dict[str, str] = field(default_factory=dict)
    code: str = ""
    expected: str | None = None


def blocks(page: Path, root: Path) -> list[Block]:
    """The blocks of a page, in order; a `text` block behind one belongs to it."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    end = 0
    for match in _FENCE.finditer(text):
        language, _, rest = match["info"].strip().partition(" ")
        line = text.count("\n", 0, match.start("info")) + 1
        title = _TITLE.search(rest)
        behind = not text[end : match.start()].strip()
        end = match.end()
        if language == "text" and behind and found and found[-1].expected is None:
            last = found.pop()
            found.append(Block(**{**last.__dict__, "expected": match["code"]}))
            continue
        found.append(
            Block(
                where=f"{page.relative_to(root) if root in page.parents else page.name}:{line}",
                language=language,
                title=title[1] if title else "",
                marks=dict(_MARK.findall(match["marks"])),
                code=match["code"],
            )
        )
    return found


def commands(block: Block) -> list[str]:
    """The commands of a `sh` block: lines without comments, continued ones joined."""
    text = block.code.replace("\\\n", " ")
    lines = [re.sub(r"\s+#.*$|^#.*$", "", line).strip() for line in text.splitlines()]
    return [line for line in lines if line]


def as_told(expected: str, printed: str) -> bool:
    """Whether the page tells what was printed: words in order, "..." for anything."""
    parts = [re.escape(" ".join(part.split())) for part in expected.split("...")]
    pattern = r"\s?.*?\s?".join(part for part in parts)
    return re.fullmatch(pattern, " ".join(printed.split()), re.DOTALL) is not None
