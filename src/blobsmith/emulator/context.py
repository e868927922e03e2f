"""What a stage planner works with: the stage's operands and parameters, and where steps go."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from ..blob.records import Buffer, Location, Stage, TensorDesc
from ..errors import BlobError
from .arrays import Array
from .memory import Memory
from .operands import Scratch, Source, Step, Target, aligned
from .primitives import HALF_LIMIT
from .results import RunWarning, WarningLog

MAX_WORK = 1 << 36
"""Most work that one run may take: element operations, 32 multiply-adds counted as one."""

MACS_PER_UNIT = 32

_INF, _MINUS_INF = 0x7C00, 0xFC00
"""Bits of the two infinities: as integers, NaN lie above each, and as signed integers all
negative halves lie below 0."""


class Budget:
    """Adds up the work of a run while it is planned, so that no file can keep a process busy."""

    def __init__(self, limit: int = MAX_WORK) -> None:
        self.left = limit

    def spend(self, units: int, where: str) -> None:
        """Counts `units` of work.

        Raises:
            BlobError: the budget is used up.
        """
        self.left -= units
        if self.left < 0:
            raise BlobError(
                "the blob asks for more work than a camera could do",
                where=where,
                remedy="the file is damaged; build it again",
            )


class StageContext:
    """One stage while it is planned. Planners call its methods and `then`, in order of execution.

    Attributes:
        stage: the record.
        memory: the regions.
        scratch: shared work arrays.
        log: where steps put warnings.
        steps: what a run calls, in order.
    """

    def __init__(
        self, stage: Stage, memory: Memory, scratch: Scratch, log: WarningLog, budget: Budget
    ) -> None:
        self.stage = stage
        self.memory = memory
        self.scratch = scratch
        self.log = log
        self.steps: list[Step] = []
        self._budget = budget
        self._sources: dict[tuple[int, str], Source] = {}

    @property
    def where(self) -> str:
        """The stage, for messages."""
        return f"stage {self.stage.index} ({self.stage.type_name})"

    def fail(self, what: str) -> BlobError:
        """An error at this stage."""
        return BlobError(what, where=self.where, remedy="build the blob again, or report it")

    def spend(self, units: int) -> None:
        """Counts work beyond one pass over each operand."""
        self._budget.spend(units, self.where)

    def then(self, *steps: Step) -> None:
        """Adds what a run calls next."""
        self.steps.extend(steps)

    # parameters

    def integer(self, name: str) -> int:
        """An integer parameter."""
        return int(cast(int, self.stage.fields[name]))

    def number(self, name: str) -> float:
        """A floating-point parameter."""
        return float(cast(float, self.stage.fields[name]))

    def integers(self, name: str) -> tuple[int, ...]:
        """A parameter that is a list of integers."""
        return cast("tuple[int, ...]", self.stage.fields[name])

    def axis(self, desc: TensorDesc, name: str = "axis") -> int:
        """A "memory axis" parameter (0 is the minor dimension) as an axis of the NumPy array."""
        axis = self.integer(name)
        if not 0 <= axis < len(desc.dims):
            raise self.fail(f"axis {axis} of a tensor of {len(desc.dims)} dimensions")
        return len(desc.dims) - 1 - axis

    # operands

    def buffer(self, index: int) -> Buffer:
        """An operand that must be there."""
        if index >= len(self.stage.buffers):
            raise self.fail(f"operand {index} of {len(self.stage.buffers)} is missing")
        buffer = self.stage.buffers[index]
        if buffer.location is Location.NONE:
            raise self.fail(f"operand {index} is absent")
        return buffer

    def present(self, index: int) -> bool:
        """Whether there is an operand at this position."""
        buffers = self.stage.buffers
        return index < len(buffers) and buffers[index].location is not Location.NONE

    def source(self, index: int, slot: str | None = None) -> Source:
        """Reads an operand: adds its steps. An operand named twice is read once."""
        buffer = self.buffer(index)
        for other, name in self._sources:
            if slot is None and self.stage.buffers[other] == buffer:
                return self._sources[(other, name)]
        name = slot or f"source{len(self._sources)}"
        source = Source(self.memory, self.scratch, buffer, name)
        self._sources = {k: s for k, s in self._sources.items() if k[1] != name}
        self._sources[(index, name)] = source
        self.then(*source.steps)
        self.spend(buffer.desc.elements)
        return source

    def target(self, index: int, slot: str = "target") -> Target:
        """Prepares an operand that is written; `finish` adds its steps.

        Raises:
            BlobError: the stage writes into the constants.
        """
        buffer = self.buffer(index)
        if buffer.location is Location.BLOB:
            raise self.fail("it writes into the constants")
        self.spend(buffer.desc.elements)
        return Target(self.memory, self.scratch, buffer, slot)

    def constant(self, index: int) -> Array:
        """A constant operand: FP32 for FP16, otherwise as stored.

        Raises:
            BlobError: it is not a constant.
        """
        buffer = self.buffer(index)
        if buffer.location is not Location.BLOB:
            raise self.fail(f"operand {index} is no constant, which is not supported here")
        return Source(self.memory, self.scratch, buffer, "constant").data

    def raw(self, index: int, *, write: bool = False) -> Array:
        """An operand's memory itself as unsigned integers of its element size, in memory order."""
        buffer = self.buffer(index)
        if write and buffer.location is Location.BLOB:
            raise self.fail("it writes into the constants")
        self.spend(buffer.desc.elements)
        view = self.memory.view(buffer)
        return view.view(f"<u{view.dtype.itemsize}")

    def detached(self, view: Array, target: Array, slot: str = "detached") -> Array:
        """`view`, or a scratch copy of it (adding a step) if it may overlap `target`."""
        if not np.may_share_memory(view, target):
            return view
        copy = self.scratch.array(slot, view.shape, view.dtype)
        self.then(lambda: np.copyto(copy, view))
        return copy

    def aligned(self, source: Source, like: TensorDesc) -> Array:
        """The source's data with the dimensions of `like` (by dim id, broadcastable)."""
        try:
            return aligned(source.data, source.desc, like)
        except ValueError as error:
            raise self.fail(str(error)) from error

    def same_shape(self, *descs: TensorDesc) -> None:
        """Raises BlobError unless all operands have the same dimensions in memory."""
        if any(desc.dims != descs[0].dims for desc in descs):
            raise self.fail(f"operands have shapes {[list(d.shape) for d in descs]}")

    # results

    def finish(self, target: Target, *sources: Source) -> None:
        """Rounds the target's data into memory and warns of inf and NaN that arose."""
        self.then(*target.steps)
        bits = target.bits
        if bits is None:
            return
        signed = bits.view(np.int16)
        inputs = [s.data for s in sources if s.data.dtype == np.float32]
        report = self._report

        def check() -> None:
            largest = bits.max()
            if largest >= _MINUS_INF or (largest >= _INF and signed.max() >= _INF):
                report(target.data, bits, inputs)

        self.then(check)

    def warn(self, kind: str, count: int, detail: str) -> None:
        """Logs a warning at this stage."""
        self.log.add(RunWarning(self.stage.index, self.stage.type_name, kind, count, detail))

    def _report(
        self,
        exact: Array,
        bits: Array,
        inputs: list[Array],
    ) -> None:
        result = bits.view(np.float16)
        finite = np.isfinite(exact)
        rounded = int(np.count_nonzero(finite & ~np.isfinite(result)))
        nans = int(np.count_nonzero(np.isnan(exact)))
        infs = int(exact.size - np.count_nonzero(finite)) - nans
        clean = all(bool(np.isfinite(x).all()) for x in inputs)
        had_nan = not clean and any(bool(np.isnan(x).any()) for x in inputs)
        total = exact.size
        if rounded:
            peak = float(np.max(np.abs(exact), where=finite, initial=0.0))
            self.warn(
                "overflow",
                rounded,
                f"{rounded} of {total} results passed {HALF_LIMIT:.0f} and became inf; "
                f"the largest is {peak:.6g}",
            )
        if infs and clean:
            self.warn("overflow", infs, f"{infs} of {total} results became inf")
        if nans and not had_nan:
            self.warn("nan", nans, f"{nans} of {total} results became NaN")
        passed = (infs if not clean else 0) + (nans if had_nan else 0)
        if passed:
            self.warn(
                "inherited", passed, f"{passed} of {total} results are inf or NaN from its operands"
            )


Planner = Callable[[StageContext], None]
