"""The blob on the chip: its stages with predicted times and bytes moved, and its memory."""

from __future__ import annotations

from typing import Any

from ..blob import Blob, describe, stage_rows
from ..cost import predict
from .model import ChipView, StageView

_DDR = frozenset(("input", "output", "constants", "scratch"))


def chip_view(blob: Blob) -> ChipView:
    """All that the page says of the blob itself; from its bytes alone."""
    cost = predict(blob)
    known = describe(blob)
    stages: list[StageView] = []
    now = 0.0
    for row, price in zip(stage_rows(blob), cost.per_stage, strict=True):
        stages.append(_stage(row, now, price.total_ms))
        now += price.total_ms
    memory = known["memory"]
    return ChipView(
        shaves=blob.shaves, cmx_slices=known["header"]["cmx_slices"], cmx=memory["cmx"],
        cmx_used=memory["cmx_used"], constants=memory["constants"], scratch=memory["scratch"],
        inputs=memory["inputs"], outputs=memory["outputs"], predicted_ms=cost.total_ms,
        engine_ms=cost.engine_ms, memory_ms=cost.memory_ms, activation_ms=cost.activation_ms,
        dispatch_ms=cost.dispatch_ms, caveats=cost.caveats, stages=tuple(stages),
    )  # fmt: skip


def _stage(row: dict[str, Any], start: float, ms: float) -> StageView:
    moved = {"read": 0, "written": 0, "cmx": 0}
    for operand in row["operands"]:
        way = "written" if operand["role"] == "output" else "read"
        moved[way if operand["location"] in _DDR else "cmx"] += operand["bytes"]
    return StageView(
        index=row["index"], injected=row["injected"], name=row["name"], unit=row["unit"],
        shaves=row["shaves"] if row["unit"] == "software" else 0, start_ms=start, ms=ms,
        ddr_read=moved["read"], ddr_written=moved["written"], cmx=moved["cmx"],
        detail=_detail(row),
    )  # fmt: skip


def _detail(row: dict[str, Any]) -> str:
    """What goes where, and the hardware operations, in words."""
    flows = []
    for role, arrow in (("input", ""), ("output", "→ ")):
        for operand in row["operands"]:
            if operand["role"] == role:
                shape = "x".join(map(str, operand["shape"]))
                flows.append(f"{arrow}{operand['dtype']} {shape} {operand['location']}")
    words = [" ".join(dict.fromkeys(flows))]
    kinds: dict[str, int] = {}
    for operation in row["operations"]:
        kernel = "x".join(map(str, operation["kernel"]))
        text = f"{operation['operation']} {kernel} stride {operation['stride']}"
        kinds[text] = kinds.get(text, 0) + 1
    words += [f"{count} x {text}" if count > 1 else text for text, count in kinds.items()]
    return "; ".join(filter(None, words))
