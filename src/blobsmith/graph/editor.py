"""A mutable working copy of an ONNX graph: what rewrite rules read and change.

The graph is held as `Node` objects, constants as numpy arrays (initializers and Constant nodes
alike), and every value's shape and dtype, which stay known while nodes come and go: a new node's
outputs are inferred when it is inserted.

    e = Editor(proto)
    for node in e.sorted():
        if node.op == "Neg" and (inner := e.producer(node.inputs[0])) and inner.op == "Neg":
            e.redirect(node.output, inner.inputs[0])
    e.drop_dead()
    proto = e.to_proto()

Only onnx and numpy are used: see `rewrites/rule.py` for why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from ..errors import ModelError
from .inference import SMALL, Array, ValueType, infer_node
from .node import Node, copy
from .view import GraphView

__all__ = ["Array", "Editor", "Record", "ValueType"]


@dataclass
class Record:
    """What happened to the graph while `Editor.recording` was active.

    Attributes:
        removed: nodes that were there before.
        added: nodes that came.
        same: value before -> value after, for values that the changes promise to keep.
    """

    removed: list[Node] = field(default_factory=list)
    added: list[Node] = field(default_factory=list)
    same: dict[str, str] = field(default_factory=dict)


class Editor(GraphView):
    """A graph that can be changed. Value names are unique over the whole graph.

    Args:
        proto: the model; copied, never changed.

    Attributes:
        inputs, outputs: names of the graph's inputs (without initializers) and outputs, in order.
        opset: version of ONNX's own domain.
        constants: value name -> array. Treat the arrays as read-only.
        ranges: input name -> range of its elements, where the caller knows it.
        whole_inputs: inputs that hold whole numbers only, as U8 images do.
        memo: results that rules keep by value name, which stands for the same value throughout.

    Raises:
        ModelError: the graph is inconsistent (a value without a producer).
    """

    def __init__(self, proto: ModelProto) -> None:
        super().__init__(proto)
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._counter = 0
        self._record: Record | None = None
        self._taken = set(self.constants) | set(self.inputs) | set(self._producer)

    # ------------------------------------------------------------------ changing

    def fresh(self, hint: str = "v") -> str:
        """A value name that is not in use."""
        base = hint.split("__")[0][:60] or "v"
        while True:
            self._counter += 1
            name = f"{base}__{self._counter}"
            if name not in self._taken:
                self._taken.add(name)
                return name

    def add_constant(self, array: npt.ArrayLike, hint: str = "const") -> str:
        """Adds a constant and returns its name; small equal ones are shared.

        float64 arrays become float32, as everything in these graphs computes in float32.
        """
        value = np.ascontiguousarray(array).reshape(np.shape(array))
        if value.dtype == np.float64:
            value = value.astype(np.float32)
        key = (value.dtype.str, value.shape, value.tobytes()) if value.nbytes <= SMALL else None
        if key is not None and self._shared.get(key, "") in self.constants:
            return self._shared[key]
        name = self.fresh(hint)
        self.constants[name] = value
        if key is not None:
            self._shared[key] = name
        return name

    def insert(self, nodes: Iterable[Node], like: Node | None = None) -> None:
        """Adds nodes; their outputs are new names, their types are inferred.

        Args:
            nodes: in topological order among themselves.
            like: the node whose source line (doc, metadata) they inherit if they have none.

        Raises:
            ModelError: an output's name is taken by another producer.
        """
        at = self._nodes.index(like) if like is not None and like in self else len(self._nodes)
        for node in nodes:
            self._insert_at(node, at, like)
            at += 1

    def replace(self, old: Sequence[Node], new: Sequence[Node]) -> None:
        """Takes nodes out and puts others in their place.

        New nodes that make a value of the same name as an old one promise the same value.
        New nodes without a source line inherit that of the last old node.

        Args:
            old: nodes to remove; values of theirs that are still read must be made by `new`.
            new: in topological order among themselves.

        Raises:
            ModelError: a value that is still read would lose its producer, or a shape or dtype
                would change.
        """
        last = old[-1]
        at = max(self._nodes.index(node) for node in old) - len(old) + 1
        before = {o: self._types.get(o) for node in old for o in node.outputs if o}
        for node in old:
            self._remove(node)
        made = {o for node in new for o in node.outputs if o}
        for value in before:
            if value not in made and self._is_read(value, new):
                raise ModelError("a rewrite lost a value that is still read", where=value)
        for node in new:
            self._insert_at(node, at, last)
            at += 1
        for value in made & set(before):
            self.note_same(value, value)
            was, now = before[value], self._types.get(value)
            if was and now and was != now and was.shape is not None:
                raise ModelError(f"a rewrite changed {was} to {now}", where=value)

    def redirect(self, old: str, new: str, readers: Sequence[Node] | None = None) -> None:
        """Lets readers of one value read another that is the same.

        If `old` is a graph output (and `readers` is None), the output keeps its name: the
        producer of `new` is made to produce it, or an Identity is inserted.

        Args:
            old: value read so far.
            new: value to read instead.
            readers: only these nodes; None: all, and the graph's outputs.
        """
        self.note_same(old, new)
        for node in self.consumers(old) if readers is None else readers:
            if old in node.captured:
                self.insert([Node("Identity", [new], [self._steal(old)])], like=node)
                return
            self._rewire(node, old, new)
        if readers is None and old in self.outputs:
            self._give_output(old, new)

    def rewire(self, node: Node, index: int, value: str) -> None:
        """Lets one input of one node read another value; the node promises the same outputs."""
        if self._record is not None:
            self._record.added.append(node)
            for output in node.outputs:
                self.note_same(output, output)
        self._read_instead(node, index, value)

    def retype(self, node: Node, attrs: dict[str, Any]) -> None:
        """Gives a node other attributes and infers its outputs again, dtype included.

        The node promises the same values, apart from rounding. Go in topological order.
        """
        self._version += 1
        node.attrs = attrs
        for output in node.outputs:
            self._types.pop(output, None)
            if output:
                self.note_same(output, output)
        self._infer(node)
        if self._record is not None:
            self._record.added.append(node)

    def infer_again(self) -> None:
        """Infers every node's outputs anew, where a change made more known than before."""
        for node in self.sorted():
            self._infer(node)

    def remove(self, nodes: Iterable[Node]) -> None:
        """Takes nodes out whose outputs nobody reads."""
        for node in nodes:
            self._remove(node)

    def drop_dead(self) -> int:
        """Removes nodes and constants that no output depends on; returns how many nodes."""
        count = 0
        pending = list(self._nodes)
        while pending:
            node = pending.pop()
            if node in self and not any(self._is_read(o) for o in node.outputs if o):
                makers = [self._producer[r] for r in node.reads() if r in self._producer]
                self._remove(node)
                pending.extend(makers)
                count += 1
        used = {r for node in self._nodes for r in node.reads()} | set(self.outputs)
        self.constants = {k: v for k, v in self.constants.items() if k in used}
        return count

    def set_opset(self, version: int) -> None:
        """Declares another opset version; the caller answers for every node's meaning."""
        self.opset = version

    def note_same(self, old: str, new: str) -> None:
        """Promises that a value of before and one of now hold the same, for the check."""
        if self._record is None:
            return
        for key, value in self._record.same.items():
            if value == old and old != new:
                self._record.same[key] = new
        self._record.same[old] = new

    @contextmanager
    def recording(self) -> Iterator[Record]:
        """Notes what is removed, added and promised equal while the block runs."""
        outer, self._record = self._record, Record()
        try:
            yield self._record
        finally:
            self._record = outer

    def clone(self) -> Editor:
        """An independent copy (constants' arrays are shared)."""
        other = object.__new__(Editor)
        other.__dict__.update(self.__dict__)
        other.constants = dict(self.constants)
        other._types = dict(self._types)
        other._shared = dict(self._shared)
        other._taken = set(self._taken)
        other.memo = dict(self.memo)
        other._record, other._sorted_at, other._typed_at = None, -1, -1
        other._nodes, other._producer, other._consumers = [], {}, {}
        for node in self._nodes:
            other._register(copy(node))
        return other

    def become(self, other: Editor) -> None:
        """Takes over the content of another editor, as when a change is undone."""
        record, counter, version = self._record, self._counter, self._version
        self.__dict__.update(other.clone().__dict__)
        self._record, self._counter = record, counter  # a fresh name is never used twice
        self._version = max(version, self._version) + 1

    # ------------------------------------------------------------------ inside

    def _remove(self, node: Node) -> None:
        self._version += 1
        self._nodes.remove(node)
        for output in node.outputs:
            if self._producer.get(output) is node:
                del self._producer[output]
        for value in node.reads():
            self._consumers.get(value, {}).pop(node, None)
        if self._record is not None:
            if node in self._record.added:
                self._record.added.remove(node)
            else:
                self._record.removed.append(node)

    def _insert_at(self, node: Node, at: int, like: Node | None) -> None:
        if like is not None and not node.doc and not node.metadata:
            node.doc, node.metadata = like.doc, dict(like.metadata)
        self._register(node, at)
        self._taken.update(o for o in node.outputs if o)
        self._infer(node)
        if self._record is not None:
            self._record.added.append(node)

    def _is_read(self, value: str, also: Sequence[Node] = ()) -> bool:
        return bool(
            self._consumers.get(value)
            or value in self.outputs
            or any(value in node.inputs for node in also)
        )

    def _read_instead(self, node: Node, index: int, value: str) -> None:
        self._version += 1
        before = node.inputs[index]
        node.inputs[index] = value
        if before not in node.reads():
            self._consumers.get(before, {}).pop(node, None)
        if value:
            self._consumers.setdefault(value, {})[node] = None

    def _rewire(self, node: Node, old: str, new: str) -> None:
        for index, name in enumerate(node.inputs):
            if name == old:
                self._read_instead(node, index, new)

    def _steal(self, old: str) -> str:
        """Frees a value's name by renaming what its producer makes; returns the name."""
        self._version += 1
        node = self._producer.pop(old)
        spare = self.fresh(old)
        node.outputs[node.outputs.index(old)] = spare
        self._producer[spare] = node
        if old in self._types:
            self._types[spare] = self._types[old]
        return old

    def _give_output(self, old: str, new: str) -> None:
        """Makes the graph output `old` carry what `new` carries."""
        maker = self._producer.get(new)
        if old in self._producer:
            self._steal(old)
        if maker is None or new in self.outputs or new not in maker.outputs:
            source = new if new in self._producer or maker is None else maker.output
            self._insert_at(Node("Identity", [source], [old]), len(self._nodes), None)
            return
        self._version += 1
        readers = self.consumers(new)
        maker.outputs[maker.outputs.index(new)] = old
        del self._producer[new]
        self._producer[old] = maker
        if new in self._types:
            self._types[old] = self._types.pop(new)
        self.note_same(new, old)
        for node in readers:
            self._rewire(node, new, old)

    def _infer(self, node: Node) -> None:
        self._types.update(infer_node(node, self.opset, self.type, self.constants))
