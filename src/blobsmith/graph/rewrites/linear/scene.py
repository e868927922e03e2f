"""All linear maps of a graph: which values have to exist, and from what each is computed.

A value *has to exist* if a node reads it that is not linear, if it is an output, or if a linear
map cannot pass through it (a reflecting Pad behind a filter). Everything between such values is one
linear map. Maps that walk alike over sources of one size are put together: one pass of the engine
computes them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...editor import Editor
from ...node import Node
from . import emit, engine, join, price
from . import form as fm
from .form import Form
from .step import Get
from .steps import STEPS, step
from .trace import plain

_MOST_NODES = 3000
_MOST_APART = 16
"""Channels up to which maps of different sources share a pass: beyond, the engine is used well."""
_CHANGING = frozenset({"Conv", "AveragePool", "MatMul", "Add", "Sub", "Mul", "Div"})


@dataclass(frozen=True)
class Group:
    """Values that one pass can compute.

    Attributes:
        values: names, in the order of their rows.
        rows: number of rows of each.
        form: all rows together.
        nodes: the nodes that exist for these values alone, in topological order.
        shared: nodes on the way to them that others need too.
    """

    values: tuple[str, ...]
    rows: tuple[int, ...]
    form: Form
    nodes: tuple[Node, ...]
    shared: tuple[Node, ...] = ()


class _Scene:
    """Reads the linear maps of one state of a graph."""

    def __init__(self, editor: Editor) -> None:
        self.editor = editor
        self.order = editor.sorted()
        self.forms: dict[str, Form] = {}
        self._plain: dict[Any, Form | None] = editor.memo.setdefault("linear sources", {})
        self._steps: dict[Any, Any] = editor.memo.setdefault("linear steps", {})
        self.stops: set[str] = set()
        self._linear = {o for node in self.order for o in node.outputs if o and node.op in STEPS}
        self._compose()
        self.stops = self._read_elsewhere()
        for _ in range(8):
            if not self._compose():
                break

    # ------------------------------------------------------------------ forms

    def plain(self, value: str) -> Form | None:
        """The form of a value taken as a source."""
        key = (value, self.editor.type(value))
        if key not in self._plain:
            self._plain[key] = plain(self.editor, value)
        return self._plain[key]

    def _step(self, node: Node, output: str, get: Get) -> Form | None:
        """The form of an output; remembered by all that it is made from.

        Names alone are not enough: a change that was undone may have used them for other values.
        """
        constants = self.editor.constants
        inputs = [constants[i] if i in constants else get(i) for i in node.inputs if i]
        made_from = (node.op, repr(node.attrs), output, tuple(node.inputs))
        key = (made_from, self.editor.shape(output), tuple(id(part) for part in inputs))
        if key not in self._steps:
            # what the form is made from is kept, so that nothing else gets its id
            self._steps[key] = (step(self.editor, node, output, get), inputs)
        found: Form | None = self._steps[key][0]
        return found

    def _alone(self, node: Node, output: str) -> Form | None:
        form = self._step(node, output, self.plain)
        return form if form is not None and max(form.taps) <= engine.MAX_KERNEL else None

    def _read_elsewhere(self) -> set[str]:
        stops = set(self.editor.outputs)
        for node in self.order:
            if not any(o in self._linear for o in node.outputs):
                stops.update(node.reads())
        return stops

    def _get(self, value: str) -> Form | None:
        if value in self.stops or value not in self.forms:
            return self.plain(value)
        return self.forms[value]

    def _compose(self) -> bool:
        """Computes all forms; whether more values turned out to be needed."""
        self.forms, before = {}, (len(self.stops), len(self._linear))
        for node in self.order:
            for output in node.outputs:
                if output not in self._linear:
                    continue
                form = self._step(node, output, self._get)
                if form is None or not self._worth(form, node):
                    form = self._alone(node, output)
                    self.stops.update(r for r in node.inputs if r in self._linear)
                if form is None:
                    self._linear.discard(output)
                    self.stops.update(node.reads())
                else:
                    self.forms[output] = form
        return before != (len(self.stops), len(self._linear))

    def _worth(self, form: Form, node: Node) -> bool:
        """Whether to compute a value in one go instead of from its node's inputs."""
        if price.faint(form) and emit.terms(form) is None:
            return False
        if form.pointwise:
            return True
        if node.op in _CHANGING and not price.possible(form):
            return False
        if node.op not in ("Conv", "AveragePool", "Resize", "MatMul"):
            return True
        before = self._get(node.inputs[0 if node.op != "MatMul" else 1])
        alone = self._alone(node, node.output)
        if before is None or alone is None or before.pointwise or max(before.taps) == 1:
            return True
        return self._least(form) <= self._least(before) + self._least(alone)

    # ------------------------------------------------------------------ groups

    def groups(self) -> list[Group]:
        """The maps that have to be computed, put together where one pass serves several."""
        found: list[tuple[list[str], Form]] = []
        for value in self._wanted:
            form = self.forms[value]
            for index, (members, joint) in enumerate(found):
                merged = self._merge(members, joint, value, form)
                if merged is not None:
                    found[index] = ([*members, value], merged)
                    break
            else:
                found.append(([value], replace(form, lead=(1, form.rows), flat=False)))
        return [self._group(members, joint) for members, joint in found]

    @cached_property
    def _wanted(self) -> list[str]:
        """The values that have to be computed, without those that are pixels of others, moved."""
        return [
            o for node in self.order for o in node.outputs
            if o in self.stops and o in self.forms and not _moved(self.forms[o])
        ]  # fmt: skip

    @cached_property
    def _needs(self) -> dict[str, int]:
        """Which wanted values each value is computed from, itself included, as bits."""
        bit = {value: 1 << index for index, value in enumerate(self._wanted)}
        needs: dict[str, int] = {}
        for node in self.order:
            mask = 0
            for value in node.reads():
                mask |= needs.get(value, 0)
            for output in node.outputs:
                needs[output] = mask | bit.get(output, 0)
        return needs

    def _merge(self, members: Sequence[str], joint: Form, value: str, form: Form) -> Form | None:
        apart = set(joint.sources) != set(form.sources)
        walks = [(a.base, a.size, a.stride) for a in (joint.y, joint.x, form.y, form.x)]
        if walks[:2] != walks[2:] or (apart and joint.inputs + form.inputs > _MOST_APART):
            return None
        if apart and self._depends(form.sources, members):
            return None
        if apart and self._depends(joint.sources, [value]):
            return None
        row = replace(form, lead=(1, form.rows), flat=False)
        merged = join.stack([joint, row], 1)
        if merged is None or merged.rows > fm.MAX_INPUTS:
            return None
        return merged if self._least(merged) < self._least(joint) + self._least(row) else None

    def _least(self, form: Form) -> float:
        found = price.candidates(form, prices(self.editor))
        return found[0].cycles if found else float("inf")

    def _depends(self, values: Sequence[str], on: Sequence[str]) -> bool:
        """Whether any of the values is computed from any of the others."""
        wanted = 0
        for value in on:
            wanted |= 1 << self._wanted.index(value)
        return any(self._needs.get(value, 0) & wanted for value in values)

    def _group(self, members: Sequence[str], joint: Form) -> Group:
        own, shared = self._between(members, set(joint.sources))
        rows = tuple(self.forms[m].rows for m in members)
        return Group(tuple(members), rows, fm.trim(joint), tuple(own), tuple(shared))

    def _between(self, members: Sequence[str], sources: set[str]) -> tuple[list[Node], list[Node]]:
        """Nodes between the sources and the members: those that nothing else needs, and others."""
        reached: set[Node] = set()
        pending = list(members)
        while pending:
            node = self.editor.producer(pending.pop())
            if node is not None and node not in reached:
                reached.add(node)
                pending.extend(r for r in node.inputs if r in self._linear and r not in sources)
        own = set(reached)
        for node in reversed([n for n in self.order if n in reached]):
            for output in node.outputs:
                outside = [c for c in self.editor.consumers(output) if c not in own]
                if output not in members and (outside or output in self.editor.outputs):
                    own.discard(node)
        found = [n for n in self.order if n in reached]
        return [n for n in found if n in own], [n for n in found if n not in own]


def prices(editor: Editor) -> price.Known:
    """Candidates found before for this graph, in any of its states."""
    known: price.Known = editor.memo.setdefault("linear prices", {})
    return known


def _moved(form: Form) -> bool:
    """Whether every row is a row of a source, cut or shifted: nothing to compute."""
    used = form.kernel.reshape(form.rows, -1) != 0
    return bool(
        np.all(used.sum(axis=1) == 1) and np.all(form.kernel[form.kernel != 0] == 1)
        and not np.any(form.bias)
    )  # fmt: skip


def groups(editor: Editor) -> Mapping[str, Group]:
    """The linear maps of the editor's present graph, by the last of their values.

    None where the graph is too large to look at. Remembered until the graph changes, as every node
    of a sweep asks.
    """
    nodes = editor.nodes
    if len(nodes) > _MOST_NODES:
        return {}
    seen = editor.memo.get("linear maps seen")
    if isinstance(seen, _Seen) and seen.version == editor.version:
        return seen.groups
    state = [(node, list(node.inputs), list(node.outputs)) for node in nodes]
    known = editor.memo.get("linear maps")
    if not isinstance(known, _Known) or known.state != state:
        found = {group.values[-1]: group for group in _Scene(editor).groups()}
        known = _Known(state, found)
        editor.memo["linear maps"] = known
    editor.memo["linear maps seen"] = _Seen(editor.version, known.groups)
    return known.groups


def group_of(editor: Editor, node: Node) -> Group | None:
    """The map whose last value a node makes."""
    found = groups(editor)
    return next((found[output] for output in node.outputs if output in found), None)


@dataclass(frozen=True)
class _Seen:
    version: int
    groups: Mapping[str, Group]


@dataclass(frozen=True)
class _Known:
    state: list[tuple[Node, list[str], list[str]]]
    groups: Mapping[str, Group]
