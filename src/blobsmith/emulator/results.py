"""What a run of the emulator returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .arrays import Array


@dataclass(frozen=True, slots=True)
class RunWarning:
    """Something in a run that the user should know of.

    Attributes:
        stage: index of the stage in the blob's list; an injected stage has its host's.
        type_name: the stage's type.
        kind: "overflow" (finite operands, a result beyond 65504 became inf), "nan" (no operand
            was NaN, a result is), "inherited" (inf or NaN came in with an operand), "prescale"
            (the sum of a hardware convolution before scaling passed 65504: whether the chip
            clips there is unknown), "padding" (hardware pooling with padding on some sides only,
            whose place on the chip is unknown), "index" (a gather index outside its axis was
            clipped).
        count: number of elements concerned, over all samples of the batch.
        detail: one sentence with the values concerned.
    """

    stage: int
    type_name: str
    kind: str
    count: int
    detail: str

    def __str__(self) -> str:
        return f"stage {self.stage} ({self.type_name}): {self.detail}"


class RunResult(Mapping[str, Array]):
    """The outputs of one run by name, in the order of the blob.

    Arrays are in ONNX order (the file's dimensions reversed): float16 for FP16 outputs, float32,
    int32 or uint8 for others. They belong to the caller; the next run does not touch them.
    """

    def __init__(self, outputs: Mapping[str, Array], warnings: tuple[RunWarning, ...] = ()) -> None:
        self._outputs = dict(outputs)
        self.warnings = warnings

    def __getitem__(self, name: str) -> Array:
        return self._outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __repr__(self) -> str:
        parts = [f"{name}: {a.dtype}{list(a.shape)}" for name, a in self._outputs.items()]
        return f"RunResult({', '.join(parts)}; {len(self.warnings)} warnings)"


class WarningLog:
    """Collects the warnings of one run; the same kind at the same stage is counted together."""

    def __init__(self) -> None:
        self._found: dict[tuple[Any, ...], RunWarning] = {}

    def clear(self) -> None:
        """Forgets all warnings."""
        self._found.clear()

    def add(self, warning: RunWarning) -> None:
        """Adds a warning; its count is added to an earlier one of this kind and stage."""
        key = (warning.stage, warning.type_name, warning.kind)
        old = self._found.get(key)
        if old is not None:
            warning = RunWarning(
                old.stage, old.type_name, old.kind, old.count + warning.count, old.detail
            )
        self._found[key] = warning

    def items(self) -> tuple[RunWarning, ...]:
        """The warnings in the order in which they arose."""
        return tuple(self._found.values())
