"""What a rule is given, and the table of rules by stage type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..blob.records import Buffer, Stage
from ..numerics.intervals import Interval
from .regions import Memory

Rule = Callable[["Context"], "Interval | None"]


@dataclass
class Context:
    """One stage while its range is found."""

    stage: Stage
    memory: Memory

    def number(self, name: str) -> float:
        """A numeric parameter."""
        value = self.stage.fields[name]
        return float(value) if not isinstance(value, tuple) else float(value[0])

    def value(self, index: int) -> Interval:
        """The range of an operand."""
        return self.memory.read(self.stage.buffers[index])

    def buffer(self, index: int) -> Buffer:
        """An operand."""
        return self.stage.buffers[index]


RULES: dict[int, Rule] = {}


def rule(*types: int) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for kind in types:
            RULES[kind] = function
        return function

    return register
