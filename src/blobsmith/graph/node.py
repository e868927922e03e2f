"""A node of the working copy: what a NodeProto says, with attributes as Python values.

Protobuf objects compare by content, cannot be hashed and cost a conversion at every access; a
rewrite rule reads attributes and inputs all the time, so the editor holds these instead and
converts once at either end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto, helper, numpy_helper


@dataclass(eq=False)
class Node:
    """One operator; two nodes are equal only if they are the same object.

    Attributes:
        op: ONNX operator type.
        inputs: value names; "" is an absent optional input.
        outputs: value names; "" is an output nobody asked for.
        attrs: attributes as int, float, str, list, numpy array (tensors) or GraphProto.
        name: the node's name, may be empty.
        domain: "" for ONNX's own operators.
        doc: doc_string; the exporters keep the user's source line here.
        metadata: metadata_props; the dynamo exporter keeps the source line here.
    """

    op: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    domain: str = ""
    doc: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    captured: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        graphs = [v for v in self.attrs.values() if isinstance(v, GraphProto)]
        if graphs:
            self.captured = tuple(dict.fromkeys(n for g in graphs for n in outer_names(g)))

    @property
    def output(self) -> str:
        """The first output."""
        return self.outputs[0]

    def input(self, index: int) -> str:
        """The name of an input; "" if it is absent."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def reads(self) -> list[str]:
        """Every value this node needs, those that its subgraphs capture included."""
        return [name for name in self.inputs if name] + list(self.captured)

    def label(self) -> str:
        """How reports name the node: operator, and its name or first output."""
        return f"{self.op} {self.name or self.output!r}"


def outer_names(graph: GraphProto) -> list[str]:
    """Names that a subgraph uses but does not define."""
    known = {i.name for i in graph.input} | {t.name for t in graph.initializer}
    outer: list[str] = []
    for node in graph.node:
        outer.extend(name for name in node.input if name and name not in known)
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                outer.extend(n for n in outer_names(attribute.g) if n not in known)
        known.update(node.output)
    outer.extend(o.name for o in graph.output if o.name not in known)
    return list(dict.fromkeys(outer))


def from_proto(proto: NodeProto) -> Node:
    """A Node with the content of a NodeProto."""
    return Node(
        op=proto.op_type,
        inputs=list(proto.input),
        outputs=list(proto.output),
        attrs={a.name: _value(a) for a in proto.attribute},
        name=proto.name,
        domain="" if proto.domain == "ai.onnx" else proto.domain,
        doc=proto.doc_string,
        metadata={p.key: p.value for p in getattr(proto, "metadata_props", ())},
    )


def _value(attribute: AttributeProto) -> Any:
    kind = attribute.type
    if kind == AttributeProto.TENSOR:
        return numpy_helper.to_array(attribute.t)
    if kind == AttributeProto.GRAPH:
        return attribute.g
    if kind == AttributeProto.STRING:
        return attribute.s.decode("utf-8", "replace")
    if kind == AttributeProto.STRINGS:
        return [s.decode("utf-8", "replace") for s in attribute.strings]
    if kind in (AttributeProto.INTS, AttributeProto.FLOATS):
        values = list(attribute.ints if kind == AttributeProto.INTS else attribute.floats)
        return values if values else attribute
    if kind in (AttributeProto.INT, AttributeProto.FLOAT):
        return attribute.i if kind == AttributeProto.INT else attribute.f
    return attribute


def attribute(name: str, value: Any) -> AttributeProto:
    """An attribute of that name; numpy arrays become tensors."""
    if isinstance(value, AttributeProto):
        return value
    if isinstance(value, np.ndarray):
        return helper.make_attribute(name, numpy_helper.from_array(value))
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and not value:
        return helper.make_attribute(name, value, attr_type=AttributeProto.INTS)
    return helper.make_attribute(name, value)


def to_proto(node: Node) -> NodeProto:
    """The NodeProto that says the same."""
    proto = NodeProto(
        op_type=node.op,
        name=node.name,
        domain=node.domain,
        doc_string=node.doc,
        input=node.inputs,
        output=node.outputs,
    )
    for name, value in sorted(node.attrs.items()):
        proto.attribute.append(attribute(name, value))
    for key, text in node.metadata.items():
        proto.metadata_props.append(onnx.StringStringEntryProto(key=key, value=text))
    return proto


def copy(node: Node, **changes: Any) -> Node:
    """A new Node with the same content, apart from the given fields."""
    content: Mapping[str, Any] = {
        "op": node.op,
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
        "attrs": dict(node.attrs),
        "name": node.name,
        "domain": node.domain,
        "doc": node.doc,
        "metadata": dict(node.metadata),
    }
    return Node(**{**content, **changes})


def constant_of(node: Node) -> np.ndarray[Any, np.dtype[Any]] | None:
    """The array of a Constant node; None for other nodes, strings and sparse tensors."""
    if node.op != "Constant" or node.domain:
        return None
    convert: dict[str, Callable[[Any], np.ndarray[Any, np.dtype[Any]]]] = {
        "value": np.asarray,
        "value_float": lambda v: np.array(v, np.float32),
        "value_int": lambda v: np.array(v, np.int64),
        "value_floats": lambda v: np.array(v, np.float32),
        "value_ints": lambda v: np.array(v, np.int64),
    }
    for name, made in convert.items():
        if name in node.attrs and not isinstance(node.attrs[name], AttributeProto):
            return made(node.attrs[name])
    return None
