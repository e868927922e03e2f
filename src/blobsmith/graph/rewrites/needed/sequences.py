"""Sequences of tensors: split, unbind and stack as the TorchScript exporter writes them.

The compiler knows no sequence; what was put in or cut out at constant positions is a Slice.
"""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule


def _position(editor: Editor, value: str) -> int | None:
    found = editor.ints(value)
    return found[0] if found else None


def _length(editor: Editor, maker: Node) -> int | None:
    """How many tensors a sequence has."""
    if maker.op == "SequenceConstruct":
        return len(maker.inputs)
    bounds = _cuts(editor, maker)
    return None if bounds is None else len(bounds)


def _cuts(editor: Editor, split: Node) -> list[tuple[int, int]] | None:
    """Start and stop of each tensor that a SplitToSequence makes."""
    shape = editor.shape(split.inputs[0])
    if shape is None:
        return None
    axis = int(split.attrs.get("axis", 0)) % len(shape)
    length = shape[axis]
    if not split.input(1):
        sizes = [1] * length
    else:
        given = editor.constant(split.inputs[1])
        if given is None:
            return None
        if given.ndim:
            sizes = [int(v) for v in given]
        else:
            step = int(given)
            sizes = [min(step, length - start) for start in range(0, length, step)]
    cuts, start = [], 0
    for size in sizes:
        cuts.append((start, start + size))
        start += size
    return cuts


def _element(editor: Editor, b: Builder, maker: Node, index: int) -> str | None:
    """The tensor at a position of a sequence."""
    if maker.op == "SequenceConstruct":
        return maker.inputs[index] if -len(maker.inputs) <= index < len(maker.inputs) else None
    cuts = _cuts(editor, maker)
    if cuts is None or not -len(cuts) <= index < len(cuts):
        return None
    source = maker.inputs[0]
    axis = int(maker.attrs.get("axis", 0)) % (editor.rank(source) or 1)
    piece = b.slice(source, axis, *cuts[index])
    if not maker.input(1) and not int(maker.attrs.get("keepdims", 1)):
        piece = b.squeeze(piece, [axis])
    return piece


def find(editor: Editor, node: Node) -> Outcome:
    """A reader of a sequence whose maker and position are known."""
    maker = editor.producer(node.inputs[0])
    if maker is None or maker.op not in ("SequenceConstruct", "SplitToSequence"):
        return Refused("the sequence is not made from tensors at constant places")
    length = _length(editor, maker)
    position = _position(editor, node.inputs[1]) if node.op == "SequenceAt" else 0
    if length is None or position is None:
        return Refused("the sequence's length or the position is computed")

    def apply() -> None:
        b = Builder(editor, like=node)
        if node.op == "SequenceAt":
            parts = [_element(editor, b, maker, position)]
        else:
            parts = [_element(editor, b, maker, i) for i in range(length)]
        tensors = [p for p in parts if p is not None]
        result = tensors[0]
        if node.op == "ConcatFromSequence":
            axis = int(node.attrs["axis"])
            if node.attrs.get("new_axis", 0):
                rank = b.rank(result) + 1
                tensors = [b.unsqueeze(t, [axis % rank]) for t in tensors]
            result = b.op("Concat", *tensors, axis=axis)
        b.commit([maker, node], {node.output: result})

    return Change(apply, nodes=(maker, node))


RULES = (
    Rule(
        "sequence-to-slices", "needed", "exact", "the compiler has no sequences: slices",
        ("SequenceAt", "ConcatFromSequence"), find, order=7,
    ),
)  # fmt: skip
