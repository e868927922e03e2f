"""One adapter for each ONNX operator whose meaning or form changed after opset 15.

Source: the ONNX operator changelog. An adapter takes a node of a newer opset and returns nodes
that do the same in opset 15; `RELABELLED` lists the operators of which only the accepted types
changed. What neither this table nor a function body of the standard covers cannot be lowered.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import NodeProto, TensorProto, helper

from .opset_resize import resize
from .opset_scope import Array, Scope, attribute, without

Adapter = Callable[[NodeProto, Scope], list[NodeProto]]


class BlockedError(Exception):
    """The node has no equivalent below opset 16; the text says why."""


class LeftoverError(BlockedError):
    """The node exists in opset 16 as `nodes`, and in nothing below."""

    def __init__(self, reason: str, nodes: list[NodeProto]) -> None:
        super().__init__(reason)
        self.nodes = nodes


_RELABELLED = """
    Acos Acosh Asin Asinh Atan Atanh Bernoulli BitShift Celu Compress Constant ConstantOfShape
    Conv ConvTranspose Cos Cosh DepthToSpace Det Dropout Einsum Elu Equal EyeLike Flatten GRU
    GlobalAveragePool GlobalLpPool GlobalMaxPool GreaterOrEqual HardSigmoid HardSwish Identity If
    InstanceNormalization IsInf IsNaN LSTM LeakyRelu LessOrEqual Loop LpNormalization MaxPool
    MaxRoiPool MaxUnpool Mod OneHot PRelu RNN Reshape ReverseSequence Round Scan Selu Shape Sin
    Sinh Size Softplus Softsign SplitToSequence Squeeze Tan ThresholdedRelu TopK Transpose Unique
    Unsqueeze Where
"""
RELABELLED = frozenset(_RELABELLED.split())


def _constant(scope: Scope, name: str, what: str) -> Array:
    value = scope.value(name)
    if value is None:
        raise BlockedError(f"its {what} are computed, not constant")
    return value


def _reduce(node: NodeProto, scope: Scope) -> list[NodeProto]:
    axes: list[int] | None = None
    if len(node.input) > 1 and node.input[1]:
        axes = [int(a) for a in _constant(scope, node.input[1], "axes")]
    if not axes and attribute(node, "noop_with_empty_axes", 0):
        if node.op_type in ("ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd"):
            return [helper.make_node("Identity", [node.input[0]], list(node.output))]
        raise BlockedError("it reduces over no axis")
    out = without(node, "noop_with_empty_axes", "axes", inputs=1)
    if axes:
        out.attribute.append(helper.make_attribute("axes", axes))
    if scope.kind(node.input[0]) != TensorProto.BOOL:
        return [out]
    wide, reduced = scope.fresh(node.output[0]), scope.fresh(node.output[0])
    out.input[0], out.output[0] = wide, reduced
    return [
        helper.make_node("Cast", [node.input[0]], [wide], to=TensorProto.FLOAT),
        out,
        helper.make_node("Cast", [reduced], [node.output[0]], to=TensorProto.BOOL),
    ]


def _pad(node: NodeProto, scope: Scope) -> list[NodeProto]:
    out = without(node, inputs=min(len(node.input), 3))
    wrap = attribute(node, "mode", "constant") == "wrap"
    given = len(node.input) > 3 and node.input[3]
    if not given and not wrap:
        return [out]
    shape = scope.shape(node.input[0])
    if shape is None:
        raise BlockedError("the shape of its input is not known")
    rank = len(shape)
    pads = _constant(scope, node.input[1], "pads").astype(np.int64)
    axes = [int(a) % rank for a in _constant(scope, node.input[3], "axes")] if given else None
    if axes is not None:
        full = np.zeros((2, rank), np.int64)
        full[:, axes] = pads.reshape(2, -1)
        pads = full.reshape(-1)
        out.input[1] = scope.constant(pads, "pads")
    return _wrap(node, scope, shape, pads) if wrap else [out]


def _wrap(node: NodeProto, scope: Scope, shape: tuple[int, ...], pads: Array) -> list[NodeProto]:
    """Periodic padding: the opposite ends are sliced off and put on, axis by axis."""
    nodes: list[NodeProto] = []
    value, rank = node.input[0], len(shape)
    for axis in range(rank):
        before, after, size = int(pads[axis]), int(pads[axis + rank]), shape[axis]
        if before == after == 0:
            continue
        if min(before, after) < 0 or max(before, after) > size:
            raise BlockedError("its wrapped pads are negative or wider than the input")
        parts = []
        for start, stop in ((size - before, size), (0, size), (0, after)):
            if start == stop:
                continue
            if (start, stop) == (0, size):
                parts.append(value)
                continue
            ends = [scope.constant(np.array([v], np.int64)) for v in (start, stop, axis)]
            parts.append(scope.fresh(node.output[0]))
            nodes.append(helper.make_node("Slice", [value, *ends], [parts[-1]]))
        value = scope.fresh(node.output[0])
        nodes.append(helper.make_node("Concat", parts, [value], axis=axis))
    return [*nodes, helper.make_node("Identity", [value], [node.output[0]])]


def _split(node: NodeProto, scope: Scope) -> list[NodeProto]:
    out = without(node, "num_outputs")
    count = attribute(node, "num_outputs")
    if count is None or (len(node.input) > 1 and node.input[1]):
        return [out]
    shape = scope.shape(node.input[0])
    if shape is None:
        raise BlockedError("the shape of its input is not known")
    size = shape[attribute(node, "axis", 0)]
    step = -(-size // count)
    parts = [step] * (size // step) + ([size % step] if size % step else [])
    if len(parts) != count:
        raise BlockedError(f"{size} cannot be split into {count} parts")
    del out.input[1:]
    out.input.append(scope.constant(np.array(parts, np.int64), "split"))
    return [out]


def _average_pool(node: NodeProto, scope: Scope) -> list[NodeProto]:
    dilations = attribute(node, "dilations") or [1]
    if all(d == 1 for d in dilations):
        return [without(node, "dilations")]
    shape = scope.shape(node.input[0])
    pads = attribute(node, "pads") or [0]
    padded = any(pads) and not attribute(node, "count_include_pad", 0)
    automatic = attribute(node, "auto_pad", "NOTSET") != "NOTSET"
    if shape is None or padded or automatic or attribute(node, "ceil_mode", 0):
        raise BlockedError("it is dilated and its border is not counted")
    kernel = attribute(node, "kernel_shape")
    weights = np.full((shape[1], 1, *kernel), 1 / np.prod(kernel), np.float32)
    out = without(node, "count_include_pad", "ceil_mode", "auto_pad")
    out.op_type = "Conv"
    out.input.append(scope.constant(weights, "average"))
    out.attribute.append(helper.make_attribute("group", shape[1]))
    return [out]


def _only_default(defaults: dict[str, object]) -> Adapter:
    """An adapter that drops attributes which came later, if they say what was meant before."""

    def adapter(node: NodeProto, scope: Scope) -> list[NodeProto]:
        for name, plain in defaults.items():
            value = attribute(node, name, plain)
            values = value if isinstance(value, (list, tuple)) else [value]
            if any(v != plain for v in values):
                raise BlockedError(f"its {name} is {value}")
        return [without(node, *defaults)]

    return adapter


def _cast(node: NodeProto, scope: Scope) -> list[NodeProto]:
    if attribute(node, "to", TensorProto.FLOAT) > TensorProto.BFLOAT16:
        raise BlockedError("it casts to a type of 8 bits or fewer")
    return [without(node, "saturate", "round_mode")]


def _roi_align(node: NodeProto, scope: Scope) -> list[NodeProto]:
    if attribute(node, "coordinate_transformation_mode", "half_pixel") != "output_half_pixel":
        raise BlockedError("its coordinate_transformation_mode is half_pixel")
    return [without(node, "coordinate_transformation_mode")]


def _scatter(node: NodeProto, scope: Scope) -> list[NodeProto]:
    kind = attribute(node, "reduction", "none")
    if kind == "none":
        return [without(node, "reduction")]
    if kind in ("add", "mul"):
        raise LeftoverError(f"it scatters with the reduction {kind!r}", [node])
    raise BlockedError(f"it scatters with the reduction {kind!r}")


def _grid_sample(node: NodeProto, scope: Scope) -> list[NodeProto]:
    shape = scope.shape(node.input[0])
    if shape is not None and len(shape) != 4:
        raise BlockedError("it samples a volume")
    names = {"linear": "bilinear", "cubic": "bicubic"}
    mode = attribute(node, "mode", "bilinear")
    out = without(node, "mode")
    out.attribute.append(helper.make_attribute("mode", names.get(mode, mode)))
    same = attribute(node, "mode") == names.get(mode, mode)
    raise LeftoverError("it came with opset 16", [node if same else out])


def _col2im(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Overlap-add of patches is a transposed convolution with one-hot weights."""
    shape = scope.shape(node.input[0])
    image = _constant(scope, node.input[1], "image sizes").tolist()
    block = _constant(scope, node.input[2], "block sizes").tolist()
    if shape is None or len(image) != 2:
        raise BlockedError("its shape is not known, or not two-dimensional")
    strides = list(attribute(node, "strides") or [1, 1])
    dilations = list(attribute(node, "dilations") or [1, 1])
    pads = list(attribute(node, "pads") or [0, 0, 0, 0])
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, block, strict=True)]
    steps = [(image[i] + pads[i] + pads[i + 2] - reach[i]) // strides[i] + 1 for i in range(2)]
    taps = block[0] * block[1]
    channels = shape[1] // taps
    # grouped by channel: the taps of one channel are the inputs of one group
    weights = np.tile(np.eye(taps, dtype=np.float32), (channels, 1))
    weights = weights.reshape(channels * taps, 1, block[0], block[1])
    extra = [
        image[i] + pads[i] + pads[i + 2] - ((steps[i] - 1) * strides[i] + reach[i])
        for i in range(2)
    ]
    grid = scope.constant(np.array([shape[0], shape[1], *steps], np.int64))
    patches = scope.fresh(node.output[0])
    return [
        helper.make_node("Reshape", [node.input[0], grid], [patches]),
        helper.make_node(
            "ConvTranspose",
            [patches, scope.constant(weights, "fold")],
            [node.output[0]],
            group=channels,
            kernel_shape=block,
            strides=strides,
            dilations=dilations,
            pads=pads,
            output_padding=extra,
        ),
    ]


def _resize(node: NodeProto, scope: Scope) -> list[NodeProto]:
    try:
        return resize(node, scope)
    except ValueError as error:
        raise BlockedError(str(error)) from error


ADAPTERS: dict[str, Adapter] = {
    **dict.fromkeys(
        (
            *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax"),
            *("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"),
        ),
        _reduce,
    ),
    "Pad": _pad,
    "Split": _split,
    "Resize": _resize,
    "AveragePool": _average_pool,
    "LpPool": _only_default({"ceil_mode": 0, "dilations": 1}),
    "Cast": _cast,
    "CastLike": _cast,
    "RoiAlign": _roi_align,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    "GridSample": _grid_sample,
    "Col2Im": _col2im,
    "Range": _only_default({"stash_type": TensorProto.FLOAT}),
    "SpaceToDepth": _only_default({"mode": "DCR"}),
    "QuantizeLinear": _only_default(
        {"saturate": 1, "block_size": 0, "output_dtype": 0, "precision": 0}
    ),
    "DequantizeLinear": _only_default({"block_size": 0, "output_dtype": 0}),
}
