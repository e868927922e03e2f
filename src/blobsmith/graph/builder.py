"""Writes chains of new nodes with shapes and constants in hand, for whatever opset the graph has.

A rule describes its replacement with one Builder, then commits it:

    b = Builder(editor, like=node)
    centred = b.op("Sub", x, 127.5)             # numbers and arrays become constants
    b.commit([node], {node.output: b.op("Abs", centred)})

Operators whose form changed between opsets (axes as attribute or input) have their own method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ModelError
from .editor import Array, Editor
from .node import Node

Value = str | float | int | Array | None
_AXES_INPUT_SINCE = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13}


class Builder:
    """Collects new nodes for an editor; every node is inserted (and inferred) at once.

    Args:
        editor: the graph.
        like: the node that is being replaced: its place and source line are inherited.
    """

    def __init__(self, editor: Editor, like: Node) -> None:
        self.editor = editor
        self.like = like
        self.nodes: list[Node] = []

    def value(self, value: Value) -> str:
        """A value's name: strings are names, None is an absent input, the rest constants.

        Numbers become float32 scalars (rank 0).
        """
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        if isinstance(value, (int, float)):
            return self.editor.add_constant(np.array(value, np.float32))
        return self.editor.add_constant(value)

    def ints(self, values: Sequence[int]) -> str:
        """An int64 vector constant: axes, shapes, starts, pads, indices."""
        return self.editor.add_constant(np.array(list(values), np.int64), "ints")

    def op(self, op: str, *inputs: Value, outputs: int = 1, **attrs: Any) -> str:
        """Adds one node; returns its first output.

        Args:
            op: ONNX operator type.
            inputs: names, numbers, arrays, or None for an absent optional input.
            outputs: how many outputs it has; `outputs_of_last` names the others.
            attrs: attributes; those that are None are left out.

        Raises:
            ModelError: shape inference refuses the node.
        """
        names = [self.value(i) for i in inputs]
        while names and not names[-1]:
            names.pop()
        made = [self.editor.fresh(f"{self._hint()}_{op}") for _ in range(outputs)]
        node = Node(op, names, made, {k: v for k, v in attrs.items() if v is not None})
        node.name = made[0]
        self.editor.insert([node], like=self.like)
        self.nodes.append(node)
        return made[0]

    def outputs_of_last(self) -> list[str]:
        """All outputs of the node added last."""
        return list(self.nodes[-1].outputs)

    def shape(self, value: str) -> tuple[int, ...]:
        """The static shape of a value.

        Raises:
            ModelError: it is not known.
        """
        shape = self.editor.shape(value)
        if shape is None:
            raise ModelError("a rewrite needs a shape that is not static", where=value)
        return shape

    def rank(self, value: str) -> int:
        """The number of dimensions of a value."""
        return len(self.shape(value))

    # ------------------------------------------------------------------ operators by version

    def _axes(self, op: str, value: str, axes: Sequence[int] | None, **attrs: Any) -> str:
        since = _AXES_INPUT_SINCE.get(op, 18)
        if axes is None or self.editor.opset < since:
            return self.op(op, value, axes=None if axes is None else list(axes), **attrs)
        return self.op(op, value, self.ints(axes), **attrs)

    def reduce(self, op: str, value: str, axes: Sequence[int], keepdims: bool = True) -> str:
        """ReduceSum, ReduceMean, ReduceMax, ... over axes."""
        return self._axes(op, value, axes, keepdims=int(keepdims))

    def squeeze(self, value: str, axes: Sequence[int]) -> str:
        """Drops axes of length 1."""
        return self._axes("Squeeze", value, axes)

    def unsqueeze(self, value: str, axes: Sequence[int]) -> str:
        """Inserts axes of length 1, numbered in the result."""
        return self._axes("Unsqueeze", value, axes)

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        """Reshape; returns the value itself if it already has that shape."""
        if self.editor.shape(value) == tuple(shape):
            return value
        return self.op("Reshape", value, self.ints(shape))

    def transpose(self, value: str, perm: Sequence[int]) -> str:
        """Transpose; returns the value itself for the identity."""
        if list(perm) == list(range(len(perm))):
            return value
        return self.op("Transpose", value, perm=list(perm))

    def slice(
        self,
        value: str,
        axis: int | Sequence[int],
        start: int | Sequence[int],
        end: int | Sequence[int],
        step: int | Sequence[int] = 1,
    ) -> str:
        """value[start:end:step] along one axis, or along several at once."""
        axes = [axis] if isinstance(axis, int) else list(axis)
        many = [
            [v] * len(axes) if isinstance(v, int) else list(v) for v in (start, end, axes, step)
        ]
        return self.op("Slice", value, *(self.ints(v) for v in many))

    def pad(
        self, value: str, pads: Sequence[int], fill: float = 0.0, mode: str = "constant"
    ) -> str:
        """Pad with ONNX's order of pads: all begins, then all ends."""
        if not any(pads):
            return value
        amount = fill if mode == "constant" else None
        return self.op("Pad", value, self.ints(pads), amount, mode=mode)

    def concat(self, values: Sequence[str], axis: int) -> str:
        """Concat; a single value is returned as it is."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=axis)

    def clip(self, value: str, low: float | None, high: float | None) -> str:
        """Clip with constant bounds."""
        return self.op("Clip", value, low, high)

    def cast(self, value: str, dtype: Any) -> str:
        """Cast to a numpy dtype; returns the value itself if it has it already."""
        from onnx import helper

        wanted = np.dtype(dtype)
        if self.editor.dtype(value) == wanted:
            return value
        return self.op("Cast", value, to=helper.np_dtype_to_tensor_dtype(wanted))

    def sum(self, values: Sequence[str]) -> str:
        """A chain of Adds."""
        return self._chain("Add", values)

    def max(self, values: Sequence[str]) -> str:
        """A chain of two-operand Max."""
        return self._chain("Max", values)

    def _chain(self, op: str, values: Sequence[str]) -> str:
        total = values[0]
        for value in values[1:]:
            total = self.op(op, total, value)
        return total

    # ------------------------------------------------------------------ commit

    def commit(self, old: Sequence[Node], results: Mapping[str, str]) -> None:
        """Removes the old nodes and lets every reader of their outputs read the new values.

        Args:
            old: the nodes that are replaced, in topological order.
            results: old output -> new value. Shape and dtype must be the same.

        Raises:
            ModelError: an output that is still read has no replacement, or another type.
        """
        for before, after in results.items():
            was, now = self.editor.type(before), self.editor.type(after)
            if was and now and was != now and was.shape is not None:
                raise ModelError(f"a rewrite changed {was} to {now}", where=before)
            self.editor.redirect(before, after)
        gone = [node for node in old if node in self.editor]
        for node in reversed(gone):
            if not any(self.editor.uses(o) for o in node.outputs if o):
                self.editor.remove([node])

    def _hint(self) -> str:
        return self.like.output or self.like.op
