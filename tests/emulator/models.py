"""ONNX models of one operator or few, built in memory, and FP16-aware comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node; names are separated by spaces, "-" is an absent operand."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Sequence[int]],
    constants: Mapping[str, Any] | None = None,
    opset: int = 13,
    output_types: Mapping[str, int] | None = None,
) -> bytes:
    """A serialised, checked model with float inputs and outputs."""
    kinds = output_types or {}
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in inputs.items()],
        [
            helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), list(s))
            for n, s in outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(proto, full_check=True)
    data: bytes = proto.SerializeToString()
    return data


def reference(data: bytes, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """ONNX Runtime's FP32 result."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    wide = {name: np.asarray(a, np.float32) for name, a in feeds.items()}
    return dict(zip(names, session.run(None, wide), strict=True))


def ulp(values: np.ndarray) -> np.ndarray:
    """One FP16 unit in the last place at each value."""
    magnitude = np.maximum(np.abs(np.asarray(values, np.float64)), 2.0**-14)
    step: np.ndarray = 2.0 ** (np.floor(np.log2(magnitude)) - 10)
    return step


@dataclass(frozen=True)
class Case:
    """One model of the battery.

    Attributes:
        name: for the test's id.
        data: the ONNX.
        shapes: input shapes by name.
        low, high: range of the random inputs.
        dtype: input type of the blob.
        stages: stage type names that must be in the blob, hardware acceleration on and off alike;
            or a pair of such tuples (on, off).
        ulps: tolerated error in FP16 units in the last place of the reference.
        atol: tolerated error besides, for sums whose terms cancel and for FP16 steps on the way.
        flips: share of elements that may differ by any amount (thresholds).
        outputs: types of the blob's outputs that are not FP16.
        inputs: special inputs instead of random ones.
    """

    name: str
    data: bytes
    shapes: Mapping[str, tuple[int, ...]]
    stages: tuple[tuple[str, ...], tuple[str, ...]]
    low: float = -4.0
    high: float = 4.0
    dtype: str = "fp16"
    ulps: float = 1.01
    atol: float = 0.0
    flips: float = 0.0
    outputs: Mapping[str, str] = field(default_factory=dict)
    integers: bool = False

    def feeds(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Random inputs, already rounded to the blob's input type."""
        rng = np.random.default_rng(seed)
        found: dict[str, np.ndarray] = {}
        for name, shape in self.shapes.items():
            values = rng.uniform(self.low, self.high, shape)
            if self.integers:
                values = np.round(values)
            kind = {"u8": np.uint8, "fp16": np.float16, "fp32": np.float32}[self.dtype]
            found[name] = values.astype(kind)
        return found


def simple(
    name: str,
    nodes: Sequence[onnx.NodeProto] | onnx.NodeProto,
    shape: tuple[int, ...] | Mapping[str, tuple[int, ...]],
    out: tuple[int, ...],
    stages: str | tuple[str, str] = "",
    *,
    constants: Mapping[str, Any] | None = None,
    opset: int = 13,
    integer_output: bool = False,
    **options: Any,
) -> Case:
    """A case with inputs x (and others, by a mapping) and one output y.

    `stages` names the wanted stage types, separated by spaces; a pair is for hardware on, off.
    """
    shapes = dict(shape) if isinstance(shape, Mapping) else {"x": shape}
    listed = [nodes] if isinstance(nodes, onnx.NodeProto) else list(nodes)
    kinds = {"y": TensorProto.INT64} if integer_output else {}
    data = model(listed, shapes, {"y": out}, constants, opset, kinds)
    pair = (stages, stages) if isinstance(stages, str) else stages
    if integer_output:
        options["outputs"] = {"y": "i32"}
    return Case(name, data, shapes, (tuple(pair[0].split()), tuple(pair[1].split())), **options)
