"""How many nodes of which type a graph has, before and after a step.

Imports nothing heavy: the manifest and the build summary read these counts without onnx.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class GraphStats:
    """The size of one graph.

    Attributes:
        by_type: operator type -> number of nodes, subgraphs included, sorted by type. Operators
            of other domains than ONNX's own are named ``domain.Type``.
        size: bytes of the serialised graph.
    """

    by_type: Mapping[str, int]
    size: int = 0

    @property
    def total(self) -> int:
        """Number of nodes."""
        return sum(self.by_type.values())

    @classmethod
    def of(cls, proto: onnx.ModelProto) -> GraphStats:
        """Counts a graph."""
        found = Counter(_kinds(proto.graph.node))
        return cls(dict(sorted(found.items())), proto.ByteSize())


@dataclass(frozen=True)
class Change:
    """A graph's size around a step.

    Attributes:
        before, after: the sizes.
        notes: what did not go as usual, in words; empty if all went well.
    """

    before: GraphStats
    after: GraphStats
    notes: tuple[str, ...] = ()

    def rows(self) -> list[tuple[str, int, int]]:
        """(operator type, before, after), sorted by type: the table everybody remembers."""
        first, second = self.before.by_type, self.after.by_type
        return [(k, first.get(k, 0), second.get(k, 0)) for k in sorted({*first, *second})]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form, as the manifest stores it."""
        return {
            "before": dict(self.before.by_type),
            "after": dict(self.after.by_type),
            "bytes_before": self.before.size,
            "bytes_after": self.after.size,
            "notes": list(self.notes),
        }


def _kinds(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        own = node.domain in ("", "ai.onnx")
        yield node.op_type if own else f"{node.domain}.{node.op_type}"
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _kinds(attribute.g.node)
