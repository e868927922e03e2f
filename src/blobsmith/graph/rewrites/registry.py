"""The rules by set. Each set is a package with a `RULES` tuple; it is imported when asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable

from ...errors import UsageError
from .rule import Rule, RuleSet

SETS: tuple[RuleSet, ...] = ("needed", "faster")


def rules(sets: Iterable[RuleSet] = SETS) -> tuple[Rule, ...]:
    """All rules of the given sets, in the order in which they are tried.

    Raises:
        UsageError: there is no such set.
    """
    found: list[Rule] = []
    for name in sets:
        if name not in SETS:
            raise UsageError(f"there is no set of rules {name!r}", remedy="needed or faster")
        module = importlib.import_module(f".{name}", __package__)
        found.extend(sorted(module.RULES, key=lambda rule: rule.order))
    return tuple(found)


def by_name(name: str) -> Rule:
    """The rule of that name.

    Raises:
        UsageError: there is no such rule.
    """
    every = {rule.name: rule for rule in rules()}
    if name not in every:
        near = difflib.get_close_matches(name, every, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"there is no rewrite rule {name!r}",
            remedy=f"{hint}the documentation's reference lists them all: make docs",
        )
    return every[name]
