"""Small rewrites that keep the function and help it fit into FP16.

Each takes a network and returns the changed model with what was done, or None if there is nothing
to do.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from ..constants import guards
from ..folding import changed_share, factor
from ..fp16 import MAX, SMALLEST_NORMAL
from ..intervals import Analysis
from ..network import Network, Node
from .plan import LIMIT

Change = tuple[ModelProto, tuple[str, ...]]
GUARD = SMALLEST_NORMAL
"""What a guard of a division is raised to."""


def _copy(network: Network) -> ModelProto:
    model = ModelProto()
    model.CopyFrom(network.proto)
    del model.graph.value_info[:]
    return model


def _origin(source: NodeProto, *targets: NodeProto) -> None:
    for target in targets:
        target.doc_string = source.doc_string
        target.metadata_props.extend(source.metadata_props)


def _replace(model: ModelProto, changes: Mapping[int, list[NodeProto]]) -> None:
    nodes: list[NodeProto] = []
    for index, node in enumerate(model.graph.node):
        nodes.extend(changes.get(index, [node]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def split_roots(network: Network, bounds: Analysis, sizes: Mapping[str, float]) -> Change | None:
    """sqrt(a * b) becomes sqrt(a) * sqrt(b) where neither is negative and a * b may be too large.

    The product needs twice the exponent range of its roots.
    """
    changes: dict[int, list[NodeProto]] = {}
    actions = []
    for node in network.steps():
        product = network.producers.get(node.input(0))
        if node.op != "Sqrt" or product is None or product.op != "Mul":
            continue
        a, b = product.inputs
        name = product.outputs[0]
        single = len(network.users.get(name, ())) == 1 and name not in network.outputs
        constant = any(n in network.constants for n in (a, b))
        if not single or constant or a == b or sizes.get(name, 0.0) < LIMIT:
            continue
        if bounds[a].low < 0 or bounds[b].low < 0:
            continue
        output = node.outputs[0]
        made = [
            helper.make_node("Sqrt", [a], [f"{output}|first"]),
            helper.make_node("Sqrt", [b], [f"{output}|second"]),
            helper.make_node("Mul", [f"{output}|first", f"{output}|second"], [output]),
        ]
        _origin(network.proto.graph.node[node.index], *made)
        changes[product.index] = []
        changes[node.index] = made
        actions.append(f"rewritten: the root of the product {name!r} as a product of roots")
    if not changes:
        return None
    model = _copy(network)
    _replace(model, changes)
    return model, tuple(actions)


def raise_guards(network: Network) -> Change | None:
    """Constants that keep a divisor from 0, and that FP16 would lose, become 2^-14."""
    model = _copy(network)
    actions: list[str] = []
    for node in network.steps():
        index = _guard(network, node)
        if index is None or not guards(network, node.outputs[0]):
            continue
        name = node.input(index)
        value = network.constants[name]
        size = float(np.abs(np.asarray(value)).reshape(-1)[0])
        if not 0 < size < GUARD:
            continue
        fresh = f"{node.outputs[0]}|guard"
        raised = np.full_like(value, np.copysign(GUARD, np.asarray(value).reshape(-1)[0]))
        model.graph.initializer.append(numpy_helper.from_array(raised, fresh))
        model.graph.node[node.index].input[index] = fresh
        actions.append(f"guard of {node.outputs[0]!r} raised from {size:.3g} to {GUARD:.3g}")
    return (model, tuple(actions)) if actions else None


def _guard(network: Network, node: Node) -> int | None:
    """Which input of a node is a scalar that keeps its result from 0."""
    candidates = {"Add": (0, 1), "Max": (0, 1), "Clip": (1,)}.get(node.op, ())
    for index in candidates:
        value = network.constants.get(node.input(index))
        if value is not None and value.dtype.kind == "f" and value.size == 1:
            return index
    return None


def put_barriers(network: Network, bounds: Analysis) -> Change | None:
    """Keeps factors out of weights that they would push out of FP16's normal range.

    The compiler folds a factor beside a convolution into its weights and snaps them afterwards. A
    Relu (where nothing is negative) or a Clip to FP16's range in between prevents it.
    """
    changes: dict[int, list[NodeProto]] = {}
    actions: list[str] = []
    limits: list[str] = []
    for node in network.steps():
        folded = factor(network, node)
        if folded is None:
            continue
        weights = network.constants[node.input(1)]
        if changed_share(weights, folded) < max(1e-3, 2 * changed_share(weights)):
            continue
        proto = NodeProto()
        proto.CopyFrom(network.proto.graph.node[node.index])
        x, output = node.input(0), node.outputs[0]
        made: list[NodeProto] = []
        maker = network.producers.get(x)
        if node.op == "Conv" and maker is not None and maker.op in ("Mul", "Div"):
            made.append(_barrier(x, f"{x}|kept", bounds, limits))
            proto.input[0] = f"{x}|kept"
        user = next(iter(network.users.get(output, ())), None)
        after = user is not None and user.op in ("Mul", "Div", "Add", "Sub")
        if after:
            proto.output[0] = f"{output}|kept"
        made.append(proto)
        if after:
            made.append(_barrier(f"{output}|kept", output, bounds, limits, like=output))
        if len(made) == 1:
            continue
        _origin(network.proto.graph.node[node.index], *[m for m in made if m is not proto])
        changes[node.index] = made
        actions.append(f"kept the factors beside {node.op} {output!r} out of its weights")
    if not changes:
        return None
    model = _copy(network)
    _replace(model, changes)
    if limits:
        for name, value in zip(limits, (-MAX, MAX), strict=True):
            array = np.asarray(value, np.float32)
            model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model, tuple(actions)


def _barrier(x: str, output: str, bounds: Analysis, limits: list[str], like: str = "") -> NodeProto:
    if bounds[like or x].low >= 0:
        return helper.make_node("Relu", [x], [output])
    if not limits:
        limits.extend(("fp16|lowest", "fp16|highest"))
    return helper.make_node("Clip", [x, *limits], [output])
