"""Bounds of values that hold for every input: enough to decide whether a rule may apply.

Plain interval arithmetic in the reals, each node by itself: a value may be narrower than said
here, never wider. It knows what rules ask: can a value be NaN or infinite (then IsNaN is not
constant), is it an integer small enough for FP16 to hold, is it ever negative. FP16 rounding
and chains of linear operators taken together are the business of `numerics`, not of these bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from .bounds_rules import MASK, READS_INPUTS, interval_of
from .bounds_steps import exact_factor, step_of
from .editor import Editor
from .interval import ANYTHING, FP16_EXACT_INTEGERS, FP16_MAX, Interval, of_array
from .node import Node

__all__ = ["FP16_EXACT_INTEGERS", "FP16_MAX", "Bounds", "Interval", "bounds", "certain"]

FP32_MAX = 3.4028e38
UNKNOWN_INPUT = Interval(-255.0, 255.0, False, False)
"""What is supposed of an input whose range nobody gave, to choose scales by."""
WIDEST_INPUT = Interval(-FP16_MAX, FP16_MAX, False, False)
"""What is certain of it: what takes a step of the user's away may only rely on this."""


class Bounds:
    """Bounds of an editor's values, computed when asked and kept by name.

    Value names stand for the same values through all rewriting, so results stay true while the
    graph changes.

    Args:
        editor: the graph.
        ranges: known ranges of graph inputs; others are taken as `unknown`.
        earlier: bounds of an earlier state of the same graph.
        unknown: of graph inputs whose range is not known.
    """

    def __init__(
        self,
        editor: Editor,
        ranges: Mapping[str, tuple[float, float]] | None = None,
        earlier: Bounds | None = None,
        unknown: Interval = UNKNOWN_INPUT,
    ) -> None:
        self.editor = editor
        self.unknown = unknown
        self._known: dict[str, Interval] = {
            name: Interval(float(low), float(high), False, name in editor.whole_inputs, 1.0)
            if name in editor.whole_inputs
            else Interval(float(low), float(high), False)
            for name, (low, high) in (ranges or {}).items()
        }
        if earlier is not None:
            self._known.update(earlier._known)

    def of(self, value: str) -> Interval:
        """Bounds of a value; `ANYTHING` where nothing is known."""
        pending = [value]
        while pending:
            name = pending[-1]
            if name in self._known:
                pending.pop()
                continue
            node = self.editor.producer(name)
            if node is None:
                self._known[name] = self._leaf(name)
                continue
            missing = [r for r in node.inputs if r and r not in self._known]
            if missing and node.op in READS_INPUTS:
                pending.extend(missing)
                continue
            self._known.update(self._node(node))
            self._known.setdefault(name, ANYTHING)
        return self._known[value]

    def _leaf(self, name: str) -> Interval:
        array = self.editor.constant(name)
        if array is None:
            integral = (dtype := self.editor.dtype(name)) is not None and dtype.kind in "iub"
            return replace(self.unknown, integral=integral, step=float(integral))
        return of_array(array)

    def _node(self, node: Node) -> dict[str, Interval]:
        inputs = [self._known.get(i, ANYTHING) for i in node.inputs]
        result = _in_fp32(interval_of(self.editor, node, inputs))
        step = max(step_of(self.editor, node, inputs), float(result.integral))
        result = replace(result, step=step)
        if result.whole and exact_factor(self.editor, node) and inputs[0].integral:
            result = replace(result, integral=True)
        dtype = self.editor.dtype(node.output)
        if dtype is not None and dtype.kind in "iu" and not result.integral:
            result = Interval(result.low, result.high, False, True)
        if dtype is not None and dtype.kind == "b":
            result = MASK
        return {o: result for o in node.outputs if o}


def _in_fp32(known: Interval) -> Interval:
    """What FP32 has no number for is infinite."""
    if known.magnitude < FP32_MAX:
        return known
    low = -math.inf if known.low <= -FP32_MAX else known.low
    high = math.inf if known.high >= FP32_MAX else known.high
    return replace(known, low=low, high=high)


def bounds(editor: Editor, value: str) -> Interval:
    """Bounds of a value, kept with the editor between calls; -255..255 of unknown inputs."""
    return _kept(editor, "bounds", UNKNOWN_INPUT).of(value)


def certain(editor: Editor, value: str) -> Interval:
    """Bounds of a value that hold whatever a float input of unknown range is fed with."""
    if all(name in editor.ranges for name in editor.inputs):
        return bounds(editor, value)
    return _kept(editor, "certain bounds", WIDEST_INPUT).of(value)


def _kept(editor: Editor, key: str, unknown: Interval) -> Bounds:
    calculator = editor.memo.get(key)
    if not isinstance(calculator, Bounds) or calculator.editor is not editor:
        calculator = Bounds(editor, editor.ranges, calculator, unknown)
        editor.memo[key] = calculator
    return calculator
