"""The value that travels along the road: an ONNX graph with what is known of its tensors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .tensors import TensorSpec

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Model:
    """An ONNX graph, and its inputs and outputs as the user means them.

    The graph is held as bytes: a step that only hashes or stores it need not import onnx, and a
    worker process receives it without a second serialisation.

    Attributes:
        onnx_bytes: the serialised ModelProto; static shapes, float tensors inside.
        inputs: specs in the order of the graph's inputs.
        outputs: specs in the order of the graph's outputs.
        origin: where it came from: "zoo:blur", "file.py:Class", "model.onnx", a class's name.
        module: the user's own torch module, when there is one: the FP32 reference of `verify`.
            Called with one float32 tensor an input, in their order, it returns a tuple of float32
            tensors, one an output. Never pickled into a worker.
        notes: what the user should know of how the graph came about: which exporter, a branch
            that was decided while exporting, a type that was converted.
    """

    onnx_bytes: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    origin: str
    module: Any = field(default=None, compare=False, repr=False)
    notes: tuple[str, ...] = ()

    @cached_property
    def proto(self) -> onnx.ModelProto:
        """The parsed ModelProto. Treat it as read-only; steps return a new Model."""
        import onnx

        return onnx.load_model_from_string(self.onnx_bytes)

    @cached_property
    def sha256(self) -> str:
        """Hash of the serialised graph."""
        return hashlib.sha256(self.onnx_bytes).hexdigest()

    def with_graph(self, proto: onnx.ModelProto) -> Model:
        """The same model with another graph of the same inputs and outputs."""
        return replace(self, onnx_bytes=proto.SerializeToString())

    def __getstate__(self) -> dict[str, Any]:
        state = {k: v for k, v in self.__dict__.items() if k not in ("proto", "sha256")}
        state["module"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
