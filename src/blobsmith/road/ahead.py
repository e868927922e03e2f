"""Loads what builds need, in a worker that is started before its job is known."""

from __future__ import annotations

import importlib

_BUILD = (
    "..sources.onnx_file", "..graph.preprocess", "..graph.simplify", "onnxsim",
    "..graph.rewrites.apply", "..graph.rewrites.needed", "..graph.rewrites.faster",
    "..graph.outline", "..cost",
)  # fmt: skip
_CHECKS = ("cv2", "numpy.random", "..numerics", "..emulator.machine")


def preload() -> None:
    """What every build needs; the compiler loads in a thread beside it."""
    from ..myriad.compile import warm_up
    from ..myriad.toolchain import toolchain_directory

    warm_up(str(toolchain_directory()))
    for name in _BUILD:
        importlib.import_module(name, __package__)


def preload_checks() -> None:
    """The same, and what the check of FP16 and the verification need."""
    preload()
    for name in _CHECKS:
        importlib.import_module(name, __package__)
