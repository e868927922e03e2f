"""Which line of the user's code a node comes from, carried from the exporter to the report.

The TorchScript exporter writes the Python stack into a node's `doc_string`, the dynamo exporter
into its metadata. Both are long, hold absolute paths, and the metadata does not survive
simplification. `attach` reduces either to one short line in `doc_string`:

    blobsmith/zoo/corners.py:41: xx = gx * gx

which every later step may copy. Where a step makes new nodes, `inherit` gives each the line of
the node it replaced (same output), or of its nearest neighbour.
"""

from __future__ import annotations

import linecache
import re
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_LIBRARIES = frozenset(
    ("torch", "torchvision", "kornia", "kornia_rs", "onnxscript", "onnx", "numpy", "functorch")
)
_STACK_KEY = "pkg.torch.onnx.stack_trace"
_COMPACT = re.compile(r"^(?P<file>[^\n:]+):(?P<line>\d+): (?P<code>[^\n]*)$")
_TORCHSCRIPT_FRAME = re.compile(r"^(?P<file>.+)\((?P<line>\d+)\): (?P<name>\S+)$", re.MULTILINE)
_DYNAMO_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+), in ', re.MULTILINE)
_CODE_LENGTH = 160


@dataclass(frozen=True, order=True)
class SourceLine:
    """A line of the user's code.

    Attributes:
        file: short path: from the package's root, or the file's name alone.
        line: line number, from 1.
        code: the line's text, stripped; "" where the file could not be read.
    """

    file: str
    line: int
    code: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}  {self.code}".rstrip()

    def doc_string(self) -> str:
        """How `attach` stores it in a node."""
        return f"{self.file}:{self.line}: {self.code}"


def user_line(node: onnx.NodeProto) -> SourceLine | None:
    """The user's line of one node, from the short form or from an exporter's record.

    It is the innermost frame outside torch, kornia and this package's exporters; if there is none
    (a Kornia module was exported as it is), the innermost one outside torch.
    """
    if found := _COMPACT.match(node.doc_string):
        return SourceLine(found["file"], int(found["line"]), found["code"])
    frames = [
        (m["file"], int(m["line"])) for m in _TORCHSCRIPT_FRAME.finditer(node.doc_string)
    ]  # innermost first
    if not frames:
        stacks = [p.value for p in node.metadata_props if p.key == _STACK_KEY]
        text = stacks[0] if stacks else ""
        frames = [(m["file"], int(m["line"])) for m in _DYNAMO_FRAME.finditer(text)][::-1]
    return innermost(frames)


def innermost(frames: list[tuple[str, int]]) -> SourceLine | None:
    """The user's line among stack frames (file, line), given innermost first; see `user_line`."""
    fallback = None
    for file, line in frames:
        package = _package(file)
        if package in _LIBRARIES or package == "":
            if fallback is None and package.startswith("kornia"):
                fallback = (file, line)
            continue
        return _source_line(file, line)
    return _source_line(*fallback) if fallback else None


def stack() -> list[tuple[str, int]]:
    """(file, line) of the caller's frames, innermost first."""
    frames: list[tuple[str, int]] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        frames.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return frames


def in_library(frames: list[tuple[str, int]]) -> bool:
    """Whether the innermost frame outside torch is in a library, not in the user's own code."""
    for file, _ in frames:
        package = _package(file)
        if package not in ("", "torch"):
            return package in _LIBRARIES
    return True


def _source_line(file: str, line: int) -> SourceLine:
    code = linecache.getline(file, line).strip()
    return SourceLine(_short(file), line, code[:_CODE_LENGTH])


@lru_cache(maxsize=4096)
def _package(file: str) -> str:
    """Top-level package of a file; "" for what is never the user's (stdlib, our exporters)."""
    if file.startswith("<"):
        return ""
    path = Path(file)
    parts = path.parts
    for marker in ("site-packages", "dist-packages"):
        if marker in parts:
            name = parts[len(parts) - parts[::-1].index(marker)]
            return _own(path) if name == "blobsmith" else name.removesuffix(".py")
    root = _root(path)
    if root.name == "blobsmith":
        return _own(path)
    if any(re.fullmatch(r"python3\.\d+", part) for part in parts):
        return ""
    return root.name


def _own(path: Path) -> str:
    return "blobsmith.zoo" if "zoo" in path.parts else ""


def _root(path: Path) -> Path:
    """The directory of the top-level package that holds a file; the file itself if in none."""
    root = path
    while root.parent != root and (root.parent / "__init__.py").is_file():
        root = root.parent
    return root


@lru_cache(maxsize=4096)
def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(_root(path).parent)).replace(":", "_")


# ---------------------------------------------------------------------- over a graph


def attach(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model whose nodes carry their line in the short form, and no stacks.

    Nodes of which the exporter knows nothing get their nearest neighbour's line. Other doc
    strings are kept.
    """
    out = _copy(proto)
    for node in out.graph.node:
        line = user_line(node)
        stack = bool(_TORCHSCRIPT_FRAME.search(node.doc_string))
        if line is not None:
            node.doc_string = line.doc_string()
        elif stack:
            node.doc_string = ""
        del node.metadata_props[:]
    _spread(out, {})
    return out


def lookup(proto: onnx.ModelProto) -> dict[str, SourceLine]:
    """Name of a node's output -> line, for every node that carries one."""
    found: dict[str, SourceLine] = {}
    for node in proto.graph.node:
        line = user_line(node)
        if line is not None:
            found.update({name: line for name in node.output if name})
    return found


def inherit(before: onnx.ModelProto, after: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `after` in which every node that can have a line has one.

    A node without a line takes that of the node of `before` with the same output; else of the
    node whose output its own output's name was made from (``name__7``); else of the nearest node
    below it, else above it, in `after`.

    Args:
        before: the graph before the transformation, with lines.
        after: the graph after it.
    """
    out = _copy(after)
    _spread(out, lookup(before))
    return out


def _spread(proto: onnx.ModelProto, known: dict[str, SourceLine]) -> None:
    nodes = list(proto.graph.node)
    own = [user_line(node) for node in nodes]
    lines = list(own)
    for index, node in enumerate(nodes):
        for name in node.output:
            if lines[index] is None:
                lines[index] = known.get(name) or known.get(name.split("__")[0])
    if not any(lines):
        return
    producer = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    above: list[list[int]] = [
        [producer[name] for name in _reads(node) if name in producer] for node in nodes
    ]
    below: list[list[int]] = [[] for _ in nodes]
    for index, sources in enumerate(above):
        for source in sources:
            below[source].append(index)
    for index, node in enumerate(nodes):
        line = lines[index] or _nearest(index, below, lines) or _nearest(index, above, lines)
        if line is not None and own[index] is None:
            node.doc_string = line.doc_string()


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                yield from _reads(inner)


def _nearest(
    start: int, edges: list[list[int]], lines: list[SourceLine | None]
) -> SourceLine | None:
    queue, seen = deque([start]), {start}
    while queue:
        here = queue.popleft()
        for other in edges[here]:
            if lines[other] is not None:
                return lines[other]
            if other not in seen:
                seen.add(other)
                queue.append(other)
    return None


def _copy(proto: onnx.ModelProto) -> onnx.ModelProto:
    out = type(proto)()
    out.CopyFrom(proto)
    return out
