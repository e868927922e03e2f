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

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto, TypeProto, defs, helper, numpy_helper, shape_inference

from ..errors import ModelError
from .node import Node, copy, from_proto, to_proto

Array = npt.NDArray[Any]
_SMALL = 4096  # constants up to this size are shared when equal, and handed to shape inference


class ValueType(NamedTuple):
    """Shape and dtype of a value; `shape` is None where it is not static."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...] | None


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


class Editor:
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
        self._shell = ModelProto()
        self._shell.CopyFrom(_without_graph(proto))
        graph = proto.graph
        self._graph_name, self._graph_doc = graph.name, graph.doc_string
        self.opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1)
        self.constants: dict[str, Array] = {
            t.name: numpy_helper.to_array(t) for t in graph.initializer
        }
        self._infos = {i.name: i for i in (*graph.input, *graph.output)}
        self.inputs = tuple(i.name for i in graph.input if i.name not in self.constants)
        self.outputs = tuple(o.name for o in graph.output)
        self._types: dict[str, ValueType] = {}
        self._nodes: list[Node] = []
        self._producer: dict[str, Node] = {}
        self._consumers: dict[str, dict[Node, None]] = {}
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._counter = 0
        self._record: Record | None = None
        self.ranges: dict[str, tuple[float, float]] = {}
        self.whole_inputs: frozenset[str] = frozenset()
        self.memo: dict[str, Any] = {}
        for proto_node in graph.node:
            node = from_proto(proto_node)
            if node.op == "Constant" and not node.domain and (a := _constant(node)) is not None:
                self.constants[node.output] = a
            else:
                self._register(node)
        self._taken = set(self.constants) | set(self.inputs) | set(self._producer)
        self._infer_all(proto)

    # ------------------------------------------------------------------ reading

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes, in no promised order; `sorted` gives a topological one."""
        return tuple(self._nodes)

    def sorted(self) -> list[Node]:
        """The nodes in a topological order that keeps the present order where it can.

        Raises:
            ModelError: the graph has a cycle.
        """
        waiting: dict[Node, int] = {}
        ready: list[Node] = []
        for node in self._nodes:
            needs = {self._producer[r] for r in node.reads() if r in self._producer}
            waiting[node] = len(needs)
            if not needs:
                ready.append(node)
        position = {node: i for i, node in enumerate(self._nodes)}
        if all(
            position[self._producer[r]] < position[n]
            for n in self._nodes
            for r in n.reads()
            if r in self._producer
        ):
            return list(self._nodes)
        import heapq

        heap = [position[n] for n in ready]
        heapq.heapify(heap)
        order: list[Node] = []
        while heap:
            node = self._nodes[heapq.heappop(heap)]
            order.append(node)
            followers = {c for o in node.outputs if o for c in self._consumers.get(o, ())}
            for follower in followers:
                waiting[follower] -= 1
                if waiting[follower] == 0:
                    heapq.heappush(heap, position[follower])
        if len(order) != len(self._nodes):
            raise ModelError("the graph has a cycle", where=self._graph_name)
        self._nodes = order
        return list(order)

    def __contains__(self, node: object) -> bool:
        return isinstance(node, Node) and any(
            self._producer.get(o) is node for o in node.outputs if o
        )

    def producer(self, value: str) -> Node | None:
        """The node that makes a value; None for inputs and constants."""
        return self._producer.get(value)

    def consumers(self, value: str) -> list[Node]:
        """The nodes that read a value, each once."""
        return list(self._consumers.get(value, ()))

    def single_consumer(self, value: str) -> Node | None:
        """The only reader of a value that is no graph output; None otherwise."""
        readers = self._consumers.get(value, {})
        if len(readers) != 1 or value in self.outputs:
            return None
        return next(iter(readers))

    def uses(self, value: str) -> int:
        """How many nodes read a value, one more if it is a graph output."""
        return len(self._consumers.get(value, ())) + (value in self.outputs)

    def is_known(self, value: str) -> bool:
        """Whether the graph has a value of that name: input, constant or computed."""
        return value in self._producer or value in self.constants or value in self.inputs

    def type(self, value: str) -> ValueType | None:
        """Shape and dtype, or None where nothing is known."""
        if value in self.constants:
            array = self.constants[value]
            return ValueType(array.dtype, array.shape)
        return self._types.get(value)

    def shape(self, value: str) -> tuple[int, ...] | None:
        """The static shape, or None."""
        known = self.type(value)
        return known.shape if known else None

    def rank(self, value: str) -> int | None:
        """The number of dimensions, or None."""
        shape = self.shape(value)
        return None if shape is None else len(shape)

    def dtype(self, value: str) -> np.dtype[Any] | None:
        """The numpy dtype, or None."""
        known = self.type(value)
        return known.dtype if known else None

    def is_float(self, value: str) -> bool:
        """Whether the value is of a floating-point dtype."""
        dtype = self.dtype(value)
        return dtype is not None and dtype.kind == "f"

    def constant(self, value: str) -> Array | None:
        """The array of a constant; None for anything that is computed, and for ""."""
        return self.constants.get(value)

    def scalar(self, value: str) -> float | None:
        """The number that a constant holds, if all its elements are equal; None otherwise."""
        array = self.constants.get(value)
        if array is None or array.size == 0 or array.dtype.kind not in "fiub":
            return None
        first = array.reshape(-1)[0]
        return float(first) if bool(np.all(array == first)) else None

    def ints(self, value: str) -> tuple[int, ...] | None:
        """The integers that a constant holds (axes, shapes, starts); None otherwise."""
        array = self.constants.get(value)
        return None if array is None else tuple(int(v) for v in array.reshape(-1))

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
        key = (value.dtype.str, value.shape, value.tobytes()) if value.nbytes <= _SMALL else None
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

    def _read_instead(self, node: Node, index: int, value: str) -> None:
        before = node.inputs[index]
        node.inputs[index] = value
        if before not in node.reads():
            self._consumers.get(before, {}).pop(node, None)
        if value:
            self._consumers.setdefault(value, {})[node] = None

    def retype(self, node: Node, attrs: dict[str, Any]) -> None:
        """Gives a node other attributes and infers its outputs again, dtype included.

        The node promises the same values, apart from rounding. Go in topological order.
        """
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

    @contextmanager
    def recording(self) -> Iterator[Record]:
        """Notes what is removed, added and promised equal while the block runs."""
        outer, self._record = self._record, Record()
        try:
            yield self._record
        finally:
            self._record = outer

    # ------------------------------------------------------------------ whole graph

    def clone(self) -> Editor:
        """An independent copy (constants' arrays are shared)."""
        other = object.__new__(Editor)
        other.__dict__.update(self.__dict__)
        other.constants = dict(self.constants)
        other._types = dict(self._types)
        other._shared = dict(self._shared)
        other._taken = set(self._taken)
        other.memo = dict(self.memo)
        other._record = None
        other._nodes, other._producer, other._consumers = [], {}, {}
        for node in self._nodes:
            other._register(copy(node))
        return other

    def become(self, other: Editor) -> None:
        """Takes over the content of another editor, as when a change is undone."""
        record, counter = self._record, self._counter
        self.__dict__.update(other.clone().__dict__)
        self._record, self._counter = record, counter  # a fresh name is never used twice

    def to_proto(self, *, values: bool = False) -> ModelProto:
        """The graph as a ModelProto of the same opset, inputs and outputs.

        Args:
            values: also write the known types of inner values (value_info).
        """
        proto = ModelProto()
        proto.CopyFrom(self._shell)
        del proto.opset_import[:]
        proto.opset_import.extend(self.opset_imports())
        graph = proto.graph
        graph.name, graph.doc_string = self._graph_name or "graph", self._graph_doc
        order = self.sorted()
        graph.node.extend(to_proto(node) for node in order)
        used = {r for node in order for r in node.reads()} | set(self.outputs)
        graph.initializer.extend(
            numpy_helper.from_array(array, name)
            for name, array in self.constants.items()
            if name in used
        )
        graph.input.extend(self._infos[name] for name in self.inputs)
        graph.output.extend(self.value_info(name) for name in self.outputs)
        if values:
            shown = set(self.inputs) | set(self.outputs)
            inner = [o for n in order for o in n.outputs if o in self._types and o not in shown]
            graph.value_info.extend(self.value_info(name) for name in inner)
        return proto

    def opset_imports(self) -> list[onnx.OperatorSetIdProto]:
        """The opsets of the graph, ONNX's own first."""
        others = [o for o in self._shell.opset_import if o.domain not in ("", "ai.onnx")]
        return [helper.make_opsetid("", self.opset), *others]

    def value_info(self, name: str) -> onnx.ValueInfoProto:
        """The declared name, dtype and shape of a value."""
        known = self.type(name)
        if known is None:
            return self._infos.get(name) or onnx.ValueInfoProto(name=name)
        kind = helper.np_dtype_to_tensor_dtype(known.dtype)
        return helper.make_tensor_value_info(name, kind, known.shape)

    # ------------------------------------------------------------------ inside

    def _register(self, node: Node, at: int | None = None) -> None:
        for output in node.outputs:
            if output and output in self._producer:
                raise ModelError("two nodes make the same value", where=output)
        self._nodes.insert(len(self._nodes) if at is None else at, node)
        for output in node.outputs:
            if output:
                self._producer[output] = node
        for value in node.reads():
            self._consumers.setdefault(value, {})[node] = None

    def _remove(self, node: Node) -> None:
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

    def note_same(self, old: str, new: str) -> None:
        """Promises that a value of before and one of now hold the same, for the check."""
        if self._record is None:
            return
        for key, value in self._record.same.items():
            if value == old and old != new:
                self._record.same[key] = new
        self._record.same[old] = new

    def _rewire(self, node: Node, old: str, new: str) -> None:
        for index, name in enumerate(node.inputs):
            if name == old:
                self._read_instead(node, index, new)

    def _steal(self, old: str) -> str:
        """Frees a value's name by renaming what its producer makes; returns the name."""
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
        readers = self.consumers(new)
        maker.outputs[maker.outputs.index(new)] = old
        del self._producer[new]
        self._producer[old] = maker
        if new in self._types:
            self._types[old] = self._types.pop(new)
        self.note_same(new, old)
        for node in readers:
            self._rewire(node, new, old)

    def _infer_all(self, proto: ModelProto) -> None:
        for name, info in self._infos.items():
            if known := _value_type(info.type):
                self._types[name] = known
        stripped = ModelProto()
        stripped.CopyFrom(proto)
        del stripped.graph.value_info[:]  # exporters leave ranks there that are not true
        try:
            inferred = shape_inference.infer_shapes(stripped, data_prop=True)
        except Exception as error:  # onnx raises its own InferenceError and RuntimeError
            raise ModelError(f"shapes cannot be inferred: {error}") from error
        for info in inferred.graph.value_info:
            if known := _value_type(info.type):
                self._types[info.name] = known

    def _infer(self, node: Node) -> None:
        try:
            schema = defs.get_schema(node.op, self.opset, node.domain)
        except defs.SchemaError:
            return
        types = {name: self._type_proto(name) for name in node.reads()}
        known = {name: t for name, t in types.items() if t is not None}
        if len(known) != len(types):
            return
        data = {
            name: numpy_helper.from_array(self.constants[name], name)
            for name in node.reads()
            if name in self.constants and self.constants[name].nbytes <= _SMALL
        }
        try:
            out = shape_inference.infer_node_outputs(
                schema,
                to_proto(node),
                known,
                data,
                opset_imports=[helper.make_opsetid("", self.opset)],
            )
        except Exception as error:
            raise ModelError(f"a rewrite made an ill-formed {node.op}: {error}") from error
        for name, proto in out.items():
            if name and (value := _value_type(proto)):
                self._types[name] = value

    def _type_proto(self, name: str) -> TypeProto | None:
        known = self.type(name)
        if known is None:
            return None
        kind = helper.np_dtype_to_tensor_dtype(known.dtype)
        return helper.make_tensor_type_proto(kind, known.shape)


def _without_graph(proto: ModelProto) -> ModelProto:
    shell = ModelProto(
        ir_version=proto.ir_version,
        producer_name=proto.producer_name,
        producer_version=proto.producer_version,
        domain=proto.domain,
        model_version=proto.model_version,
        doc_string=proto.doc_string,
    )
    shell.opset_import.extend(proto.opset_import)
    shell.metadata_props.extend(proto.metadata_props)
    return shell


def _constant(node: Node) -> Array | None:
    """The array of a Constant node; None for strings and sparse tensors."""
    attrs: dict[str, Callable[[Any], Array]] = {
        "value": np.asarray,
        "value_float": lambda v: np.array(v, np.float32),
        "value_int": lambda v: np.array(v, np.int64),
        "value_floats": lambda v: np.array(v, np.float32),
        "value_ints": lambda v: np.array(v, np.int64),
    }
    for name, convert in attrs.items():
        if name in node.attrs and not isinstance(node.attrs[name], onnx.AttributeProto):
            return convert(node.attrs[name])
    return None


def _value_type(proto: TypeProto) -> ValueType | None:
    tensor = proto.tensor_type
    if not proto.HasField("tensor_type") or tensor.elem_type == TensorProto.UNDEFINED:
        return None
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    if not tensor.HasField("shape"):
        return ValueType(dtype, None)
    dims = [d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim]
    return ValueType(dtype, None if any(d < 0 for d in dims) else tuple(dims))
