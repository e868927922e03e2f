"""Folds what is constant, so that function bodies hand constant axes and sizes to the adapters.

The function bodies of the ONNX standard compute axes and shapes from their input's shape and
choose branches by it. With static shapes all of that is constant. onnxsim does the same later,
but its own onnx may not know the newest opsets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto

from .opset_scope import Array, Scope, attribute

_LARGEST = 1 << 20
_RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli")


def fold(proto: ModelProto) -> bool:
    """Folds constants in place, and takes the branch of an If whose condition is constant.

    Returns:
        Whether a branch was taken: its nodes may be folded further with new shape inference.
    """
    scope = Scope(proto)
    known: dict[str, Array] = {}
    kept: list[NodeProto] = []
    taken = False
    queue = list(proto.graph.node)
    while queue:
        node = queue.pop(0)
        if node.op_type == "If" and (condition := _value(node.input[0], scope, known)) is not None:
            queue[:0] = _branch(node, bool(np.all(condition)))
            taken = True
            continue
        values = _evaluate(node, scope, known)
        if values is None:
            kept.append(node)
        else:
            known.update({n: v for n, v in zip(node.output, values, strict=False) if n})
    copies = [NodeProto.FromString(n.SerializeToString()) for n in kept]
    needed = _used(proto.graph, copies)
    del proto.graph.node[:]
    proto.graph.node.extend(copies)
    for name, array in known.items():
        if name in needed:
            scope.keep(name, array)
    scope.store(proto.graph)
    return taken


def _value(name: str, scope: Scope, known: dict[str, Array]) -> Array | None:
    return known[name] if name in known else scope.value(name)


def _evaluate(node: NodeProto, scope: Scope, known: dict[str, Array]) -> list[Array] | None:
    if node.domain not in ("", "ai.onnx") or node.op_type in _RANDOM or not node.input:
        return None
    if any(a.HasField("g") for a in node.attribute):
        return None
    shape = scope.shape(node.input[0])
    if node.op_type == "Shape" and shape is not None:
        chosen = slice(attribute(node, "start", 0), attribute(node, "end", None))
        return [np.array(shape[chosen], np.int64)]
    if node.op_type == "Size" and shape is not None:
        return [np.array(np.prod(shape, dtype=np.int64), np.int64)]
    feeds: dict[str, Any] = {}
    for name in node.input:
        value = _value(name, scope, known) if name else None
        if name and (value is None or value.size > _LARGEST):
            return None
        feeds[name] = value
    from onnx.reference import ReferenceEvaluator  # slow to import, and seldom needed

    try:
        values = ReferenceEvaluator(node).run(None, {k: v for k, v in feeds.items() if k})
        arrays = [np.asarray(v) for v in values]
    except Exception:  # whatever the reference cannot evaluate stays in the graph
        return None
    return arrays if all(a.size <= _LARGEST for a in arrays) else None


def _branch(node: NodeProto, condition: bool) -> list[NodeProto]:
    """The nodes of the branch that is always taken, its outputs named as the If's."""
    graph: GraphProto = attribute(node, "then_branch" if condition else "else_branch")
    names = dict(zip([o.name for o in graph.output], node.output, strict=True))
    out = [NodeProto.FromString(n.SerializeToString()) for n in graph.node]
    for tensor in graph.initializer:
        constant = NodeProto(op_type="Constant", output=[tensor.name])
        constant.attribute.add(name="value", type=4, t=tensor)
        out.insert(0, constant)
    made = {o for n in out for o in n.output}
    for inner in out:
        inner.output[:] = [names.get(o, o) for o in inner.output]
        inner.input[:] = [names.get(i, i) if i in made else i for i in inner.input]
    for source, target in names.items():
        if source not in made:  # the branch hands an outer value through
            out.append(NodeProto(op_type="Identity", input=[source], output=[target]))
    return out


def _used(graph: GraphProto, nodes: list[NodeProto]) -> set[str]:
    used = {o.name for o in graph.output}

    def read(body: list[NodeProto]) -> None:
        for node in body:
            used.update(node.input)
            for item in node.attribute:
                if item.HasField("g"):
                    used.update(o.name for o in item.g.output)
                    read(list(item.g.node))

    read(nodes)
    return used
