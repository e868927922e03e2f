"""What a rewriting did: the graph, what was applied, and what was not and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from onnx import ModelProto

from ..node import Node
from .rule import Change, Exactness, Rule, Variant


@dataclass(frozen=True)
class Applied:
    """One application that stayed.

    Attributes:
        rule: name of the rule.
        nodes: labels of the nodes that it replaced.
        where: the exporter's record of the user's line for the last of them, or its label.
        why: the rule's sentence.
        exactness: what was promised, and kept.
        variant: which of several replacements; "" if there is only one.
        checked: whether ONNX Runtime could run it before and after.
    """

    rule: str
    nodes: tuple[str, ...]
    where: str
    why: str
    exactness: str
    variant: str = ""
    checked: bool = True

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)


@dataclass(frozen=True)
class Rejected:
    """A pattern that a rule found and did not change, and why not."""

    rule: str
    nodes: tuple[str, ...]
    where: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)


@dataclass(frozen=True)
class RewriteResult:
    """The rewritten graph, and the record of what was done.

    Attributes:
        proto: the graph; inputs and outputs keep names, order, shapes and dtypes, except that
            rank-0 outputs have become [1].
        applied: in the order of application.
        rejected: refused by a condition, broken promises that were reverted, no gain in cost.
        seconds_checking: time spent in ONNX Runtime.
    """

    proto: ModelProto
    applied: tuple[Applied, ...]
    rejected: tuple[Rejected, ...]
    seconds_checking: float = 0.0


def where_of(node: Node) -> str:
    """The exporter's record of the user's line, or the node's label."""
    return node.doc.strip() or node.label()


def applied_of(rule: Rule, change: Change, variant: Variant) -> Applied:
    """The record of a change that is about to be made."""
    promise: Exactness = change.exactness or rule.exactness
    return Applied(
        rule=rule.name,
        nodes=tuple(node.label() for node in change.nodes),
        where=where_of(change.nodes[-1]),
        why=rule.why,
        exactness=str(promise),
        variant=variant.name,
        checked=rule.checked,
    )
