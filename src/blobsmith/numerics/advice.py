"""Sentences that tell the user what to change."""

from __future__ import annotations

from math import ceil, isfinite, log2

import numpy as np

from .fp16 import MAX, OVERFLOW
from .intervals import Analysis
from .network import Network, Node
from .seen import Seen

ROOM = 2.0**15
"""Values are brought below this: half of FP16's range."""


def number(value: float) -> str:
    """A number in a sentence."""
    return f"{value:.3g}".replace("e+0", "e").replace("e+", "e")


def power(value: float, degree: float = 1.0) -> str:
    """ "2^-5": what to multiply an operand by so that `value`, of that degree in it, has room."""
    if not isfinite(value) or value <= ROOM:
        return "a power of two below 1"
    return f"2^-{max(ceil(log2(value / ROOM) / degree), 1)}"


def overflow(
    network: Network, node: Node, name: str, bounds: Analysis, half: Analysis, seen: Seen | None
) -> str:
    """What to do about a tensor in which FP16's range is left."""
    bound = bounds[name].magnitude
    shown = seen.magnitude if seen is not None and seen.elements else 0.0
    near = isfinite(bound) and (bounds.reach.get(name, 0) >= 1 or bound <= 64 * shown)
    reach = bound if near or shown < OVERFLOW else 4 * shown
    text = number(reach) if isfinite(reach) else "any value"
    if near and bounds.reach.get(name, 0) < 1 and OVERFLOW <= shown < 0.9 * bound:
        text = f"{number(shown)} and may reach {number(bound)}"
    op = node.op
    if op in ("Div", "Reciprocal"):
        return _division(network, node, bounds, text, seen)
    if op == "Log" and not half[name].nan:
        lowest = number(bounds[node.input(0)].low)
        return f"its argument may be as small as {lowest}, which FP16 makes 0: limit it to 1e-4"
    if op in ("Log", "Sqrt") and half[name].nan and reach < OVERFLOW:
        lowest = number(bounds[node.input(0)].low)
        return f"its argument may be as low as {lowest}: limit it, torch.clamp(x, min=1e-3)"
    sentence = _product(network, node, reach, text, bounds)
    if sentence:
        return sentence
    if op == "Exp":
        top = number(bounds[node.input(0)].high)
        return f"the exponential of up to {top}: subtract the maximum first, or limit it to 11"
    if op in ("ReduceSum", "ReduceL1", "Sum", "GlobalAveragePool", "CumSum"):
        count = network.elements(node.input(0)) // max(network.elements(name), 1)
        return (
            f"a sum of {count} values reaches {text}: multiply them by {power(reach)} before "
            "summing, or take the mean"
        )
    if op in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return f"the weighted sum reaches {text}: multiply the weights by {power(reach)}"
    if op in ("Softmax", "LogSoftmax", "ReduceLogSumExp"):
        return f"reaches {text}: scale its input down"
    if name in network.outputs and op not in ("Add", "Sub"):
        return f"the result reaches {text}, FP16 ends at {MAX:g}: return it times {power(reach)}"
    return f"reaches {text}, FP16 ends at {MAX:g}: scale its inputs by {power(reach)}"


def _product(network: Network, node: Node, reach: float, text: str, bounds: Analysis) -> str:
    """Advice for squares and products; empty for other operators."""
    image = _image_like(network, node, bounds)
    first = "divide the image by 255 first, or " if image else ""
    if node.op in ("ReduceSumSquare", "ReduceL2"):
        inner = bounds[node.input(0)].magnitude ** 2 * network.elements(node.input(0))
        inner /= max(network.elements(node.outputs[0]), 1)
        return (
            f"the sum of squares reaches {number(inner)}: {first}scale by {power(inner, 2)} "
            "before squaring"
        )
    if node.op == "Mul" and node.input(0) == node.input(1):
        return f"the square reaches {text}: {first}scale by {power(reach, 2)} before squaring"
    if node.op == "Pow":
        exponent = network.constants.get(node.input(1))
        degree = float(exponent.reshape(-1)[0]) if exponent is not None and exponent.size else 1.0
        if degree > 1:
            return f"the power reaches {text}: {first}scale by {power(reach, degree)} before it"
        return f"the power reaches {text}: keep its base away from 0"
    if node.op == "Mul":
        constant = any(name in network.constants for name in node.inputs)
        if constant:
            return f"reaches {text}: leave the factor out, or make it {power(reach)} times as large"
        return f"the product reaches {text}: {first}scale each factor by {power(reach, 2)}"
    return ""


def _image_like(network: Network, node: Node, bounds: Analysis) -> bool:
    """Whether levels 0..255 still stand behind the operands."""
    largest = max((bounds[name].magnitude for name in network.inputs), default=0.0)
    operand = max((bounds[n].magnitude for n in node.inputs if n), default=0.0)
    return largest == 255.0 and operand > 16.0


def _division(network: Network, node: Node, bounds: Analysis, text: str, seen: Seen | None) -> str:
    divisor = node.input(1 if node.op == "Div" else 0)
    below, least = bounds[divisor], _least(network, node, bounds, seen)
    if below.has_zero():
        return (
            f"the divisor may come to 0 (its range is {number(below.low)} to "
            f"{number(below.high)}): add at least {least} to it, or torch.clamp(x, min={least})"
        )
    smallest = min(abs(below.low), abs(below.high))
    if smallest < 1 / ROOM:
        return (
            f"the divisor may be as small as {number(smallest)} and its inverse too large: "
            f"limit it from below, torch.clamp(x, min={least}), or scale it up"
        )
    return f"the quotient reaches {text}: scale the dividend by a power of two"


def _least(network: Network, node: Node, bounds: Analysis, seen: Seen | None) -> str:
    """What a divisor has to be at least, so that the quotient fits, factors behind it included."""
    top = bounds[node.input(0)].magnitude if node.op == "Div" else 1.0
    for user in network.users.get(node.outputs[0], ()):
        for name in user.inputs:
            if user.op == "Mul" and name in network.constants:
                top *= max(float(np.abs(network.constants[name]).max()), 1.0)
    fits = seen is None or seen.magnitude < OVERFLOW
    return "1e-3" if fits or not isfinite(top) else number(max(1e-3, top / ROOM))


def underflow(seen: Seen) -> str:
    """What to do about values that are too small."""
    share = seen.subnormal_share
    top = seen.magnitude
    lift = max(int(log2(ROOM / 8 / top)), 1) if top > 0 else 1
    return (
        f"{share:.0%} of the values are below 6.1e-5, where FP16 loses digits: "
        f"multiply by 2^{min(lift, 20)} before, and divide the result"
    )
