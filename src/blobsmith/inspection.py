"""What is inside a file, as plain data: a blob, superblob, archive or .onnx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blob import Blob
    from .packaging.artifact import Artifact


def file_facts(artifact: Artifact) -> dict[str, Any]:
    """What a file is, and what is known of it beyond its blob."""
    return {
        "kind": artifact.kind,
        "holds": artifact.holds,
        "shaves": list(artifact.shave_counts),
        "notes": list(artifact.notes),
        "manifest": artifact.manifest.to_dict() if artifact.manifest else None,
    }


def time_facts(blob: Blob) -> dict[str, Any]:
    """The time predicted on the chip and its shares, in milliseconds, with caveats."""
    from .cost import predict

    cost = predict(blob)
    return {
        "total_ms": cost.total_ms,
        "engine_ms": cost.engine_ms,
        "memory_ms": cost.memory_ms,
        "activations_ms": cost.activation_ms,
        "dispatch_ms": cost.dispatch_ms,
        "caveats": list(cost.caveats),
    }


def onnx_facts(data: bytes) -> dict[str, Any]:
    """What an ONNX file holds; runs in a worker.

    Raises:
        ModelError: it is no ONNX model.
    """
    from collections import Counter

    import onnx

    from .errors import ModelError

    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:
        raise ModelError("the file is not an ONNX model, or is cut short") from error
    constants = {tensor.name for tensor in proto.graph.initializer}
    tensors = [
        {
            "kind": kind,
            "name": value.name,
            "shape": "x".join(
                str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?"
                for dim in value.type.tensor_type.shape.dim
            ),
        }
        for kind, values in (("input", proto.graph.input), ("output", proto.graph.output))
        for value in values
        if value.name not in constants
    ]
    return {
        "opset": max((entry.version for entry in proto.opset_import), default=0),
        "nodes": len(proto.graph.node),
        "operators": dict(Counter(node.op_type for node in proto.graph.node)),
        "tensors": tensors,
    }
