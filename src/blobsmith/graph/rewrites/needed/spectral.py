"""A filter in the frequency domain is a convolution: transform, constant spectrum, transform back.

The compiler has no DFT (opset 17), and the sums of a transform leave FP16's range. What lies
between the picture and the filtered picture is linear, so its answer to one bright pixel is the
whole of it: a circular convolution whose kernel is read off, if it is small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from ...builder import Builder
from ...editor import Array, Editor
from ...extract import extract
from ...node import Node
from ..check import session
from ..rule import Approx, Change, Outcome, Refused, Rule
from .pads import padded

_LINEAR = frozenset(
    ["DFT", "Unsqueeze", "Squeeze", "Slice", "Concat", "Reshape", "Transpose", "Gather", "Split",
     "Identity", "Neg", "Add", "Sub", "Mul", "Div", "Cast", "Expand", "Pad"]
)  # fmt: skip
_WIDEST = 31
_SMALL = 1e-4


@dataclass(frozen=True)
class _Filter:
    """A part of the graph that is linear, from a picture to a picture of the same shape."""

    source: str
    result: str
    nodes: tuple[Node, ...]


def _linear(editor: Editor, node: Node, known: set[str]) -> bool:
    """Whether a node's result is linear in values that are."""
    inputs = [i for i in node.inputs if i]
    data = [i for i in inputs if i not in editor.constants]
    if node.op not in _LINEAR or not data or any(i not in known for i in data):
        return False
    if node.op in ("Mul", "Div"):
        return (len(data) == 1 and data[0] == node.inputs[0]) or (
            node.op == "Mul" and len(data) == 1
        )  # fmt: skip
    if node.op in ("Add", "Sub"):
        return len(data) == len(inputs)
    return True


def _filter(editor: Editor, node: Node) -> _Filter | str:
    source = node.inputs[0]
    while (maker := editor.producer(source)) is not None and editor.rank(source) != 4:
        if maker.op not in ("Unsqueeze", "Concat", "Reshape", "Pad", "Cast"):
            return "its input is no picture"
        source = maker.inputs[0]
    shape = editor.shape(source)
    if shape is None or len(shape) != 4:
        return "its input is no picture"
    known, nodes, result = {source}, [], ""
    open_transforms = 0
    for candidate in editor.sorted():
        if not _linear(editor, candidate, known):
            continue
        known.update(candidate.outputs)
        nodes.append(candidate)
        if candidate.op == "DFT":
            open_transforms += -1 if candidate.attrs.get("inverse", 0) else 1
        elif open_transforms == 0 and editor.shape(candidate.output) == shape:
            result = candidate.output
            break
    if not result or not any(n.op == "DFT" for n in nodes):
        return "it is not transformed back to a picture of the same size"
    return _Filter(source, result, tuple(nodes))


def _kernel(editor: Editor, found: _Filter) -> tuple[Array, tuple[int, int]] | str:
    """The answer to one pixel, cut to its support, and the offset of its first element."""
    shape = editor.shape(found.source) or ()
    _channels, height, width = shape[1:]
    part = extract(editor, [found.result], stop=lambda value: value == found.source)
    picture = np.zeros(shape, np.float32)
    picture[0, :, height // 2, width // 2] = 1
    answer = session(part.proto).run(None, {found.source: picture})[0][0]
    loud = np.abs(answer).max(0) > _SMALL * np.abs(answer).max()
    rows, columns = np.flatnonzero(loud.any(1)), np.flatnonzero(loud.any(0))
    box = [int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1]
    if box[1] - box[0] > _WIDEST or box[3] - box[2] > _WIDEST:
        return f"its kernel is larger than {_WIDEST} x {_WIDEST}"
    kernel = answer[:, box[0] : box[1], box[2] : box[3]]
    return np.where(np.abs(kernel) < _SMALL * np.abs(kernel).max(), 0.0, kernel), (
        box[0] - height // 2,
        box[2] - width // 2,
    )


def find(editor: Editor, node: Node) -> Outcome:
    """The first transform of a filter."""
    if node.attrs.get("inverse", 0):
        return None
    found = _filter(editor, node)
    if isinstance(found, str):
        return Refused(found)
    kernel = _kernel(editor, found)
    if isinstance(kernel, str):
        return Refused(kernel)
    weights, (top, left) = kernel
    shape = editor.shape(found.source) or ()

    def apply() -> None:
        b = Builder(editor, like=found.nodes[-1])
        # y[n] = sum over d of k[d] x[n - d]: the kernel is flipped, and reaches back by its end
        rows, columns = weights.shape[1:]
        before = [0, 0, top + rows - 1, left + columns - 1]
        after = [0, 0, -top, -left]
        wide = padded(b, found.source, before, after, 0.0, "wrap")
        flipped = np.ascontiguousarray(weights[:, None, ::-1, ::-1].astype(np.float32))
        made = b.op("Conv", wide, flipped, group=shape[1], kernel_shape=[rows, columns])
        b.commit(found.nodes, {found.result: made})

    if max(top, left) > 0 or min(top + weights.shape[1], left + weights.shape[2]) < 1:
        return Refused("its kernel does not reach the pixel itself")
    return Change(apply, nodes=found.nodes)


RULE = Rule(
    "spectral-filter", "needed", Approx(1.0, of_scale=1.0),
    "a filter in the frequency domain is a convolution", ("DFT",), find, order=4,
)  # fmt: skip
RULES = (RULE,)


def without_transforms(proto: ModelProto) -> ModelProto:
    """The graph with filters in the frequency domain as convolutions, in its own opset.

    DFT exists from opset 17 on and has no equivalent below, so this comes before lowering.
    """
    if not any(node.op_type == "DFT" for node in proto.graph.node):
        return proto
    from ..rewriting import Rewriting

    run = Rewriting(Editor(proto))
    run.to_fixed_point([RULE])
    return run.editor.to_proto()
