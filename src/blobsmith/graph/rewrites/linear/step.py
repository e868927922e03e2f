"""What the steps of all kinds share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...editor import Editor
from ...node import Node
from .form import Form

PARTED = 2.0**-8
"""Pixels divided by this, beside the pixels themselves, carry the second parts of weights."""

Constant = npt.NDArray[Any]
Get = Callable[[str], "Form | None"]
Step = Callable[[Editor, Node, str, Get], "Form | None"]


def reshape(form: Form, shape: tuple[int, ...]) -> Form | None:
    """The same rows under other leading dimensions; the pixels stay together."""
    h, w = form.y.size, form.x.size
    if len(shape) >= 2 and shape[-2:] == (h, w) and count(shape[:-2]) == form.rows:
        return replace(form, lead=shape[:-2], flat=False)
    if shape and shape[-1] == h * w and count(shape[:-1]) == form.rows:
        return replace(form, lead=shape[:-1], flat=True)
    return None


def count(dims: tuple[int, ...]) -> int:
    """The product of dimensions."""
    return int(np.prod(dims, dtype=np.int64))


def parted(editor: Editor, node: Node) -> bool:
    """Whether a node makes the pixels for the second parts of weights.

    A map that were read through it would have both parts of a weight as one, which FP16 rounds.
    """
    if node.op != "Mul" or editor.scalar(node.inputs[1]) != PARTED:
        return False
    readers = editor.consumers(node.output)
    return any(r.op == "Concat" and node.inputs[0] in r.inputs for r in readers)
