"""Making a graph fit into FP16 without changing its function.

Powers of two are pushed through linear and homogeneous operators to where values fit, and undone
later or folded into weights. Several plans are tried; the best one is kept, and only if the FP16
error afterwards is lower and the FP32 function is the same, both measured in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from onnx import ModelProto

from ...tensors import TensorSpec
from .. import frames as inputs
from ..frames import Feeds
from .result import RepairedModel, RepairResult
from .trial import Trial
from .workshop import Workshop

if TYPE_CHECKING:
    from ...model import Model

__all__ = ["RepairResult", "RepairedModel", "Trial", "repair", "repair_model"]


def repair_model(model: Model, *, frames: Iterable[Feeds] | None = None) -> RepairedModel:
    """Repairs a model's graph; see `repair`."""
    result = repair(model.proto, model.inputs, frames=frames)
    if not result.accepted:
        return RepairedModel(model, result)
    outputs = tuple(
        replace(
            spec,
            decoding=replace(
                spec.decoding,
                factor=spec.decoding.factor * result.output_factors.get(spec.name, 1.0),
            ),
        )
        for spec in model.outputs
    )
    repaired = replace(model.with_graph(result.proto), outputs=outputs)
    return RepairedModel(repaired, result)


def repair(
    proto: ModelProto, specs: Sequence[TensorSpec], *, frames: Iterable[Feeds] | None = None
) -> RepairResult:
    """Rescales a graph so that FP16 holds every value on the way.

    Args:
        proto: the graph, simplified.
        specs: its inputs with dtypes and ranges.
        frames: the user's inputs, run besides the synthetic ones.

    Raises:
        ModelError: the graph is not valid, or does not run.
        FrameError: frames that do not fit.
    """
    own = [] if frames is None else list(inputs.given(frames, specs))
    return Workshop(proto, specs, [*inputs.standard(specs), *own], len(own)).run()
