"""A graph as plain data to be drawn: boxes with what is known of each, lines, and the layout.

Boxes of two graphs are the same node if they make the tensor of the same name: simplification
and rewrites keep the names of the values they keep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .layout import Box, Net, layout

MOST_NODES = 1500
"""A graph with more boxes is counted, not drawn."""

KINDS: dict[str, tuple[str, ...]] = {
    "linear": ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "QLinearConv", "DeformConv"),
    "pool": (
        "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "Resize",
        "Upsample", "GridSample", "RoiAlign", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin",
        "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "CumSum", "TopK",
        "ReduceLogSumExp", "ArgMax", "ArgMin",
    ),
    "arithmetic": ("Add", "Sub", "Mul", "Div", "Pow", "Neg", "Abs", "Mod", "Sum", "Mean",
                   "Reciprocal", "Min", "Max", "Sqrt"),
    "curve": (
        "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh",
        "Softmax", "LogSoftmax", "Softplus", "Softsign", "Exp", "Log", "Erf", "Clip", "Floor",
        "Ceil", "Round", "Sign", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh",
        "BatchNormalization", "InstanceNormalization", "LayerNormalization", "LRN", "Mish", "Gelu",
        "LpNormalization", "MeanVarianceNormalization",
    ),
    "logic": ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Not", "And", "Or",
              "Xor", "Where", "IsNaN", "IsInf", "NonZero", "If", "Loop", "Scan"),
}  # fmt: skip
"""Kind of box -> operators; what is in none of them moves or shapes data: "move"."""

KIND_NAMES = {
    "linear": "convolution, matrix", "pool": "pooling, reduction, resize",
    "arithmetic": "arithmetic", "curve": "activation, function", "logic": "comparison, logic",
    "move": "shape, movement, type", "input": "input", "output": "output",
}  # fmt: skip

_KIND_OF = {op: kind for kind, ops in KINDS.items() for op in ops}
_HEIGHT = 24.0
_NARROW = frozenset("iljtfrI.,:;|'![]()/ ")
_WIDE = frozenset("mwMWO%@")


@dataclass(frozen=True)
class Operand:
    """What goes into a node or comes out.

    Attributes:
        name: the tensor.
        type: dtype and shape, e.g. "fp32 1x3x300x300"; "" if unknown.
        value: of a small constant, as text; "" otherwise.
        constant: it is stored in the model.
    """

    name: str
    type: str = ""
    value: str = ""
    constant: bool = False


@dataclass(frozen=True)
class DrawnNode:
    """One box.

    Attributes:
        op: operator, with its domain if it is not ONNX's own; "input" or "output".
        name: the node's name, or the tensor's for inputs and outputs; may be empty.
        kind: a key of `KIND_NAMES`: the colour.
        key: the tensor it makes first; the same in two graphs: the same node.
        inputs, outputs: in order; absent optional inputs left out.
        attributes: (name, value as text).
        line: the user's line, "file.py:12  code"; "" if unknown.
        change: against the graph before: "" (the same, or nothing to compare with), "new" or
            "changed" (the same result by another operator or other attributes).
        fate: "gone" if the next graph does not have it, else "".
        box: where it is drawn; None before layout.
    """

    op: str
    name: str
    kind: str
    key: str
    inputs: tuple[Operand, ...] = ()
    outputs: tuple[Operand, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    line: str = ""
    change: str = ""
    fate: str = ""
    box: Box | None = None

    @property
    def label(self) -> str:
        """What stands in the box."""
        return self.name if self.kind in ("input", "output") else self.op


@dataclass(frozen=True)
class Wire:
    """One tensor's line.

    Attributes:
        tensor: what it carries.
        source: index of the box that makes it.
        targets: indices of the boxes that read it.
        path: as an SVG path; "" before layout.
    """

    tensor: Operand
    source: int
    targets: tuple[int, ...]
    path: str = ""


@dataclass(frozen=True)
class Drawing:
    """A graph to be drawn.

    Attributes:
        nodes: boxes, inputs first, outputs last; empty if there are too many.
        wires: lines.
        counts: operator -> nodes, those inside If and Loop and Constant nodes included.
        hidden: Constant nodes, which are not drawn: their values stand at their readers.
        width, height: of the drawing; 0 before layout.
        note: what is not drawn and why, or "".
    """

    nodes: tuple[DrawnNode, ...]
    wires: tuple[Wire, ...]
    counts: Mapping[str, int]
    hidden: int = 0
    width: float = 0.0
    height: float = 0.0
    note: str = ""

    @property
    def total(self) -> int:
        """Number of the graph's nodes."""
        return sum(self.counts.values())


def kind_of(op: str) -> str:
    """The kind of box for an operator."""
    return _KIND_OF.get(op, "move")


def arrange(drawing: Drawing) -> Drawing:
    """The drawing with a place for every box and a path for every line."""
    sizes = [(text_width(node.label) + 20.0, _HEIGHT) for node in drawing.nodes]
    found = layout(sizes, [Net(wire.source, wire.targets) for wire in drawing.wires])
    return replace(
        drawing,
        nodes=tuple(
            replace(node, box=box) for node, box in zip(drawing.nodes, found.boxes, strict=True)
        ),
        wires=tuple(
            replace(wire, path=path) for wire, path in zip(drawing.wires, found.paths, strict=True)
        ),
        width=found.width,
        height=found.height,
    )


def related(drawings: Sequence[Drawing]) -> list[Drawing]:
    """The drawings with each node's `change` and `fate`, in the order of the road."""
    out = list(drawings)
    for index, drawing in enumerate(drawings):
        before = {n.key: n for n in drawings[index - 1].nodes} if index else None
        after = {n.key for n in drawings[index + 1].nodes} if index + 1 < len(out) else None
        nodes = []
        for node in drawing.nodes:
            change = _change(node, before) if before is not None else ""
            fate = "gone" if after is not None and node.key not in after else ""
            nodes.append(replace(node, change=change, fate=fate))
        out[index] = replace(drawing, nodes=tuple(nodes))
    return out


def _change(node: DrawnNode, before: Mapping[str, DrawnNode]) -> str:
    old = before.get(node.key)
    if old is None:
        return "new"
    same = (
        old.op == node.op
        and old.attributes == node.attributes
        and [o.type for o in old.inputs if o.constant]
        == [o.type for o in node.inputs if o.constant]
    )
    return "" if same or node.kind in ("input", "output") else "changed"


def text_width(text: str, size: float = 12.0) -> float:
    """Pixels that a text takes, roughly, in a usual sans-serif face."""
    units = sum(0.34 if c in _NARROW else 0.86 if c in _WIDE else 0.68 if c.isupper() else 0.57
                for c in text)  # fmt: skip
    return round(units * size, 1)


def counts_table(drawings: Sequence[Mapping[str, int]]) -> list[tuple[str, list[int]]]:
    """(operator, count in each graph), sorted by the largest count."""
    ops: Counter[str] = Counter()
    for counts in drawings:
        for op, count in counts.items():
            ops[op] = max(ops[op], count)
    order = sorted(ops, key=lambda op: (-ops[op], op))
    return [(op, [counts.get(op, 0) for counts in drawings]) for op in order]


def plain(drawing: Drawing) -> dict[str, Any]:
    """A JSON-ready form for the page: what is shown of each box, and no coordinates."""

    def operand(item: Operand) -> dict[str, Any]:
        row: dict[str, Any] = {"name": item.name, "type": item.type}
        if item.constant:
            row["constant"] = True
        if item.value:
            row["value"] = item.value
        return row

    def box(node: DrawnNode) -> dict[str, Any]:
        row: dict[str, Any] = {
            "op": node.op, "name": node.name, "kind": node.kind, "key": node.key,
            "inputs": [operand(item) for item in node.inputs],
            "outputs": [operand(item) for item in node.outputs],
        }  # fmt: skip
        if node.attributes:
            row["attributes"] = [list(pair) for pair in node.attributes]
        for field in ("line", "change", "fate"):
            if getattr(node, field):
                row[field] = getattr(node, field)
        return row

    return {
        "total": drawing.total,
        "counts": dict(drawing.counts),
        "hidden": drawing.hidden,
        "nodes": [box(node) for node in drawing.nodes],
        "note": drawing.note,
    }
