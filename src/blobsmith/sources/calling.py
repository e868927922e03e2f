"""The user's function called on NumPy arrays, and what is expected of what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BlobsmithError, SourceError
from ..graph import equivalence
from . import faults
from .function import UserFunction
from .outputs import named_outputs

Array = npt.NDArray[Any]


class Reference:
    """The user's function on NumPy arrays, with its errors told in the user's terms."""

    def __init__(self, function: UserFunction, names: Sequence[str], origin: str) -> None:
        self._function, self.names, self._origin = function, tuple(names), origin
        self.shapes: list[list[tuple[int, ...]]] = []
        self.keys: list[str] = []
        self.kinds: list[str] = []

    def tensors(self, frame: equivalence.Feeds) -> list[Any]:
        """Fresh tensors, one an input: no two share memory."""
        import torch

        return [torch.from_numpy(np.array(frame[n], np.float32, order="C")) for n in self.names]

    def __call__(self, frame: equivalence.Feeds) -> dict[str, Array]:
        """Runs it on one frame: position of the output -> array.

        Raises:
            SourceError: it fails, or does not return tensors.
        """
        from .exporters import quiet

        tensors = self.tensors(frame)
        try:
            with self._function.inference(), quiet():
                found = named_outputs(self._function.raw(*tensors))
        except BlobsmithError as error:
            error.where = error.where or self._origin
            raise
        except faults.PASSED_ON:
            raise
        except Exception as error:
            raise faults.call_failed(error, self.names, tensors, self._origin) from error
        self.keys = [key for key, _ in found]
        self.kinds = [faults.kind(tensor, self._origin) for _, tensor in found]
        self.shapes.append([tuple(tensor.shape) for _, tensor in found])
        return {
            str(index): tensor.detach().float().numpy().copy()
            for index, (_, tensor) in enumerate(found)
        }

    def check_shapes(self) -> None:
        """Outputs must have the same number and shapes on every frame, and hold something.

        Raises:
            SourceError: they do not.
        """
        first = self.shapes[0]
        for other in self.shapes[1:]:
            if other != first:
                raise SourceError(
                    f"the shape of the result depends on the frame: {first} and {other}",
                    where=self._origin,
                    remedy="a blob has fixed shapes: return a mask of the whole image in place "
                    "of a list of points",
                )
        if any(0 in shape for shape in first):
            raise SourceError("an output is empty", where=f"{self._origin}, shapes {first}")

    def check_repeatable(self, frame: equivalence.Feeds, before: dict[str, Array]) -> None:
        """The same frame must give the same result again.

        Raises:
            SourceError: it does not.
        """
        if not equivalence.max_difference(before, self(frame)).same:
            raise SourceError(
                "the function gives another result each time it is called",
                where=self._origin,
                remedy="take out what is random (rand, dropout with training=True) or remembered "
                "from the call before",
            )

    def depends(self, name: str, frame: equivalence.Feeds, other: equivalence.Feeds) -> bool:
        """Whether a result changes when one input is taken from another frame."""
        changed = self({**frame, name: other[name]})
        return not equivalence.max_difference(self(frame), changed).same

    def named(
        self, names: Sequence[str], known: dict[int, dict[str, Array]]
    ) -> equivalence.Function:
        """The same function with output names; `known` are results by the frame's id."""

        def run(frame: equivalence.Feeds) -> dict[str, Array]:
            result = known[id(frame)] if id(frame) in known else self(frame)
            return dict(zip(names, result.values(), strict=True))

        return run
