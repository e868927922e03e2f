"""Formulas that FP32 forgives and FP16 does not, in the form that keeps its digits."""

from __future__ import annotations

from ...bounds import bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import axes_of
from ..rule import Approx, Change, Outcome, Rule

_BEARABLE_EXPONENT = 6.0


def find_products(editor: Editor, node: Node) -> Outcome:
    """A quotient of two products, which may both be tiny: a product of two quotients."""
    over, under = editor.producer(node.inputs[0]), editor.producer(node.inputs[1])
    if over is None or under is None or over.op != "Mul":
        return None
    spare = under
    if under.op == "Add":
        for index in (0, 1):
            epsilon = editor.scalar(under.inputs[index])
            inner = editor.producer(under.inputs[1 - index])
            if epsilon is not None and 0 < epsilon < 1e-6 and inner is not None:
                spare = inner
    if spare.op != "Mul" or any(editor.constant(i) is not None for i in spare.inputs):
        return None
    if any(editor.constant(i) is not None for i in over.inputs):
        return None
    lows = [bounds(editor, i) for i in spare.inputs]
    if lows[0].low * lows[1].low > 2.0**-10 and all(k.low > 0 for k in lows):
        return None
    if editor.shape(over.output) != editor.shape(spare.output):
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        first = b.op("Div", over.inputs[0], spare.inputs[0])
        second = b.op("Div", over.inputs[1], spare.inputs[1])
        b.commit([node], {node.output: b.op("Mul", first, second)})

    return Change(apply, nodes=(over, spare, node))


def find_log_sum_exp(editor: Editor, node: Node) -> Outcome:
    """ReduceLogSumExp, or the logarithm of a sum of exponentials, that may leave FP16's range."""
    nodes, source = [node], node.inputs[0]
    reduction = node
    if node.op == "Log":
        total = editor.producer(node.inputs[0])
        power = editor.producer(total.inputs[0]) if total is not None else None
        if total is None or power is None or total.op != "ReduceSum" or power.op != "Exp":
            return None
        if editor.uses(total.output) != 1:
            return None
        nodes, source, reduction = [power, total, node], power.inputs[0], total
        less = editor.producer(source)
        top = editor.producer(less.inputs[1]) if less is not None and less.op == "Sub" else None
        if top is not None and top.op == "ReduceMax":
            return None  # it is taken out already
    axes = axes_of(editor, reduction)
    if axes is None:
        return None
    known = bounds(editor, source)
    if known.low >= -_BEARABLE_EXPONENT and known.high <= _BEARABLE_EXPONENT:
        return None
    keep = bool(reduction.attrs.get("keepdims", 1))

    def apply() -> None:
        b = Builder(editor, like=node)
        top = b.reduce("ReduceMax", source, axes)
        shares = b.op("Exp", b.op("Sub", source, top))
        result = b.op("Add", b.op("Log", b.reduce("ReduceSum", shares, axes)), top)
        shape = editor.shape(node.output)
        b.commit(nodes, {node.output: result if keep else b.reshape(result, shape or ())})

    return Change(apply, nodes=tuple(nodes))


RULES = (
    Rule(
        "log-sum-exp", "needed", "reorder",
        "the logarithm of a sum of exponentials, with the largest exponent taken out",
        ("ReduceLogSumExp", "Log"), find_log_sum_exp, order=30,
    ),
    Rule(
        "quotient-of-products", "needed", Approx(1.0, floor=2.0**-10),
        "a quotient of two products that may be tiny, as a product of two quotients",
        ("Div",), find_products, order=34,
    ),
)  # fmt: skip
