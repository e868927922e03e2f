"""FP16 before the camera: what range every tensor has, what error FP16 makes, and repair."""

from .check import check, quick_check
from .constants import ConstantReport
from .report import CheckReport, ErrorReport, StageRange, TensorReport

__all__ = [
    "CheckReport",
    "ConstantReport",
    "ErrorReport",
    "StageRange",
    "TensorReport",
    "check",
    "quick_check",
]
