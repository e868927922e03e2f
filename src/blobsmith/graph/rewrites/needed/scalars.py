"""Rank-0 values: the compiler refuses them, so they live as one element of the rank around them.

A reduction over everything keeps its dimensions; what is computed from it broadcasts as before. An
output of rank 0 becomes [1]: the element is the same, the blob's header and the manifest say [1].
"""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule

_ELEMENTWISE = frozenset(
    [
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Max",
        "Min",
        "Abs",
        "Neg",
        "Sqrt",
        "Exp",
        "Log",
        "Reciprocal",
        "Floor",
        "Ceil",
        "Round",
        "Relu",
        "Sigmoid",
        "Tanh",
        "Clip",
        "Cast",
        "Not",
        "And",
        "Greater",
        "Less",
        "Equal",
        "Where",
        "Erf",
        "Softplus",
        "Sum",
        "Mean",
        "Identity",
        "LeakyRelu",
        "Elu",
        "Sign",
        "Sin",
        "Cos",
        "Atan",
        "HardSigmoid",
        "GreaterOrEqual",
        "LessOrEqual",
        "Or",
        "Xor",
        "IsNaN",
        "IsInf",
        "Mod",
    ]
)


def find(editor: Editor, node: Node) -> Outcome:
    """A node that computes a value of rank 0: it and all that follow it at once."""
    if not _is_scalar(editor, node):
        return None
    chosen = [n for n in editor.sorted() if _is_scalar(editor, n)]
    if any(n.op in ("Loop", "If", "Scan") for n in editor.nodes):
        return Refused("a loop or branch that stays needs rank 0")

    def apply() -> None:
        _raise_all(editor, chosen)

    return Change(apply, nodes=tuple(chosen))


def _is_scalar(editor: Editor, node: Node) -> bool:
    return any(editor.shape(o) == () for o in node.outputs if o)


def _raise_all(editor: Editor, chosen: list[Node]) -> None:
    """Every rank-0 value gets a twin of shape [1]; readers of other ranks read the twin."""
    twins: dict[str, str] = {}
    for node in chosen:
        b = Builder(editor, like=node)
        inputs = [twins.get(i, i) for i in node.inputs]
        if node.op in _ELEMENTWISE:
            made = b.op(node.op, *inputs, **node.attrs)
            if b.shape(made) == ():
                made = b.op("Reshape", made, b.ints([1]))
        elif node.op.startswith("Reduce") or node.op in ("ArgMax", "ArgMin"):
            made = _reduced(b, node, inputs)
        elif node.op == "Gather":
            index = editor.constant(node.inputs[1])
            index_name = node.inputs[1] if index is None else b.value(index.reshape(1))
            made = b.reshape(b.op("Gather", inputs[0], index_name, **node.attrs), [1])
        elif node.op in ("Squeeze", "Reshape"):
            made = b.op("Reshape", inputs[0], b.ints([1]))
        else:
            made = b.op("Reshape", b.op(node.op, *inputs, **node.attrs), b.ints([1]))
        twins[node.output] = made
    for node in chosen:
        old, new = node.output, twins[node.output]
        for reader in editor.consumers(old):
            if reader not in chosen:
                _read(editor, reader, old, new)
        if old in editor.outputs:
            editor.redirect(old, new)
        else:
            editor.note_same(old, new)
    editor.remove(n for n in reversed(chosen) if not editor.uses(n.output))


def _read(editor: Editor, reader: Node, old: str, new: str) -> None:
    """Lets a reader take [1] where it took rank 0."""
    if reader.op in ("Unsqueeze", "Expand", "Reshape"):
        b = Builder(editor, like=reader)
        shape = b.shape(reader.output)
        made = b.op("Expand", new, b.ints(shape)) if reader.op == "Expand" else b.op(
            "Reshape", new, b.ints(shape)
        )  # fmt: skip
        b.commit([reader], {reader.output: made})
        return
    for index, name in enumerate(reader.inputs):
        if name == old:
            editor.rewire(reader, index, new)


def _reduced(b: Builder, node: Node, inputs: list[str]) -> str:
    attrs = {**node.attrs, "keepdims": 1}
    if node.op in ("ArgMax", "ArgMin"):
        return b.op("Reshape", b.op(node.op, inputs[0], **attrs), b.ints([1]))
    rank = b.rank(inputs[0])
    axes = list(range(rank))
    if rank == 0:
        return b.op("Reshape", inputs[0], b.ints([1]))
    return b.op("Reshape", b.reduce(node.op, inputs[0], axes), b.ints([1]))


RULES = (
    Rule(
        "rank-zero", "needed", "exact", "the compiler has no rank 0: one element of rank 1",
        (), find, order=25, reshapes=True,
    ),
)  # fmt: skip
