"""What the rules may know of a graph's inputs, from the specs of the blob's boundary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...tensors import TensorSpec


@dataclass(frozen=True)
class KnownInputs:
    """What `rewrite` takes of inputs.

    Attributes:
        ranges: input name -> smallest and largest element.
        whole: inputs that hold whole numbers only.
    """

    ranges: dict[str, tuple[float, float]]
    whole: frozenset[str]

    @classmethod
    def of(cls, specs: Iterable[TensorSpec]) -> KnownInputs:
        """Of the inputs of a graph that holds their preprocessing: 0..255 for bytes.

        A float input is known only where its range was declared.
        """
        ranges: dict[str, tuple[float, float]] = {}
        whole: set[str] = set()
        for spec in specs:
            if spec.dtype == "u8":
                ranges[spec.name] = (0.0, 255.0)
                whole.add(spec.name)
            elif spec.value_range is not None:
                ranges[spec.name] = spec.value_range
            if spec.dtype == "i32":
                whole.add(spec.name)
        return cls(ranges, frozenset(whole))
