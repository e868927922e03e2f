"""From a blob to the list of calls that a run makes."""

from __future__ import annotations

import functools
from importlib import import_module

from ..blob.reader import Blob
from ..blob.records import Stage
from ..blob.types import category
from ..errors import BlobError
from .context import Budget, Planner, StageContext
from .memory import Memory, all_stages
from .operands import Scratch, Step
from .results import WarningLog

Plan = list[tuple[Stage, list[Step]]]

_FAMILIES = (
    "movement",
    "padding",
    "indexing",
    "eltwise",
    "unary",
    "convolution",
    "matrix",
    "pooling",
    "reduction",
    "normalization",
    "resize",
    "topk",
    "hardware",
)


@functools.cache
def planners() -> dict[int, Planner]:
    """The planner of each stage type that can be executed."""
    table: dict[int, Planner] = {}
    for family in _FAMILIES:
        table.update(import_module(f"{__package__}.stages.{family}").PLANNERS)
    return table


def plan(blob: Blob, memory: Memory, scratch: Scratch, log: WarningLog) -> Plan:
    """Each stage with its calls, injected stages behind their hosts, in the order of execution.

    Raises:
        BlobError: a stage type that cannot be executed, or operands that do not fit it.
    """
    table, budget = planners(), Budget()
    result: Plan = []
    for stage in all_stages(blob):
        planner = table.get(stage.type_id)
        if planner is None:
            raise BlobError(
                f"the emulator cannot execute stages of type {stage.type_name} "
                f"({stage.type_id}, {category(stage.type_id)})",
                where=f"stage {stage.index}",
                remedy="replace the operator it comes from; `blobsmith inspect --stages` lists all",
            )
        context = StageContext(stage, memory, scratch, log, budget)
        try:
            planner(context)
        except (ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
            raise context.fail(f"its operands or parameters do not fit: {error}") from error
        result.append((stage, context.steps))
    return result
