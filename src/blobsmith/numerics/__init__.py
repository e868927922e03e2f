"""FP16 before the camera: what range every tensor has, what error FP16 makes, and repair."""

from .check import check, quick_check
from .constants import ConstantReport
from .repair import RepairedModel, RepairResult, repair, repair_model
from .report import CheckReport, ErrorReport, StageRange, TensorReport

__all__ = [
    "CheckReport",
    "ConstantReport",
    "ErrorReport",
    "RepairResult",
    "RepairedModel",
    "StageRange",
    "TensorReport",
    "check",
    "quick_check",
    "repair",
    "repair_model",
]
