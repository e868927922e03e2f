"""Constant factors that the compiler folds into the weights beside them.

Tried: a multiplication or division by a constant (a scalar, or one value a channel) directly in
front of or behind a convolution, and behind a matrix product with constant weights, disappears
into the weights, additions of constants behind included, unless the tensor between has another
user or is an output. Pad, Reshape, Relu or Clip in between prevent it. The weights are snapped to
FP16 after that: x / 255 before a kernel of small weights may lose the kernel.
"""

from __future__ import annotations

import numpy as np

from .fp16 import AnyArray, Array, snap
from .network import Network, Node


def factor(network: Network, node: Node) -> Array | None:
    """What the weights of a Conv, Gemm or MatMul are multiplied by, in the shape of the weights.

    None if nothing is folded. The shape broadcasts to the weights'.
    """
    if node.op not in ("Conv", "MatMul", "Gemm") or node.input(1) not in network.constants:
        return None
    weights = network.constants[node.input(1)]
    total: Array = np.ones((1,) * weights.ndim)
    if node.op == "Conv":
        for scale in _before(network, node):
            total = total * _along(scale, weights, 1, int(node.attrs.get("group", 1)))
    for scale in behind(network, node):
        total = total * _along(scale, weights, 0, 1, last=node.op != "Conv")
    return None if np.all(total == 1) else total


def _before(network: Network, node: Node) -> list[Array]:
    found, name = [], node.input(0)
    while (maker := network.producers.get(name)) is not None and _private(network, name):
        scale = _constant_factor(network, maker)
        if scale is None or network.producers.get(name) is None:
            break
        found.append(scale)
        name = maker.input(0) if maker.input(0) not in network.constants else maker.input(1)
    return found


def behind(network: Network, node: Node) -> list[Array]:
    """The factors folded from behind a node."""
    found, name = [], node.outputs[0]
    while _private(network, name):
        user = network.users[name][0]
        scale = _constant_factor(network, user)
        if scale is not None:
            found.append(scale)
        elif not _constant_offset(network, user):
            break
        name = user.outputs[0]
    return found


def _private(network: Network, name: str) -> bool:
    users = network.users.get(name, ())
    return len(users) == 1 and name not in network.outputs and users[0].inputs.count(name) == 1


def _constant_factor(network: Network, node: Node) -> Array | None:
    """The factor of a Mul or Div by a scalar or by one value a channel."""
    if node.op not in ("Mul", "Div"):
        return None
    for index in (1, 0) if node.op == "Mul" else (1,):
        value = network.constants.get(node.input(index))
        if value is not None and value.dtype.kind == "f" and _per_channel(network, node, value):
            scale: AnyArray = np.asarray(value, np.float64).reshape(-1)
            with np.errstate(divide="ignore"):
                scale = 1 / scale if node.op == "Div" else scale
            return scale if np.all(np.isfinite(scale)) else None
    return None


def _constant_offset(network: Network, node: Node) -> bool:
    if node.op not in ("Add", "Sub"):
        return False
    values = [network.constants[n] for n in node.inputs if n in network.constants]
    return len(values) == 1 and _per_channel(network, node, values[0])


def _per_channel(network: Network, node: Node, value: AnyArray) -> bool:
    if value.size == 1:
        return True
    rank = network.rank(node.outputs[0])
    if rank is None or rank < 3 or value.ndim < rank - 1:
        return False
    return bool(value.size == value.shape[value.ndim - rank + 1])


def _along(scale: Array, weights: AnyArray, axis: int, group: int, *, last: bool = False) -> Array:
    """A factor of each channel, in the shape of the weights."""
    if scale.size == 1:
        return scale.reshape((1,) * weights.ndim)
    if last:
        axis = weights.ndim - 1
    if scale.size == weights.shape[axis]:
        shape = [1] * weights.ndim
        shape[axis] = -1
        return scale.reshape(shape)
    if axis == 1 and weights.shape[1] * group == scale.size:  # input channels of grouped weights
        rows = np.repeat(scale.reshape(group, -1), weights.shape[0] // group, axis=0)
        return rows.reshape(*weights.shape[:2], *(1,) * (weights.ndim - 2))
    return np.ones((1,) * weights.ndim)


def changed_share(weights: AnyArray, scale: Array | float = 1.0) -> float:
    """What share of a kernel is lost when it is multiplied by `scale` and snapped to FP16."""
    wanted = np.asarray(weights, np.float64) * scale
    finite = np.isfinite(wanted)
    total = float(np.abs(wanted[finite]).sum())
    if not total:
        return 0.0
    change = np.abs(np.asarray(snap(wanted), np.float64) - wanted)[finite]
    rounding = np.abs(wanted[finite]) * 2.0**-11
    return float(np.where(change > rounding, change, 0).sum()) / total
