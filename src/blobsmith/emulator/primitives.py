"""The two primitives for which NumPy is too slow: FP16 casts, and FP32 matrix products.

Both run on ONNX Runtime's kernels Cast and MatMul, which a session of one node exposes; no other
of its operators is used, so that what the stages mean is written here and not borrowed from the
library that tests compare with.

- NumPy's FP16 casts take 2 to 3 ns an element; ONNX Runtime's, with the processor's conversion
  instructions, 0.1 to 0.2. Both round to nearest even, make inf of what is above 65519.99 and keep
  subnormals: the same bits (a test compares them on every half and on random and halfway floats).
- NumPy's BLAS becomes up to 30 times slower when other processes keep the cores busy, because its
  threads wait by spinning. ONNX Runtime's wait for each other without.

Steps are planned: they refer to memory that is fixed when they are made.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import Array

SMALL_CAST = 1024
"""Below this many elements NumPy's cast costs less than the call of a session."""

SMALL_PRODUCT = 1 << 14
"""Below this many multiply-adds NumPy's product costs less."""

HALF_MAX = 65504.0
"""Largest finite FP16 value."""

HALF_LIMIT = 65520.0
"""Smallest magnitude that rounds to inf in FP16."""

_MOST_THREADS = 4
_FLOAT, _FLOAT16 = 1, 10  # ONNX's TensorProto.FLOAT and FLOAT16
_ONNX_TYPES = {np.dtype(np.float32): _FLOAT, np.dtype(np.float16): _FLOAT16}


@functools.cache
def _session(operator: str, source: int, target: int, threads: int) -> Any:
    """A session of one node with the inputs a (and b) and the output y, of any shape."""
    import onnxruntime as ort
    from onnx import helper

    names = ["a", "b"] if operator == "MatMul" else ["a"]
    attributes = {"to": target} if operator == "Cast" else {}
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["y"], **attributes)],
        "primitive",
        [helper.make_tensor_value_info(name, source, None) for name in names],
        [helper.make_tensor_value_info("y", target, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _bound(session: Any, inputs: dict[str, Array], target: Array) -> Callable[[], None]:
    binding = session.io_binding()
    for name, array in inputs.items():
        kind = array.dtype.type
        binding.bind_input(name, "cpu", 0, kind, array.shape, array.ctypes.data)
    binding.bind_output("y", "cpu", 0, target.dtype.type, target.shape, target.ctypes.data)

    def run(
        call: Callable[[Any], None] = session.run_with_iobinding,
        bound: Any = binding,
        keep: tuple[Array, ...] = (
            *inputs.values(),
            target,
        ),  # bindings hold addresses only
    ) -> None:
        call(bound)

    return run


def planned_cast(source: Array, target: Array) -> Callable[[], None]:
    """A step that converts the present content of `source` into `target`.

    Args:
        source: 1-D, contiguous, float16 or float32.
        target: the same length, contiguous, the other of the two types.
    """
    if source.size < SMALL_CAST:
        return lambda: np.copyto(target, source, casting="unsafe")
    session = _session("Cast", _ONNX_TYPES[source.dtype], _ONNX_TYPES[target.dtype], 1)
    return _bound(session, {"a": source}, target)


def planned_product(a: Array, b: Array, out: Array) -> Callable[[], object]:
    """A step that puts the matrix product of the present `a` and `b` into `out`.

    Args:
        a, b: float32 matrices, or stacks of them that broadcast as in `np.matmul`.
        out: float32, their product's shape. All three contiguous for the fast way.
    """
    contiguous = all(array.flags.c_contiguous for array in (a, b, out))
    if out.size * a.shape[-1] < SMALL_PRODUCT or not contiguous:
        return lambda: np.matmul(a, b, out=out)
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    return _bound(_session("MatMul", _FLOAT, _FLOAT, threads), {"a": a, "b": b}, out)


def to_half(values: Array) -> Array:
    """A float16 copy of any array, rounded to nearest even; what is too large becomes inf."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float16)
