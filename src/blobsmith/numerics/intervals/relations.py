"""What two tensors have to do with each other: facts that intervals alone cannot see.

A value never exceeds the maximum taken over it, nor the length of the vector it belongs to.
Without these, the usual guards against overflow (x - max(x) before an exponential, x / norm(x))
would look like its cause.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from ..network import Network, Node

if TYPE_CHECKING:
    from .registry import Step

_VIEWS = ("Reshape", "Unsqueeze", "Squeeze", "Identity", "Flatten")  # keep the elements' order


def producer(network: Network, name: str) -> Node | None:
    """The operator behind a tensor, views of it skipped."""
    node = network.producers.get(name)
    while node is not None and node.op in _VIEWS:
        node = network.producers.get(node.input(0))
    return node


def _unexpanded(network: Network, name: str) -> str:
    """The tensor before Expand; broadcasting does the same where it is used."""
    node = network.producers.get(name)
    if node is None or node.op != "Expand":
        return name
    rank, before = network.rank(name), network.rank(node.input(0))
    return node.input(0) if rank == before else name


def _extreme(network: Network, over: str, value: str) -> str:
    """ "max" or "min" if `value` is that of all of `over` along some axes, broadcastable to it."""
    value = _unexpanded(network, value)
    node = producer(network, value)
    if node is None:
        return ""
    kinds = {"ReduceMax": "max", "Max": "max", "ReduceMin": "min", "Min": "min"}
    kind = kinds.get(node.op, "")
    if not kind or over not in node.inputs:
        return ""
    whole, part = network.shapes.get(over), network.shapes.get(value)
    if whole is None or part is None:
        return ""
    if node.op in ("Max", "Min"):
        return kind if part == whole and node.outputs[0] == value else ""
    return kind if aligned(network, node, whole, part) else ""


def aligned(network: Network, node: Node, whole: tuple[int, ...], part: tuple[int, ...]) -> bool:
    """Whether a reduction's result, in the shape `part`, meets the elements it was taken over."""
    axes = node.attrs.get("axes")
    if axes is None:
        constant = network.constants.get(node.input(1))
        axes = range(len(whole)) if constant is None else np.asarray(constant).reshape(-1).tolist()
    reduced = {int(a) % len(whole) for a in axes} if whole else set()
    wanted = tuple(1 if i in reduced else size for i, size in enumerate(whole))
    return part == wanted or int(np.prod(part)) == 1 == int(np.prod(wanted))


def difference_sign(network: Network, node: Node) -> int:
    """+1 if the first input of a Sub is never below the second, -1 if never above, 0 unknown."""
    a, b = node.input(0), node.input(1)
    for first, second, sign in ((a, b, -1), (b, a, 1)):
        kind = _extreme(network, first, second)
        if kind:
            return sign if kind == "max" else -sign
        maker = network.producers.get(second)
        if maker is not None and maker.op in ("Floor", "Ceil") and maker.input(0) == first:
            return sign if maker.op == "Ceil" else -sign
    highest, lowest = producer(network, a), producer(network, b)
    if highest is not None and lowest is not None and highest.input(0) == lowest.input(0):
        pair = (highest.op, lowest.op)
        if pair in (("ReduceMax", "ReduceMin"), ("ReduceMin", "ReduceMax")) and (
            network.shapes.get(a) == network.shapes.get(b) and highest.attrs == lowest.attrs
        ):
            return 1 if pair[0] == "ReduceMax" else -1
    return 0


def quotient_bounds(step: Step) -> tuple[float, float] | None:
    """Bounds of a Div that follow from what its divisor is made of; None if nothing is known.

    In FP16 a sum of squares may underflow although the numerator does not, so that the quotient
    by a length is bounded only as far as the divisor is bounded from below.
    """
    network = step.network
    a, b = step.node.input(0), step.node.input(1)
    lowest = float(step[1].lo.min()) if step[1].lo.size else 0.0
    if lowest <= 0:
        return None
    core = _unguarded(network, b)
    if step[0].low >= 0 and _extreme(network, a, core) == "max":
        return (0.0, 1.0)
    if _is_stretch(network, a, core):
        return (0.0, 1.0)
    count = _length_of(network, a, core)
    if count:
        top = 1.001
        if step.half:
            top = max(1.1, sqrt(count) * 2.0**-11 / lowest)
        return (-top, top)
    return None


def _unguarded(network: Network, name: str) -> str:
    """A divisor without its guard against 0: behind + eps, clamp(min=eps), Expand."""
    while True:
        node = network.producers.get(name)
        if node is None:
            return name
        if node.op == "Identity" or (node.op == "Clip" and _limits_below_only(network, node)):
            name = node.input(0)
            continue
        if node.op == "Expand" and _unexpanded(network, name) != name:
            name = node.input(0)
            continue
        if node.op in ("Add", "Max"):
            for index in (0, 1):
                guard = network.constants.get(node.input(index))
                if guard is not None and np.all(np.asarray(guard) >= 0):
                    name = node.input(1 - index)
                    break
            else:
                return name
            continue
        return name


def _limits_below_only(network: Network, node: Node) -> bool:
    top = node.attrs.get("max", network.constants.get(node.input(2)))
    return top is None or bool(np.all(np.asarray(top) >= 65504.0))


def _is_stretch(network: Network, a: str, b: str) -> bool:
    """(x - min x) / (max x - min x)."""
    top, span = network.producers.get(a), network.producers.get(b)
    if top is None or span is None or top.op != "Sub" or span.op != "Sub":
        return False
    x, lowest = top.input(0), top.input(1)
    highest, lowest_again = span.input(0), span.input(1)
    shapes = [network.shapes.get(_unexpanded(network, n)) for n in (lowest, highest, lowest_again)]
    return (
        _extreme(network, x, lowest) == "min"
        and _extreme(network, x, highest) == "max"
        and _extreme(network, x, lowest_again) == "min"
        and shapes[0] == shapes[1] == shapes[2]
    )


def _length_of(network: Network, a: str, b: str) -> int:
    """Number of summands if b is the Euclidean length of vectors along which a lies; else 0."""
    b = _unexpanded(network, b)
    whole, part = network.shapes.get(a), network.shapes.get(b)
    node = producer(network, b)
    if node is None or whole is None or part is None:
        return 0
    if node.op == "Sqrt":
        inner = _unguarded(network, node.input(0))
        node = producer(network, inner)
        if node is None:
            return 0
        squares = node.op == "ReduceSumSquare" and node.input(0) == a
        squares = squares or (node.op == "ReduceSum" and _is_square(network, node.input(0), a))
        if not squares:
            return 0
    elif node.op != "ReduceL2" or node.input(0) != a:
        return 0
    if not aligned(network, node, whole, part):
        return 0
    return int(np.prod(whole)) // max(int(np.prod(part)), 1)


def _is_square(network: Network, name: str, a: str) -> bool:
    node = network.producers.get(name)
    if node is None:
        return False
    if node.op == "Mul":
        return node.input(0) == a == node.input(1)
    exponent = network.constants.get(node.input(1))
    return (
        node.op == "Pow" and node.input(0) == a and exponent is not None
        and exponent.size == 1 and float(np.asarray(exponent).reshape(-1)[0]) == 2.0
    )  # fmt: skip
