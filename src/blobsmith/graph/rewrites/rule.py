"""What a rewrite rule is: when it applies, what it does, and what it promises.

A rule is written on `Editor` and `Builder`, a thin layer of our own over ONNX's protos, and not on
onnx-ir or onnxscript's rewriter: importing onnx_ir costs 0.4 to 0.7 s (it imports sympy) of the
second that a whole cold build may take, and most rules here decide by constants' values, ranges
and shapes, which a pattern language does not express.

One rule a file, with its test beside it (tests/graph/rewrites/):

    def find(editor: Editor, node: Node) -> Outcome:
        if node.op != "Neg":
            return None                                   # not this pattern
        inner = editor.producer(node.inputs[0])
        if inner is None or inner.op != "Neg":
            return Refused("its input is not a Neg")      # the pattern, but a condition fails

        def apply() -> None:
            b = Builder(editor, like=node)
            b.commit([inner, node], {node.output: inner.inputs[0]})

        return Change(apply, nodes=(inner, node))

    RULE = Rule("double-neg", "faster", "exact", "Neg of Neg is its input", ("Neg",), find)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..editor import Editor
from ..node import Node

RuleSet = Literal["needed", "faster"]


@dataclass(frozen=True)
class Approx:
    """An approximation, correct to some FP16 units in the last place.

    Attributes:
        ulps: largest error in FP16 units in the last place of the exact value.
        floor: magnitude below which the unit no longer shrinks: an error of `ulps` units at
            `floor` is always allowed (a value near 0 that stems from larger ones).
        of_scale: the same floor as a share of the largest magnitude that goes in or comes out
            (sums of large and small, positions in a picture).
        flips: share of elements that may break the bound (compares at a boundary, roundings).
        period: differences by a multiple of this count as none (angles); 0: no such thing.
    """

    ulps: float
    floor: float = 2.0**-14
    of_scale: float = 0.0
    flips: float = 0.0
    period: float = 0.0

    def __str__(self) -> str:
        return f"approximate to {self.ulps:g} FP16 units in the last place"


Exactness = Literal["exact", "reorder"] | Approx
"""exact: the same bits in FP32. reorder: FP32 rounding only. Approx: see there."""


@dataclass(frozen=True)
class Refused:
    """The pattern is there but the rule does not apply; `reason` is one clause for people."""

    reason: str


@dataclass(frozen=True)
class Variant:
    """One of several replacements for the same pattern, to be chosen by cost."""

    name: str
    apply: Callable[[], None]


@dataclass(frozen=True)
class Change:
    """One application of a rule that can be made now.

    `apply` must only use the editor handed to `find`, at once: the next change may invalidate it.

    Attributes:
        apply: makes the change; the variant to take when no cost is at hand.
        nodes: the nodes that will be replaced, for the report.
        exactness: overrides the rule's, where it depends on the case.
        variants: alternatives to `apply`, tried one by one when a cost is given.
        by_cost: keep the change only if the cost falls (always measured if a cost is given).
        without_cost: make the change also when there is no cost to judge by.
        signature: changes of one rule with the same signature are decided together.
        gain: by estimate, in a unit of the rule's own: of changes that are decided by cost the
            largest comes first, since all later ones are compiled with what it made smaller.
    """

    apply: Callable[[], None]
    nodes: tuple[Node, ...]
    exactness: Exactness | None = None
    variants: tuple[Variant, ...] = ()
    by_cost: bool = False
    without_cost: bool = True
    signature: str = ""
    gain: float = 0.0


Outcome = Change | Refused | None
Finder = Callable[[Editor, Node], Outcome]


@dataclass(frozen=True)
class Rule:
    """A rewrite rule.

    Attributes:
        name: unique, in kebab-case; shown to users.
        set: "needed" (the compiler accepts it and computes it right) or "faster".
        exactness: what the rule promises of the values it replaces; it is held to it.
        why: one sentence for people.
        roots: operator types of the node that `find` is called with; empty: every node.
        find: looks at one node; says what could be changed, or why not, or None.
        order: rules of a set run by ascending order, then in the order of registration.
        reshapes: may change a value's shape (rank-0 results become [1]), never its elements.
        checked: False only where the check cannot be made (an operator ONNX Runtime lacks).
    """

    name: str
    set: RuleSet
    exactness: Exactness
    why: str
    roots: tuple[str, ...]
    find: Finder
    order: int = 50
    reshapes: bool = False
    checked: bool = True
