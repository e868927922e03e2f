"""Loads what builds need, in a worker that is started before its job is known."""

from __future__ import annotations

import importlib

from ..model import Model
from ..tensors import TensorSpec

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


def rehearse() -> None:
    """The same, and a build of a small graph.

    The first build of a process takes a fifth longer than the next. While the owner still loads
    PyTorch there is time for one that nobody waits for.
    """
    preload_checks()
    from ..myriad.toolchain import toolchain_directory
    from .plan import run
    from .request import Request

    run(Request(_filter(), str(toolchain_directory())))


def _filter() -> Model:
    """A depthwise filter of a picture with reflected borders, in two passes."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape = (1, 3, 16, 24)
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    row = np.full((3, 1, 1, 3), 1 / 3, np.float32)
    held = {"pads": pads, "row": row, "column": row.swapaxes(2, 3).copy()}
    nodes = [
        helper.make_node("Pad", ["image", "pads"], ["padded"], mode="reflect"),
        helper.make_node("Conv", ["padded", "row"], ["rows"], group=3),
        helper.make_node("Conv", ["rows", "column"], ["output"], group=3),
    ]
    graph = helper.make_graph(
        nodes, "rehearsal",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 12)]
    proto = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8)
    )
    specs = (TensorSpec("image", shape, "u8"),), (TensorSpec("output", shape, "fp16"),)
    return Model(proto.SerializeToString(), *specs, "rehearsal")
