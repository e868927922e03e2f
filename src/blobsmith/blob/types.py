"""Stage types: names, categories, operand counts (docs/blob-format.md sections 3 and 4)."""

from __future__ import annotations

from typing import Literal

Category = Literal["hardware", "software", "dma"]

HW_OP = 38
COPY = 19

STAGE_NAMES: dict[int, str] = {
    0: "Conv", 1: "MaxPool", 2: "AvgPool", 3: "SoftMax", 4: "FC", 5: "None", 6: "Relu",
    8: "DepthConv", 9: "Bias", 10: "PRelu", 11: "LRN", 12: "Sum", 13: "Prod", 14: "Max",
    15: "Scale", 18: "InnerLRN", 19: "Copy", 20: "Sigmoid", 21: "Tanh", 22: "Deconvolution",
    23: "Elu", 26: "Power", 28: "Tile", 29: "RegionYolo", 30: "ReorgYolo", 34: "Permute",
    35: "Normalize", 37: "DetectionOutput", 38: "MyriadXHwOp", 43: "CTCDecoder",
    44: "LeakyRelu", 45: "BiasRelu", 46: "BiasLeakyRelu", 47: "ScaleShift",
    49: "Im2ColConvolution", 56: "HwFcRelayout", 57: "Clamp", 58: "RefConvolution",
    60: "GlobalMaxPool", 61: "GRN", 62: "MVN", 63: "DepthDeconv", 64: "Proposal",
    65: "ROIPooling", 66: "PSROIPooling", 67: "Interp", 69: "MTCNN", 70: "LSTMCell", 71: "Pad",
    72: "Resample", 73: "Upsampling", 75: "Div", 76: "Min", 77: "Squared_diff", 78: "Equal",
    79: "Not_equal", 80: "Greater", 81: "Greater_equal", 82: "Less", 83: "Less_equal",
    84: "Logical_NOT", 85: "Logical_AND", 86: "Logical_OR", 87: "Logical_XOR", 88: "Pow",
    89: "Floor_mod", 90: "Select", 91: "GEMM", 92: "Log", 93: "ReduceAnd",
    94: "ReverseSequence", 100: "Gather", 101: "Exp", 102: "Floor", 103: "ScatterUpdate",
    104: "TopK", 105: "ReduceMin", 106: "ExpDetectionOutput", 108: "ROIFeatureExtractor",
    109: "SCRelu", 110: "Erf", 111: "Convert", 112: "ReduceMax", 113: "ReduceSum",
    114: "ReduceMean", 115: "Custom", 116: "ConvND", 117: "OneHot", 118: "PoolND",
    119: "LoopStart", 120: "LoopEnd", 121: "ExpPriorGridGenerator", 122: "NonZero",
    123: "ROIAlign", 124: "ExpGenerateProposals", 125: "ExpTopKROIs",
    126: "ScatterElementsUpdate", 127: "OutShapeOfReshape", 128: "Concat", 129: "Broadcast",
    130: "StaticShapeNMS", 131: "Mish", 132: "Gelu", 133: "StridedSlice", 134: "SoftPlus",
    135: "Swish", 136: "GatherND", 137: "HSwish", 138: "Ceiling", 139: "GatherElements",
    140: "Round", 141: "CTCGreedyDecoderSeqLen", 142: "Abs",
}  # fmt: skip

ELTWISE: frozenset[int] = frozenset((12, 13, 14, 75, 76, 77, *range(78, 91), 142))

OPAQUE: frozenset[int] = frozenset((70, 115, 119, 120))
"""Types whose data part has a layout of its own that is not decoded: their buffers stay empty."""

_DMA = frozenset((COPY, 119, 120))

_IN_OUT = (
    *(1, 2, 3, 6, 11, 18, 19, 20, 21, 23, 26, 28, 34, 44, 57, 60, 62, 67, 56, 71, 72, 73, 92),
    *(101, 102, 110, 111, 131, 132, 134, 135, 137, 138, 140),
)

OPERAND_ROLES: dict[int, tuple[str, ...]] = {
    **dict.fromkeys(_IN_OUT, ("input", "output")),
    **dict.fromkeys(ELTWISE, ("input", "output", "input", "input")),
    **dict.fromkeys((0, 8, 22, 49), ("input", "output", "weights")),
    **dict.fromkeys((93, 105, 112, 113, 114), ("input", "output", "axes")),
    **dict.fromkeys((9, 45, 46), ("input", "output", "bias")),
    **dict.fromkeys((100, 139), ("input", "output", "indices")),
    **dict.fromkeys((15, 35), ("input", "output", "scales")),
    4: ("input", "output", "weights"),
    10: ("input", "output", "slopes"),
    47: ("input", "output", "scales", "bias"),
    133: ("input", "begin", "end", "strides", "output"),
}
"""What each operand is, in file order, of the types where the order is fixed (section 4)."""

_MORE_OPERANDS: dict[int, tuple[int, int]] = {
    **dict.fromkeys((0, 8, 22, 49), (3, 4)),
    91: (3, 4),
    104: (3, 4),
    128: (2, 1 << 16),
    129: (3, 4),
}

OPERAND_COUNTS: dict[int, tuple[int, int]] = {
    **{kind: (len(roles), len(roles)) for kind, roles in OPERAND_ROLES.items()},
    **_MORE_OPERANDS,
}
"""Fewest and most operands of the types whose operands the specification lists."""


def operand_roles(type_id: int, count: int) -> tuple[str, ...]:
    """What each of `count` operands is: "input", "output", "weights", ...; "operand": unknown."""
    if type_id == 91:
        roles: tuple[str, ...] = ("input",) * (count - 1) + ("output",)
    elif type_id == 104:
        roles = ("input", "k") + ("output",) * (count - 2)
    elif type_id == 128:
        roles = ("input",) * (count - 1) + ("output",)
    elif type_id == 129:
        roles = ("input", "shape", "axes", "output") if count == 4 else ("input", "shape", "output")
    else:
        roles = OPERAND_ROLES.get(type_id, ())
        roles += ("temporary" if roles else "operand",) * (count - len(roles))
    return roles[:count]


def type_name(type_id: int) -> str:
    """The stage type's name, "Unknown<id>" if the specification has none."""
    return STAGE_NAMES.get(type_id, f"Unknown{type_id}")


def category(type_id: int) -> Category:
    """What executes a stage: the convolution engine, the SHAVEs, or the DMA engine."""
    if type_id == HW_OP:
        return "hardware"
    return "dma" if type_id in _DMA else "software"
