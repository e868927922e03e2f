"""Interval analysis of a whole graph: bounds that hold for every input.

Two arithmetics: FP32 (`half=False`: what the function itself computes) and FP16 (`half=True`:
every result rounded to FP16, constants as the compiler stores them, a bound of 65520 and more is
infinite from there on). Both follow IEEE 754 with FP32 accumulation inside an operator; the chip's
accumulators are not documented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from ...tensors import TensorSpec
from .. import constants as compiler
from ..fp16 import MAX, Array, round_out
from ..network import FLOATS, Network, Node
from . import activations, elementwise, linear, logic, matrix, movement, normalise, pooling, reduce
from . import arithmetic as ar
from .affine import Form, identity
from .affine_ops import propagate
from .interval import UNBOUNDED, Interval, intersect, make, point, tidy
from .registry import FP32_UNIT, RULES, Rule, Step

FAMILIES = (
    activations, elementwise, linear, logic, matrix, movement, normalise, pooling, reduce
)  # fmt: skip
"""The modules that fill `RULES` when they are imported."""


class Reach(IntEnum):
    """How sharp bounds are.

    LOOSE: perhaps no input comes near. ATTAINED: some input does. FREE: attained, and elements
    vary independently of each other, as in an input.
    """

    LOOSE = 0
    ATTAINED = 1
    FREE = 2


@dataclass(frozen=True)
class Analysis:
    """Bounds of every tensor of a graph.

    Attributes:
        bounds: by tensor name.
        reach: how sharp they are, by tensor name.
        notes: what had to be assumed, one sentence each.
        half: which arithmetic.
    """

    bounds: Mapping[str, Interval]
    reach: Mapping[str, Reach]
    notes: tuple[str, ...]
    half: bool

    def __getitem__(self, name: str) -> Interval:
        return self.bounds.get(name, UNBOUNDED)


def analyse(
    network: Network, specs: Sequence[TensorSpec], *, half: bool, forms: bool = True
) -> Analysis:
    """Bounds of every tensor.

    Args:
        network: the graph.
        specs: the inputs' declared dtypes and ranges, matched by name; an input without one, or
            of floating-point dtype without `value_range`, is taken to hold any FP16 number.
        half: bounds of the FP16 results (True) or of the FP32 results (False).
        forms: take chains of linear operators together.
    """
    run = _Run(network, half, forms)
    run.load_inputs({spec.name: spec for spec in specs})
    with np.errstate(all="ignore"):
        for node in network.steps():
            run.visit(node)
    return Analysis(run.bounds, run.reach, tuple(dict.fromkeys(run.notes)), half)


def input_range(spec: TensorSpec | None) -> tuple[float, float]:
    """The declared range of an input."""
    if spec is not None and spec.dtype == "u8":
        return (0.0, 255.0)
    if spec is not None and spec.value_range is not None:
        return (float(spec.value_range[0]), float(spec.value_range[1]))
    return (-MAX, MAX)


@dataclass
class _Run:
    network: Network
    half: bool
    with_forms: bool
    bounds: dict[str, Interval] = field(default_factory=dict)
    reach: dict[str, Reach] = field(default_factory=dict)
    forms: dict[str, Form | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    stored: dict[tuple[int, int], np.ndarray[Any, Any]] = field(default_factory=dict)

    def load_inputs(self, specs: Mapping[str, TensorSpec]) -> None:
        for name in self.network.inputs:
            spec = specs.get(name)
            low, high = input_range(spec)
            if (spec is None or spec.dtype != "u8") and (spec is None or spec.value_range is None):
                self.notes.append(
                    f"input {name!r} has no declared range: taken as any FP16 number; "
                    "declare value_range for sharper bounds"
                )
            value = make(low, high)
            if self.half and self.network.is_float(name):
                value = make(*round_out(value.lo, value.hi, half=True))
            self.bounds[name] = value
            self.reach[name] = Reach.FREE

    def value_of(self, name: str, node: Node, index: int) -> Interval | None:
        if not name:
            return None
        if name in self.bounds:
            return self.bounds[name]
        if name in self.network.constants:
            return point(self.constant(node, index, name))
        return UNBOUNDED

    def constant(self, node: Node, index: int, name: str) -> np.ndarray[Any, Any]:
        return self.compiled(node, index) if self.half else self.network.constants[name]

    def compiled(self, node: Node, index: int) -> np.ndarray[Any, Any]:
        key = (node.index, index)
        if key not in self.stored:
            self.stored[key] = compiler.compiled(self.network, node, index)
        return self.stored[key]

    def visit(self, node: Node) -> None:
        network = self.network
        constants = {
            i: self.constant(node, i, name)
            for i, name in enumerate(node.inputs)
            if name in network.constants
        }
        inputs = tuple(self.value_of(name, node, i) for i, name in enumerate(node.inputs))
        step = Step(node, network, inputs, constants, self.half)
        rule = RULES.get(node.op)
        if rule is None:
            where = node.name or (node.outputs[0] if node.outputs else "")
            self.notes.append(f"{node.op} {where!r} is not known: its results are unbounded")
            for name in node.outputs:
                self.bounds[name] = UNBOUNDED
            return
        result = rule.function(step)
        results = [result] if isinstance(result, Interval) else list(result)
        form = self.form(step) if results else None
        sharp = form is not None and form.depth > 1
        for position, name in enumerate(node.outputs):
            if not name:
                continue
            value = results[position] if position < len(results) else UNBOUNDED
            value = tidy(value, network.rank(name))
            if sharp and position == 0 and form is not None:
                value = tidy(intersect(value, self.form_bounds(form)), network.rank(name))
            rounded = self.round(value, name, rule, node)
            self.bounds[name] = rounded
            self.reach[name] = self.reach_of(step, rule, form if position == 0 else None)
            if position == 0 and form is not None:
                self.keep(name, form, rounded, exact=rule.moves)

    def round(self, value: Interval, name: str, rule: Rule, node: Node) -> Interval:
        """The bounds after the operator's rounding."""
        if not self.network.is_float(name):
            return value
        if rule.moves and not any(n in self.network.constants for n in node.inputs):
            return value
        if rule.ulps:
            value = ar.widen_relative(value, rule.ulps * FP32_UNIT)
        lo, hi = round_out(value.lo, value.hi, half=self.half)
        return make(lo, hi, value.nan)

    def form(self, step: Step) -> Form | None:
        """The operator's result as an affine form."""
        if not self.with_forms:
            return None
        name = step.node.outputs[0]
        if self.network.dtypes.get(name, 0) not in FLOATS:
            return None
        return propagate(step, self.form_of)

    def form_of(self, name: str) -> Form | None:
        if name in self.forms:
            return self.forms[name]
        shape = self.network.shapes.get(name)
        form = None
        if shape is not None and name in self.bounds and self.network.is_float(name):
            form = identity(name, shape, self.bounds[name])
        self.forms[name] = form
        return form

    def form_bounds(self, form: Form) -> Interval:
        """Bounds of a form, with the FP32 rounding of its last operator."""
        value = form.bounds()
        size = np.maximum(np.abs(value.lo), np.abs(value.hi))
        taps = sum(int(t.kernel[0].size) for t in form.terms.values())
        weight = sum(
            np.abs(t.kernel).sum(axis=(2, 3)) @ np.maximum(np.abs(t.low), np.abs(t.high))
            for t in form.terms.values()
        )
        slack = (taps + 8) * FP32_UNIT * (np.asarray(weight).reshape(size.shape) + size)
        return ar.widen(value, slack)

    def keep(self, name: str, form: Form, value: Interval, *, exact: bool) -> None:
        """Remembers a form, with what rounding may have added; not past an overflow."""
        if not value.finite or value.nan:
            self.forms[name] = None
            return
        if exact:
            self.forms[name] = form
            return
        own = self.form_bounds(form)
        size = np.maximum(np.abs(own.lo), np.abs(own.hi))
        exact_bounds = form.bounds()
        extra = np.maximum(own.hi - exact_bounds.hi, 0)
        unit: Array = size * (2.0**-11 if self.half else 2.0**-23)
        self.forms[name] = form.with_error(extra + unit + (2.0**-25 if self.half else 1e-40))

    def reach_of(self, step: Step, rule: Rule, form: Form | None) -> Reach:
        """How sharp an operator's bounds are."""
        given = [
            self.reach.get(name, Reach.LOOSE)
            for name in dict.fromkeys(step.node.inputs)
            if name and name not in self.network.constants
        ]
        if not given:
            return Reach.ATTAINED
        if form is not None and form.depth:
            roots = {key.tensor for key in form.terms}
            free = all(self.reach.get(r) == Reach.FREE for r in roots)
            if free:
                alone = form.pointwise and len(roots) == 1 and step.node.op in _ONE_TO_ONE
                return Reach.FREE if alone else Reach.ATTAINED
            return Reach.LOOSE
        square = step.node.op == "Mul" and step.same(0, 1)
        if len(given) == 1 and (rule.keeps or square):
            return given[0]
        linear_op = step.node.op in ("Conv", "Gemm", "MatMul", "AveragePool", "Add", "Sub", "Mul")
        if linear_op and len(given) == 1 and given[0] == Reach.FREE:
            return Reach.ATTAINED
        if rule.moves and step.node.op in ("Concat", "Max", "Min", "Where"):
            return min(*given, Reach.ATTAINED)
        return Reach.LOOSE


_ONE_TO_ONE = frozenset(("Add", "Sub", "Mul", "Div", "Neg", "Identity", "Reshape", "Transpose"))
