"""What the compiler can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import UsageError

MAX_SHAVES = 16
MAX_SLICES = 19
DEFAULT_SHAVES = 6


@dataclass(frozen=True)
class CompileOptions:
    """Options of one compilation.

    Attributes:
        shaves: SHAVE processors to compile for, 1 to 16.
        cmx_slices: CMX slices of 128 KiB, `shaves` to 19; None: as many as shaves.
        inputs: precision of each input: "u8", "fp16", "fp32" or "i32".
        outputs: precision of each output: "fp16", "fp32" or "i32".
        hardware: use the convolution engine.
        extra: further plugin configuration, key and value.

    Raises:
        UsageError: shaves or slices out of range.
    """

    shaves: int = DEFAULT_SHAVES
    cmx_slices: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    hardware: bool = True
    extra: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.shaves <= MAX_SHAVES:
            raise UsageError(
                f"{self.shaves} shaves cannot be compiled for", remedy="give 1 to 16 shaves"
            )
        if not self.shaves <= self.slices <= MAX_SLICES:
            raise UsageError(
                f"{self.slices} CMX slices do not go with {self.shaves} shaves",
                remedy=f"give {self.shaves} to {MAX_SLICES} slices, or none",
            )

    @property
    def slices(self) -> int:
        """CMX slices; as many as shaves unless given."""
        return self.shaves if self.cmx_slices is None else self.cmx_slices
