"""ONNX models of one operator or few, built in memory, and comparison in FP16 units."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from blobsmith.blob import Blob

KINDS = {"u8": np.uint8, "fp16": np.float16, "fp32": np.float32, "i32": np.int32}


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
    """A serialised, checked model with float inputs; outputs are float unless typed."""
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
    return proto.SerializeToString()


def reference(data: bytes, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """ONNX Runtime's FP32 result."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    wide = {name: np.asarray(a, np.float32) for name, a in feeds.items()}
    return dict(zip(names, session.run(None, wide), strict=True))


def ulp(values: np.ndarray) -> np.ndarray:
    """One FP16 unit in the last place at each value."""
    magnitude = np.maximum(np.abs(np.asarray(values, np.float64)), 2.0**-14)
    return 2.0 ** (np.floor(np.log2(magnitude)) - 10)


def stage_names(blob: Blob) -> set[str]:
    """Names of all stage types in a blob, injected ones included."""
    names = {stage.type_name for stage in blob.stages}
    return names | {stage.injected.type_name for stage in blob.stages if stage.injected}


def hw_on_off(data: bytes, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> list[Blob]:
    """The model compiled with and without hardware acceleration, in one job of one worker."""
    from blobsmith.myriad import CompileOptions
    from blobsmith.myriad.compile import compile_variants

    options = [
        CompileOptions(inputs=inputs, outputs=outputs, hardware=hardware)
        for hardware in (True, False)
    ]
    return [Blob.from_bytes(made) for made in compile_variants(data, options)]


@dataclass(frozen=True, eq=False)
class Case:
    """One model of the battery.

    Attributes:
        name: for the test's id.
        data: the ONNX.
        shapes: input shapes by name.
        stages: stage types that must be in the blob, with hardware acceleration on and off.
        low, high: range of the random inputs.
        dtype: input type of the blob.
        ulps: tolerated error in FP16 units in the last place of the reference: half a unit for
            one rounding, and a little for the order of FP32 sums.
        atol: tolerated error besides: FP32 sums whose terms cancel, FP16 values on the way.
        outputs: output types that are not FP16.
        integers: round the inputs to whole numbers.
    """

    name: str
    data: bytes
    shapes: Mapping[str, tuple[int, ...]]
    stages: tuple[tuple[str, ...], tuple[str, ...]]
    low: float = -4.0
    high: float = 4.0
    dtype: str = "fp16"
    ulps: float = 0.51
    atol: float = 1e-5
    outputs: Mapping[str, str] = field(default_factory=dict)
    integers: bool = False

    def feeds(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Random inputs, already rounded to the blob's input type."""
        rng = np.random.default_rng(seed)
        found: dict[str, np.ndarray] = {}
        for name, shape in self.shapes.items():
            values = rng.uniform(self.low, self.high, shape)
            found[name] = (np.round(values) if self.integers else values).astype(KINDS[self.dtype])
        return found

    @functools.cached_property
    def blobs(self) -> list[Blob]:
        """The compiled blobs: hardware acceleration on, off."""
        return hw_on_off(self.data, dict.fromkeys(self.shapes, self.dtype), self.outputs)


def simple(
    name: str,
    nodes: Sequence[onnx.NodeProto] | onnx.NodeProto,
    shape: tuple[int, ...] | Mapping[str, tuple[int, ...]],
    out: tuple[int, ...],
    stages: str | tuple[str, str],
    *,
    constants: Mapping[str, Any] | None = None,
    opset: int = 13,
    integer_output: bool = False,
    **options: Any,
) -> Case:
    """A case with the input x (or those of a mapping) and the output y.

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


RNG = np.random.default_rng(1)


def weights(*shape: int, scale: float = 1.0) -> np.ndarray:
    """Random constants that FP16 holds exactly and that are not subnormal in it."""
    values = (RNG.normal(size=shape) * scale).astype(np.float16)
    tiny = np.abs(values) < 2.0**-12
    return np.where(tiny, np.float16(scale), values).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    """An INT64 constant."""
    return np.array(values, np.int64)
