"""Looking at and cutting an ONNX file, inside a worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ModelError, UsageError

Shape = tuple[int, ...] | None


def signature(data: bytes) -> dict[str, Shape]:
    """Shape by name of the graph's inputs; None where a dimension is not fixed.

    Raises:
        ModelError: the bytes are no ONNX model.
    """
    proto = _parse(data)
    constants = {tensor.name for tensor in proto.graph.initializer}
    found: dict[str, Shape] = {}
    for value in proto.graph.input:
        if value.name not in constants:
            dims = value.type.tensor_type.shape.dim
            fixed = all(dim.dim_value > 0 for dim in dims)
            found[value.name] = tuple(dim.dim_value for dim in dims) if fixed else None
    return found


def select_outputs(data: bytes, names: Sequence[str]) -> bytes:
    """The model cut so that the tensors (or the results of the nodes) of these names come out.

    Raises:
        UsageError: there is no such tensor or node.
    """
    import onnx

    proto = _parse(data)
    produced = {name for node in proto.graph.node for name in node.output if name}
    by_node = {node.name: node.output[0] for node in proto.graph.node if node.name}
    tensors = []
    for name in names:
        tensor = name if name in produced else by_node.get(name)
        if tensor is None:
            raise UsageError(
                f"the graph has no output or node {name!r}",
                remedy=f"its outputs are {', '.join(o.name for o in proto.graph.output)}",
            )
        tensors.append(tensor)
    inferred = onnx.shape_inference.infer_shapes(proto)
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value.name for value in proto.graph.input if value.name not in constants]
    cut: bytes = onnx.utils.Extractor(inferred).extract_model(inputs, tensors).SerializeToString()
    return cut


def _parse(data: bytes) -> Any:
    import onnx

    try:
        return onnx.load_model_from_string(data)
    except Exception as error:
        raise ModelError(
            "the file is not an ONNX model, or is cut short", remedy="export it again"
        ) from error
