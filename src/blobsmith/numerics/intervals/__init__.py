"""Bounds that hold for every input: interval analysis with affine forms for linear chains."""

from .engine import Analysis, Reach, analyse
from .interval import UNBOUNDED, Interval, hull, make
from .registry import RULES

__all__ = ["RULES", "UNBOUNDED", "Analysis", "Interval", "Reach", "analyse", "hull", "make"]
