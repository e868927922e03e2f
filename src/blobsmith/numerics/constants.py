"""What the compiler makes of a graph's constants.

Tried on one-operator models (docs/compiler.md, silent trap 4, and docs/blob-format.md section 7):

- a *scalar* that is added, subtracted, multiplied or divided by, an exponent, and the limits of
  Clip become FP32 parameters of a stage, exact; but an addition of less than 1e-5, and a factor
  within 1e-5 of 1, are dropped altogether;
- every other constant is stored in FP16: below 2^-15 it becomes 0, from there to 2^-14 it becomes
  2^-14, and above 65504 it becomes 65504. Convolution weights are snapped *before* the hardware's
  power-of-two scaling, which therefore does not save them;
- dividing by a constant is a product with its inverse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .folding import factor
from .fp16 import MAX, SMALLEST_NORMAL, SNAP_TO_ZERO, AnyArray, snap
from .network import Network, Node
from .plain import finite

if TYPE_CHECKING:
    from .intervals import Analysis

NEUTRAL = 1e-5
"""A scalar addition below this, or a factor this near to 1, is dropped by the compiler."""

_SCALAR_OPS = frozenset(("Add", "Sub", "Mul", "Div", "Pow", "Clip", "PRelu"))
_SETTINGS = {
    "Pad": (1, 2, 3), "Resize": (1, 2, 3), "Upsample": (1,), "Reshape": (1,), "Expand": (1,),
    "Tile": (1,), "Slice": (1, 2, 3, 4), "TopK": (1,), "Dropout": (1, 2),
    "BatchNormalization": (1, 2, 3, 4),
}  # fmt: skip


def is_parameter(node: Node, index: int, value: AnyArray) -> bool:
    """Whether this constant input becomes an exact FP32 parameter of a stage."""
    if node.op == "Clip" and index > 0:
        return True
    if index in _SETTINGS.get(node.op, ()):
        return True
    if node.op == "Pow":
        return index == 1 and value.size == 1
    return node.op in _SCALAR_OPS and value.size == 1


def compiled(network: Network, node: Node, index: int) -> AnyArray:
    """A constant input as the compiled graph computes with it; integers are unchanged.

    The value is what the *ONNX* operator would have to be given: a divisor is the inverse of the
    factor that the compiler stores, and weights into which a factor is folded are divided by it.
    """
    value = network.constants[node.input(index)]
    if value.dtype.kind != "f":
        return value
    if is_parameter(node, index, value):
        exact = np.asarray(value, np.float32)
        if node.op in ("Add", "Sub") and abs(float(exact.reshape(-1)[0])) < NEUTRAL:
            return np.zeros_like(exact)
        if node.op == "Mul" and abs(float(exact.reshape(-1)[0]) - 1) < NEUTRAL:
            return np.ones_like(exact)
        return exact
    if node.op == "Div" and index == 1:
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(1 / snap(1 / np.asarray(value, np.float64)), np.float32)
    folded = factor(network, node) if index == 1 else None
    if folded is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            stored = np.asarray(snap(value * folded), np.float64) / folded
        return np.where(folded == 0, snap(value), stored).astype(np.float32)
    return snap(value)


@dataclass(frozen=True)
class ConstantReport:
    """A constant that FP16 or the compiler changes.

    Attributes:
        name: the constant.
        tensor: the output of the operator that uses it.
        op: that operator.
        elements: how many elements the constant has.
        zeroed: how many become 0, or an operation that is dropped.
        lifted: how many are raised to 2^-14.
        clipped: how many are cut to 65504, or infinite.
        example: the first changed value.
        becomes: what it becomes.
        error: what share of the constant is lost: sum of the changes over sum of the values.
        harmful: whether a result shows it: a thousandth of a factor or kernel, a thousandth of what
            an addend is added to, or any change of what keeps a divisor from 0.
        advice: what to do, one sentence.
    """

    name: str
    tensor: str
    op: str
    elements: int
    zeroed: int
    lifted: int
    clipped: int
    example: float
    becomes: float
    error: float
    harmful: bool
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form; numbers that are not finite become None."""
        return finite(self.__dict__)


def survey(network: Network, bounds: Analysis) -> tuple[ConstantReport, ...]:
    """The constants of a graph that do not survive compilation, the most harmful first.

    Args:
        network: the graph.
        bounds: FP32 bounds of its tensors.
    """
    found = [
        report
        for node in network.steps()
        for index, name in enumerate(node.inputs)
        if name in network.constants
        and (report := _examine(network, bounds, node, index, name)) is not None
    ]
    return tuple(sorted(found, key=lambda r: (not r.harmful, -r.error)))


def _examine(
    network: Network, bounds: Analysis, node: Node, index: int, name: str
) -> ConstantReport | None:
    value = network.constants[name]
    if value.dtype.kind != "f" or not value.size or index in _SETTINGS.get(node.op, ()):
        return None
    wanted = np.asarray(value, np.float64)
    if node.op == "Div" and index == 1:
        with np.errstate(divide="ignore"):
            wanted = 1 / wanted
    size = np.abs(wanted)
    folded = factor(network, node) if index == 1 else None
    if folded is not None:
        wanted = wanted * folded
        size = np.abs(wanted)
    if is_parameter(node, index, value):
        got = np.asarray(compiled(network, node, index), np.float64)
        dropped = bool(np.any(got != np.asarray(value, np.float32)))
        if not dropped or node.op == "Mul":
            return None
        zeroed, lifted, clipped = 1, 0, 0
    else:
        got = np.asarray(snap(wanted), np.float64)
        zeroed = int(np.count_nonzero((size > 0) & (got == 0)))
        lifted = int(np.count_nonzero((size >= SNAP_TO_ZERO) & (size < SMALLEST_NORMAL * 0.9995)))
        clipped = int(np.count_nonzero((size > MAX * 1.0003) & np.isfinite(size)))
    if not zeroed and not lifted and not clipped:
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        change = np.abs(got - wanted)
    change = np.where(np.isfinite(change), change, 0)
    rounding = size * 2.0**-10
    at = int(np.argmax(np.where(change > rounding, change, 0)))
    total = float(np.sum(size[np.isfinite(size)]))
    error = min(float(np.sum(change)) / total, 1.0) if total else 0.0
    return ConstantReport(
        name=name,
        tensor=node.outputs[0],
        op=node.op,
        elements=int(value.size),
        zeroed=zeroed,
        lifted=lifted,
        clipped=clipped,
        example=float(wanted.reshape(-1)[at]),
        becomes=float(got.reshape(-1)[at]),
        error=error,
        harmful=_harmful(network, bounds, node, index, float(np.max(change)), error),
        advice=_advice(node.op, zeroed, lifted, clipped, is_parameter(node, index, value)),
    )


def _harmful(
    network: Network, bounds: Analysis, node: Node, index: int, change: float, error: float
) -> bool:
    factor = node.op in ("Mul", "Div", "Gemm", "MatMul", "Pow", "PRelu", "BatchNormalization")
    if factor or (node.op in ("Conv", "ConvTranspose") and index == 1):
        return error >= 1e-3
    if guards(network, node.outputs[0]):
        return True
    reach = bounds[node.outputs[0]].magnitude
    return bool(np.isfinite(reach)) and change >= 1e-3 * reach > 0


_PASSES_ON = frozenset(
    ("Sqrt", "Reshape", "Expand", "Unsqueeze", "Squeeze", "Identity", "Clip", "Max", "Abs", "Cast")
)


def guards(network: Network, name: str) -> bool:
    """Whether a tensor is divided by, or its logarithm taken."""
    pending, done = [name], {name}
    while pending:
        current = pending.pop()
        for user in network.users.get(current, ()):
            if user.op == "Div" and user.input(1) == current:
                return True
            if user.op in ("Reciprocal", "Log"):
                return True
            exponent = network.constants.get(user.input(1)) if user.op == "Pow" else None
            if exponent is not None and np.all(np.asarray(exponent) < 0):
                return True
            constant = any(n in network.constants for n in user.inputs)
            if user.op in _PASSES_ON or (user.op in ("Mul", "Add") and constant):
                for output in user.outputs:
                    if output and output not in done:
                        done.add(output)
                        pending.append(output)
    return False


def _advice(op: str, zeroed: int, lifted: int, clipped: int, parameter: bool) -> str:
    if parameter:
        return (
            "the compiler drops an addition of less than 1e-5: add at least 1e-4, or use "
            "torch.clamp(x, min=...) to guard a division or square root"
        )
    if clipped and not zeroed and not lifted:
        return "cut to 65504: divide the constant by a power of two and multiply the result later"
    if op in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return "multiply the kernel by a power of two and divide the result by it"
    return "use a constant of at least 6.2e-5, or scale what it is combined with by a power of two"
