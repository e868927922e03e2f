"""One-operator models and what the compiled blob must say of them.

The parameters are the ONNX operator's own attributes, as docs/blob-format.md section 4 places them:
a wrong offset, order or type in the decoder shows as a wrong number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper

from ..graphs import model

SHAPE = (1, 4, 12, 20)
Constants = Mapping[str, Any]


@dataclass(frozen=True)
class Operator:
    """A model of one operator.

    Attributes:
        name: for the test's id.
        proto: the model.
        stage: name of the stage that must be in the blob.
        fields: parameters that it must have, at least.
        hardware: compile for the convolution engine.
    """

    name: str
    proto: onnx.ModelProto
    stage: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    hardware: bool = False


def _op(
    name: str,
    op: str,
    stage: str,
    fields: Mapping[str, Any] | None = None,
    *,
    shape: Sequence[int] = SHAPE,
    inputs: int = 1,
    constants: Constants | None = None,
    order: Sequence[str] | None = None,
    outputs: int = 1,
    opset: int = 12,
    hardware: bool = False,
    **attributes: Any,
) -> Operator:
    names = [f"x{i}" for i in range(inputs)]
    made = [f"y{i}" for i in range(outputs)]
    feeds = list(order or (*names, *(constants or {})))
    proto = model(
        [helper.make_node(op, feeds, made, **attributes)],
        dict.fromkeys(names, shape),
        {made[0]: None},
        constants=dict(constants or {}),
        opset=opset,
    )
    return Operator(name, proto, stage, fields or {}, hardware)


def _weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)


_F = np.float32
_I = np.int64

_CONV = {"kernel_w": 3, "kernel_h": 3, "stride_w": 2, "stride_h": 1, "pad_left": 2, "pad_top": 1}
_POOL = {"kernel_w": 4, "kernel_h": 2, "stride_w": 2, "stride_h": 1}

OPERATORS: tuple[Operator, ...] = (
    # section 4.1, data movement
    _op("permute", "Transpose", "Permute", {}, perm=[0, 2, 3, 1]),
    _op("pad", "Pad", "Pad",
        {"begins": (0, 3, 1, 0), "ends": (0, 4, 2, 0), "value": 1.5, "mode": 0},
        constants={"p": np.array([0, 0, 1, 3, 0, 0, 2, 4], _I), "v": _F(1.5)}),
    _op("pad edge", "Pad", "Pad", {"mode": 1}, mode="edge",
        constants={"p": np.array([0, 0, 1, 3, 0, 0, 2, 4], _I)}),
    _op("pad reflect", "Pad", "Pad", {"mode": 2}, mode="reflect",
        constants={"p": np.array([0, 0, 1, 3, 0, 0, 2, 4], _I)}),
    _op("tile", "Tile", "Tile", {"tiles": 3}, constants={"r": np.array([1, 1, 1, 3], _I)}),
    _op("gather", "Gather", "Gather", {"axis": 0}, axis=3,
        constants={"i": np.array([3, 1, 7], _I)}),
    _op("strided slice", "Slice", "StridedSlice", {},
        constants={"b": np.array([9], _I), "e": np.array([1], _I), "a": np.array([2], _I),
                   "s": np.array([-2], _I)}),
    _op("topk", "TopK", "TopK", {"axis": 1, "mode": 1, "has_values": 1}, outputs=2,
        constants={"k": np.array([3], _I)}, axis=3, largest=0),
    # section 4.2, eltwise
    _op("sum", "Add", "Sum", {"coeff1": 1.0, "coeff2": 1.0, "post_operation": -1}, inputs=2),
    _op("prod", "Mul", "Prod", {"post_operation": -1}, inputs=2),
    _op("max", "Max", "Max", {"post_operation": -1}, inputs=2),
    _op("min", "Min", "Min", {"post_operation": -1}, inputs=2),
    _op("pow", "Pow", "Pow", {"post_operation": -1}, inputs=2),
    _op("abs", "Abs", "Abs"),
    # section 4.3, unary
    _op("add scalar", "Add", "Power", {"bias": 2.5, "scale": 1.0, "power": 1.0},
        constants={"c": _F(2.5)}),
    _op("mul scalar", "Mul", "Power", {"bias": 0.0, "scale": 0.75, "power": 1.0},
        constants={"c": _F(0.75)}),
    _op("sqrt", "Sqrt", "Power", {"bias": 0.0, "scale": 1.0, "power": 0.5}),
    _op("relu", "Relu", "Relu", {"has_bias": 0}),
    _op("leaky relu", "LeakyRelu", "LeakyRelu", {"negative_slope": 0.25}, alpha=0.25),
    _op("clamp", "Clip", "Clamp", {"min_value": -1.5, "max_value": 6.25},
        constants={"lo": _F(-1.5), "hi": _F(6.25)}),
    _op("elu", "Elu", "Elu", {"alpha": 0.5}, alpha=0.5),
    _op("prelu", "PRelu", "PRelu", {}, constants={"s": _weights(4, 1, 1)}),
    _op("sigmoid", "Sigmoid", "Sigmoid"),
    _op("tanh", "Tanh", "Tanh"),
    _op("exp", "Exp", "Exp"),
    _op("log", "Log", "Log"),
    _op("floor", "Floor", "Floor"),
    _op("ceil", "Ceil", "Ceiling"),
    _op("erf", "Erf", "Erf"),
    _op("softplus", "Softplus", "SoftPlus"),
    _op("round", "Round", "Round", {"mode": 0}),
    _op("scale shift", "Mul", "ScaleShift", {}, constants={"s": _weights(1, 4, 1, 1)}),
    # section 4.4, convolution
    _op("conv", "Conv", "Conv", {**_CONV, "dilation_w": 1, "dilation_h": 1},
        constants={"w": _weights(2, 4, 3, 3)}, strides=[1, 2], pads=[1, 2, 1, 2]),
    _op("dilated conv", "Conv", "Conv", {"dilation_w": 3, "dilation_h": 2},
        constants={"w": _weights(2, 4, 3, 3)}, dilations=[2, 3]),
    _op("depthwise conv", "Conv", "DepthConv", {"kernel_w": 5, "kernel_h": 3}, group=4,
        constants={"w": _weights(4, 1, 3, 5)}),
    _op("conv on hardware", "Conv", "MyriadXHwOp", {}, hardware=True,
        constants={"w": _weights(8, 4, 5, 5)}, pads=[2, 2, 2, 2]),
    _op("deconvolution", "ConvTranspose", "Deconvolution", {"kernel_w": 3, "stride_w": 2},
        constants={"w": _weights(4, 2, 3, 3)}, strides=[2, 2]),
    _op("gemm", "MatMul", "GEMM", {"alpha": 1.0, "has_c": 0, "trans_a": 0}, inputs=2,
        shape=(1, 2, 8, 8)),
    # sections 4.5 and 4.6, pooling, reduction, the rest
    _op("max pool", "MaxPool", "MaxPool", _POOL, kernel_shape=[2, 4], strides=[1, 2]),
    _op("average pool", "AveragePool", "AvgPool", {**_POOL, "exclude_pad": 1},
        kernel_shape=[2, 4], strides=[1, 2]),
    _op("max pool on hardware", "MaxPool", "MyriadXHwOp", {}, kernel_shape=[2, 2], strides=[2, 2],
        hardware=True),
    _op("reduce mean", "ReduceMean", "ReduceMean", {"keep_dims": 1}, axes=[2, 3]),
    _op("reduce min", "ReduceMin", "ReduceMin", {"keep_dims": 0}, axes=[3], keepdims=0),
    _op("softmax", "Softmax", "SoftMax", {}, axis=1, opset=13),
    _op("lrn", "LRN", "LRN", {"size": 3, "k": 2.0, "beta": 0.75}, size=3, bias=2.0, beta=0.75,
        alpha=0.5),
    _op("instance norm", "InstanceNormalization", "MVN",
        {"normalize_variance": 1, "across_channels": 0}, order=["x0", "s", "b"],
        constants={"s": np.ones(4, _F), "b": np.zeros(4, _F)}, epsilon=1e-4),
    _op("bilinear resize", "Resize", "Interp", {"align_corners": 0, "coord_mode": 0},
        order=["x0", "", "sc"], constants={"sc": np.array([1, 1, 2, 2], _F)}, mode="linear",
        coordinate_transformation_mode="half_pixel"),
    _op("nearest resize", "Resize", "Resample", {"coord_mode": 2, "nearest_mode": 2},
        order=["x0", "", "sc"], constants={"sc": np.array([1, 1, 2, 2], _F)}, mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
)  # fmt: skip
