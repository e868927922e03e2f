"""A positive factor of a value, moved into the weights of what reads it.

Relu, pooling and what only moves elements commute with a positive factor; a convolution or product
with constant weights takes it in. If every reader does, the factor costs no stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...builder import Builder
from ...editor import Array, Editor
from ...node import Node

_COMMUTES = frozenset(
    [
        "Relu", "LeakyRelu", "PRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Reshape",
        "GlobalMaxPool", "Flatten", "Transpose", "Slice", "Squeeze", "Unsqueeze", "Identity",
        "ReduceMean", "ReduceSum", "ReduceMax", "DepthToSpace", "SpaceToDepth", "Abs",
    ]
)  # fmt: skip
_TAKES = frozenset(["Conv", "ConvTranspose", "Gemm", "MatMul"])
_DEEPEST = 8
Fits = Callable[[Array], bool]


@dataclass(frozen=True)
class Absorption:
    """Where a factor goes.

    Attributes:
        value: what lacks the factor.
        factor: to be multiplied.
        readers: every node on the way, in topological order.
    """

    value: str
    factor: float
    readers: tuple[Node, ...]

    def commit(self, b: Builder, made: str, old: Sequence[Node]) -> None:
        """Replaces the value by `made`, which is the value divided by the factor.

        Args:
            b: where new nodes go.
            made: the new value.
            old: nodes that `made` replaces.
        """
        now = {self.value: made}
        results: dict[str, str] = {}
        for node in self.readers:
            inputs: list[str | Array] = [now.get(node.inputs[0], node.inputs[0])]
            inputs.extend(node.inputs[1:])
            if node.op in _TAKES:
                weights = b.editor.constant(node.inputs[1])
                assert weights is not None
                inputs[1] = (weights * np.float32(self.factor)).astype(np.float32)
                results[node.output] = b.op(node.op, *inputs, **node.attrs)
            else:
                now[node.output] = b.op(node.op, *inputs, **node.attrs)
        b.commit([*old, *self.readers], results)


def absorb(editor: Editor, value: str, factor: float, fits: Fits) -> Absorption | None:
    """How every reader of a value takes a factor in; None if one cannot.

    Args:
        editor: the graph.
        value: a float value.
        factor: above 0.
        fits: whether weights may be held in FP16.
    """
    readers: list[Node] = []
    if factor <= 0 or not _readers(editor, value, factor, fits, readers, 0):
        return None
    order = {node: index for index, node in enumerate(editor.nodes)}
    return Absorption(value, factor, tuple(sorted(set(readers), key=lambda node: order[node])))


def _readers(
    editor: Editor, value: str, factor: float, fits: Fits, found: list[Node], depth: int
) -> bool:
    consumers = editor.consumers(value)
    if value in editor.outputs or not consumers or depth > _DEEPEST:
        return False
    for node in consumers:
        if list(node.inputs).count(value) != 1 or node.inputs[0] != value:
            return False
        if any(editor.constant(name) is None for name in node.inputs[1:] if name):
            return False
        if len([o for o in node.outputs if o]) > 1:
            return False
        found.append(node)
        if node.op in _TAKES:
            weights = editor.constant(node.inputs[1])
            if weights is None or weights.dtype != np.float32:
                return False
            held = np.abs(weights.reshape(weights.shape[0], -1)) * factor
            if not fits(held) or node.attrs.get("alpha", 1.0) != 1.0:
                return False
        elif node.op not in _COMMUTES or not _readers(
            editor, node.output, factor, fits, found, depth + 1
        ):
            return False
    return True
