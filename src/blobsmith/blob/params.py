"""Parameters of each stage type, by name (docs/blob-format.md section 4).

A type may have several layouts; the length of the parameters tells which one a file has, because
compilers of 2021 wrote fewer words for some types.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from ..errors import BlobError
from .types import ELTWISE, type_name

Value = int | float | tuple[int, ...]
Layout = tuple[str, tuple[str, ...]]


class UndecodedFields(dict[str, Value]):
    """The empty fields of a stage whose parameters have an unknown layout.

    Raises:
        BlobError: when a field is asked for by `fields[name]`.
    """

    def __init__(self, type_id: int, length: int) -> None:
        super().__init__()
        self.type_id = type_id
        self.length = length

    def __missing__(self, key: str) -> Value:
        raise BlobError(
            f"the parameters of {type_name(self.type_id)} have {self.length} bytes, "
            "a layout that is not known",
            where=f"stage type {self.type_id}, parameter {key}",
            remedy="compile the model again with this package",
        )


def _words(code: str, names: str) -> Layout:
    return f"<{code}", tuple(names.split())


_POOL = _words("7I", "kernel_w kernel_h stride_w stride_h pad_left pad_top exclude_pad")
_CONV = _words("8I", "kernel_w kernel_h stride_w stride_h pad_left pad_top dilation_w dilation_h")
_REDUCE = _words("i", "keep_dims")
_RELU = _words("If", "has_bias negative_slope")
_LRN = _words("I4e", "size k alpha beta reserved")

LAYOUTS: dict[int, tuple[Layout, ...]] = {
    0: (_CONV,), 8: (_CONV,), 49: (_CONV,),
    1: (_POOL,), 2: (_POOL,), 60: (_POOL,),
    3: (_words("i", "axis"),),
    6: (_RELU,), 44: (_RELU,), 45: (_RELU,), 46: (_RELU,),
    11: (_LRN,), 18: (_LRN,),
    22: (_words("6I", "kernel_w kernel_h stride_w stride_h pad_left pad_top"),),
    23: (_words("f", "alpha"),),
    26: (_words("3f", "bias scale power"),),
    28: (_words("2i", "axis tiles"),),
    35: (_words("2if", "across_spatial channel_shared eps"),),
    57: (_words("2f", "min_value max_value"),),
    62: (
        _words("3if", "normalize_variance across_channels across_width eps"),
        _words("2if", "normalize_variance across_channels eps"),
    ),
    67: (_words("iII", "align_corners mode coord_mode"),),
    72: (_words("ifIII", "antialias factor type coord_mode nearest_mode"),),
    73: (
        _words(
            "9i",
            "scale_x scale_y scale_z pad_left pad_right pad_top pad_bottom pad_front pad_back",
        ),
    ),
    91: (_words("2f3i", "alpha beta has_c trans_a trans_b"),),
    93: (_REDUCE,), 105: (_REDUCE,), 112: (_REDUCE,), 113: (_REDUCE,), 114: (_REDUCE,),
    100: (_words("i", "axis"),),
    104: (_words("5i", "axis mode sort has_values has_indices"),),
    111: (_words("2f2i", "scale bias from_detection_output have_batch"),),
    128: (_words("2I", "axis num_inputs"),),
    129: (_words("I", "mode"),),
    133: (
        _words("5I", "begin_mask end_mask new_axis_mask shrink_axis_mask ellipsis_mask"),
        _words("2I", "begin_mask end_mask"),
    ),
    135: (_words("f", "beta"),),
    139: (_words("2i", "axis reserved"),),
    140: (_words("I", "mode"),),
}  # fmt: skip

_NO_PARAMS = frozenset(
    (4, 9, 10, 15, 19, 20, 21, 47, 56, 92, 101, 102, 110, 131, 132, 134, 137, 138)
)
_ELTWISE_NAMES = ("coeff1", "coeff2", "post_operation", "negative_slope", "min_value", "max_value")


def decode(type_id: int, params: bytes, first_dtype: str) -> Mapping[str, Value]:
    """The parameters by name.

    Args:
        type_id: stage type.
        params: raw parameter bytes.
        first_dtype: type of the first operand: eltwise coefficients are integers if it is "i32".

    Returns:
        Fields by name: `permutation` (34), `begins` and `ends` (71) are tuples in memory order,
        minor first. Empty for types without parameters or not in the specification;
        `UndecodedFields` where the length fits no known layout.
    """
    size = len(params)
    if type_id in ELTWISE:
        if size == 24:
            code = "<6i" if first_dtype == "i32" else "<2fi3f"
            return dict(zip(_ELTWISE_NAMES, struct.unpack(code, params), strict=True))
    elif type_id == 34:
        if size == 32:
            return {"permutation": struct.unpack("<8i", params)}
    elif type_id == 71:
        if size == 40:
            *pads, value, mode = struct.unpack("<8IfI", params)
            return {"begins": tuple(pads[::2]), "ends": tuple(pads[1::2]), "value": value,
                    "mode": mode}  # fmt: skip
    elif type_id in _NO_PARAMS:
        if size == 0:
            return {}
    elif type_id not in LAYOUTS:
        return {}
    else:
        for code, names in LAYOUTS[type_id]:
            if struct.calcsize(code) == size:
                return dict(zip(names, struct.unpack(code, params), strict=True))
    return UndecodedFields(type_id, size)
