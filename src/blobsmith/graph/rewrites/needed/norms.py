"""Norms and distances: sums of squares that leave FP16's range although their root does not.

255 squared is 65025, and FP16 ends at 65504: the length of two pixels overflows. Scaled down by a
power of two before they are squared, and the root up again, the digits are the same.
"""

from __future__ import annotations

import math

from ...bounds import bounds
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..patterns import squared
from ..rule import Approx, Change, Outcome, Rule
from .scaling import lifted, times

_ROOM = 2.0**15
_LARGEST_TABLE = 1 << 22


def find_norm(editor: Editor, node: Node) -> Outcome:
    """A ReduceL2 whose sum of squares may pass FP16's largest number."""
    source = node.inputs[0]
    shape, out = editor.shape(source), editor.shape(node.output)
    if shape is None or out is None or not editor.is_float(source):
        return None
    count = math.prod(shape) / max(math.prod(out), 1)
    largest = bounds(editor, source).magnitude
    total = count * largest * largest
    if not math.isfinite(total) or total <= _ROOM:
        return None
    factor = 2.0 ** math.ceil(math.log2(math.sqrt(total / _ROOM)))

    def apply() -> None:
        b = Builder(editor, like=node)
        scaled = times(b, source, 1 / factor)
        length = b.op(node.op, scaled, *node.inputs[1:], **node.attrs)
        b.commit([node], {node.output: times(b, length, factor)})

    return Change(apply, nodes=(node,))


def find_root(editor: Editor, node: Node) -> Outcome:
    """The root of a ReduceSum of squares, or of a ReduceSumSquare: a ReduceL2."""
    total = editor.producer(node.inputs[0])
    if total is None or total.op not in ("ReduceSum", "ReduceSumSquare"):
        return None
    if total.op == "ReduceSumSquare":
        source, nodes = total.inputs[0], (total, node)
    else:
        source, square = squared(editor, total.inputs[0]), editor.producer(total.inputs[0])
        if not source or square is None:
            return None
        nodes = (square, total, node)  # type: ignore[assignment]
    shape, out = editor.shape(source), editor.shape(node.output)
    axes = total.attrs.get("axes") or (editor.ints(total.input(1)) if total.input(1) else None)
    if shape is None or out is None or axes is None:
        return None
    count = math.prod(shape) / max(math.prod(out), 1)
    if not count * bounds(editor, source).magnitude ** 2 > _ROOM:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        keep = bool(total.attrs.get("keepdims", 1))
        b.commit(nodes, {node.output: b.reduce("ReduceL2", source, list(axes), keepdims=keep)})

    return Change(apply, nodes=nodes)


def find_guarded(editor: Editor, node: Node) -> Outcome:
    """where(z > 0, sqrt(where(z > 0, z, 1)), 0), which keeps gradients finite: sqrt(max(z, 0))."""
    condition, yes, no = node.inputs
    root, test = editor.producer(yes), editor.producer(condition)
    if editor.scalar(no) != 0 or root is None or test is None or root.op != "Sqrt":
        return None
    guard = editor.producer(root.inputs[0])
    if guard is None or guard.op != "Where" or guard.inputs[0] != condition:
        return None
    value = guard.inputs[1]
    if test.op != "Greater" or test.inputs[0] != value or editor.scalar(test.inputs[1]) != 0:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        b.commit([guard, root, node], {node.output: b.op("Sqrt", b.op("Max", value, 0.0))})

    return Change(apply, nodes=(guard, root, node))


def find_distances(editor: Editor, node: Node) -> Outcome:
    """All distances between two sets of vectors, as torch.cdist exports them.

    |a|^2 - 2 a b + |b|^2 cancels, and overflows long before the distances do; the differences
    themselves do neither.
    """
    inner = editor.producer(node.inputs[0])
    nodes = [node]
    if inner is not None and inner.op in ("Max", "Clip", "Relu"):
        nodes.insert(0, inner)
        inner = editor.producer(inner.inputs[0])
    if inner is None or inner.op != "MatMul":
        return None
    turned = editor.producer(inner.inputs[1])
    left = editor.producer(inner.inputs[0])
    right = editor.producer(turned.inputs[0]) if turned and turned.op == "Transpose" else None
    if left is None or right is None or {left.op, right.op} != {"Concat"}:
        return None
    a, b_ = left.inputs, right.inputs
    if len(a) != 3 or len(b_) != 3:
        return None
    if editor.scalar(a[2]) != 1 or editor.scalar(b_[1]) != 1:
        return None
    doubled = editor.producer(a[0])
    if doubled is None or doubled.op != "Mul" or -2.0 not in map(editor.scalar, doubled.inputs):
        return None
    first = next(i for i in doubled.inputs if editor.scalar(i) is None)
    second = b_[0]
    shapes = editor.shape(first), editor.shape(second)
    if any(s is None or len(s) < 2 or max(s[:-2], default=1) > 1 for s in shapes):
        return None
    rows, columns = (s[-2:] for s in shapes if s is not None)
    made = editor.shape(node.output)
    if made is None or rows[0] * columns[0] * rows[1] > _LARGEST_TABLE:
        return None
    nodes.insert(0, inner)

    def apply() -> None:
        b = Builder(editor, like=node)
        difference = b.op(
            "Sub",
            b.reshape(first, [rows[0], 1, rows[1]]),
            b.reshape(second, [1, *columns]),
        )
        lengths = b.reduce("ReduceL2", difference, [2], keepdims=False)
        b.commit(nodes, {node.output: b.reshape(lengths, made)})

    return Change(apply, nodes=tuple(nodes))


def find_conjugate(editor: Editor, node: Node) -> Outcome:
    """b - sqrt(b^2 - q), the smaller root of a quadratic: q / (b + sqrt(b^2 - q)).

    The difference of two nearly equal numbers is what the smaller eigenvalue of a 2x2 matrix is
    made of, and FP16 leaves one digit of it. With b = a + c, b^2 - q may stand as
    (a - c)^2 + r; then q is 4 a c - r.
    """
    total, root = node.inputs
    under = _under_root(editor, root)
    maker = editor.producer(under) if under else None
    known = bounds(editor, total)
    if maker is None or known.low < 0:
        return None
    reach = max(2 * known.high, known.high**2)
    factor = 2.0 ** math.floor(math.log2(_ROOM / reach)) if 0 < reach < math.inf else 1.0
    if maker.op == "Sub":
        if squared(editor, maker.inputs[0]) != total:
            return None
        q = maker.inputs[1]

        def product(b: Builder) -> str:
            return lifted(b, q, factor)

    elif maker.op == "Add":
        parts = editor.producer(total)
        found = [i for i in (0, 1) if _difference(editor, maker.inputs[i], parts)]
        if parts is None or not found:
            return None
        rest = maker.inputs[1 - found[0]]

        def product(b: Builder) -> str:
            both = b.op("Mul", times(b, parts.inputs[0], 4.0 * factor), parts.inputs[1])
            return b.op("Sub", both, lifted(b, rest, factor))

    else:
        return None

    def apply() -> None:
        b = Builder(editor, like=node)
        below = times(b, b.op("Add", total, root), factor)
        b.commit([node], {node.output: b.op("Div", product(b), b.op("Max", below, 2.0**-14))})

    return Change(apply, nodes=(node,))


def _under_root(editor: Editor, value: str) -> str:
    """What a value is the root of, guards against negative values aside; "" if it is none."""
    node = editor.producer(value)
    if node is not None and node.op == "Where" and editor.scalar(node.inputs[2]) == 0:
        node = editor.producer(node.inputs[1])
    if node is None or node.op != "Sqrt":
        return ""
    inner = node.inputs[0]
    guard = editor.producer(inner)
    while guard is not None and guard.op in ("Abs", "Relu", "Clip", "Max", "Where"):
        inner = guard.inputs[1 if guard.op == "Where" else 0]
        guard = editor.producer(inner)
    return inner


def _difference(editor: Editor, value: str, total: Node | None) -> bool:
    """Whether a value is (a - c)^2 where `total` is a + c."""
    node = editor.producer(squared(editor, value))
    if node is None or total is None or node.op != "Sub" or total.op != "Add":
        return False
    return set(node.inputs) == set(total.inputs)


_FINE = Approx(1.0, of_scale=2.0**-6, flips=0.01)

RULES = (
    Rule(
        "root-unguarded", "needed", "exact", "a root guarded for its gradient, without the guard",
        ("Where",), find_guarded, order=13,
    ),
    Rule(
        "distances", "needed", _FINE, "distances from differences, not from squares",
        ("Sqrt",), find_distances, order=32,
    ),
    Rule(
        "root-of-squares", "needed", "reorder", "the root of a sum of squares is a norm",
        ("Sqrt",), find_root, order=33,
    ),
    Rule(
        "large-norm", "needed", "reorder", "a norm whose squares would overflow, scaled",
        ("ReduceL2",), find_norm, order=34,
    ),
    Rule(
        "smaller-root", "needed", _FINE, "the smaller root of a quadratic without cancellation",
        ("Sub",), find_conjugate, order=34,
    ),
)  # fmt: skip
