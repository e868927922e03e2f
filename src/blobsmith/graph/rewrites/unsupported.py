"""What no rule can bring to the chip: one sentence for each operator, and what to use instead.

`rewrite` asks at its end, so that a user reads which of his operations is at fault before the
compiler says "general error".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto, NodeProto

from ...errors import OperatorError


@dataclass(frozen=True)
class Advice:
    """Why an operator cannot be, and what to do.

    Attributes:
        operation: how users know it: the torch or ONNX name.
        reason: completes "... cannot run on the chip: ".
        instead: what to use.
    """

    operation: str
    reason: str
    instead: str


_LINALG = "no stage decomposes matrices, and FP16 is too coarse for it"
_SHAPE = "the size of its result depends on the data, and a blob's shapes are fixed"
_RANDOM = "the chip has no source of random numbers"
_LOOP = "the chip runs a fixed list of stages"

ADVICE: Mapping[str, Advice] = {
    "GridSample": Advice(
        "grid_sample with a computed grid",
        "FP16 holds positions in a picture to 1/16 or 1/8 of a pixel only",
        "a constant grid (rotate, warp, remap with fixed parameters), or warp on the host",
    ),
    "Det": Advice("det", _LINALG, "write the determinant of a 2x2 or 3x3 matrix out"),
    "Inverse": Advice("inverse", _LINALG, "write the inverse of a 2x2 or 3x3 matrix out"),
    "DFT": Advice("an FFT", "its sums leave FP16's range", "a convolution with the same kernel"),
    "STFT": Advice("an STFT", "its sums leave FP16's range", "a convolution, or the host"),
    "NonZero": Advice("nonzero", _SHAPE, "keep the mask as an image and read it on the host"),
    "Compress": Advice("a selection by a mask", _SHAPE, "multiply by the mask instead"),
    "Unique": Advice("unique", _SHAPE, "compare with each possible value"),
    "NonMaxSuppression": Advice(
        "non-maximum suppression of boxes", _SHAPE, "do it on the host with the blob's outputs"
    ),
    "Loop": Advice("a loop", _LOOP, "a fixed number of turns, at most 64 and without collecting"),
    "If": Advice("a branch", _LOOP, "compute both sides and select with torch.where"),
    "Scan": Advice("a scan", _LOOP, "write the steps out"),
    "RandomNormal": Advice("random numbers", _RANDOM, "feed them as an input"),
    "RandomUniform": Advice("random numbers", _RANDOM, "feed them as an input"),
    "RandomNormalLike": Advice("random numbers", _RANDOM, "feed them as an input"),
    "RandomUniformLike": Advice("random numbers", _RANDOM, "feed them as an input"),
    "Bernoulli": Advice("random numbers", _RANDOM, "feed them as an input"),
    "Multinomial": Advice("random numbers", _RANDOM, "feed them as an input"),
    "ScatterND": Advice(
        "an assignment to computed places", "the compiler has no scatter",
        "assign at constant places, or compare with every place and use torch.where",
    ),
    "ScatterElements": Advice(
        "a scatter to computed places", "the compiler has no scatter",
        "scatter one value per position, or add (scatter_add) along one axis",
    ),
    "GatherND": Advice(
        "an indexing by several computed indices", "the compiler gathers along one axis only",
        "one index at a time, or constant indices",
    ),
    "GatherElements": Advice(
        "a gather along a long axis by computed indices",
        "every position is compared with the index, which is bearable up to 32 positions",
        "constant indices, or a shorter axis",
    ),
    "Einsum": Advice("einsum", "its equation takes a diagonal", "index the diagonal first"),
    "SequenceAt": Advice("a list of tensors", _LOOP, "tensors at constant places of a list"),
    "ConcatFromSequence": Advice("a list of tensors", _LOOP, "a list of constant length"),
    "Mod": Advice(
        "a remainder of large integers", "FP16 holds integers up to 2048", "smaller numbers"
    ),
    "BitShift": Advice("bit arithmetic", "the chip computes in floats", "products and floor"),
    "BitwiseAnd": Advice("bit arithmetic", "the chip computes in floats", "masks and products"),
    "BitwiseOr": Advice("bit arithmetic", "the chip computes in floats", "masks and products"),
    "BitwiseXor": Advice("bit arithmetic", "the chip computes in floats", "masks and products"),
    "BitwiseNot": Advice("bit arithmetic", "the chip computes in floats", "masks and products"),
    "TfIdfVectorizer": Advice("text", "the chip has no strings", "do it on the host"),
    "StringNormalizer": Advice("text", "the chip has no strings", "do it on the host"),
}  # fmt: skip
"""ONNX operator -> why it cannot be. Operators that a rule replaces are listed for what it left."""


def require_supported(proto: ModelProto, reasons: Mapping[str, str] | None = None) -> None:
    """Raises for the first operator that is known to have no way onto the chip.

    Args:
        proto: a graph after the needed rules.
        reasons: label of a node -> why a rule refused it.

    Raises:
        OperatorError: names the operation, the node or the user's line, and what to use instead.
    """
    for node in proto.graph.node:
        advice = ADVICE.get(node.op_type)
        if advice is None or node.domain not in ("", "ai.onnx"):
            continue
        label = f"{node.op_type} {node.name or node.output[0]!r}"
        reason = (reasons or {}).get(label, advice.reason)
        raise OperatorError(
            f"{advice.operation} cannot run on the chip: {reason}",
            where=_where(proto, node),
            remedy=f"instead: {advice.instead}",
        )


def _where(proto: ModelProto, node: NodeProto) -> str:
    """The node, and the user's own line where it is known."""
    from .. import lines

    place = f"node {node.name or node.output[0]!r} ({node.op_type})"
    line = lines.lookup(proto).get(node.output[0])
    return f"{place}, {line.file}:{line.line}  {line.code}" if line else place
