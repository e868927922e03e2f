"""Simplification by onnxsim, held to compute the same.

onnxsim folds constants and fuses operators. Its own check runs on random numbers alone and is
silent unless asked; here it is enforced, and followed by a comparison in ONNX Runtime on noise,
0, 255, ramps and a photograph-like frame. A graph that onnxsim cannot take, or changes, is never
passed on silently: simpler settings are tried, and the reason stands in the result's notes.

Never imports torch. onnxsim and ONNX Runtime load when a graph is simplified.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx
from onnx import ModelProto

from ..errors import BlobsmithError, ModelError, SimplifyError
from ..tensors import TensorSpec
from . import equivalence, lines, opset
from .pool_sizes import explicit_pools
from .stats import Change, GraphStats

# A pad before a max pool is put into the pool by onnxsim. The pool then pads with minus infinity,
# which is another function where values are negative, and ten times the stages on the chip.
SKIPPED = ("fuse_pad_into_pool",)
_FOLD_LIMIT = "64MB"
_NOTHING = equivalence.Difference("", 0.0, 0.0, 0, 0)


class SimplifyResult(NamedTuple):
    """A simplified graph and its node counts; unpacks as ``small, stats``.

    Attributes:
        proto: the graph, with the same inputs and outputs in the same order.
        stats: node counts before and after; `stats.notes` says what did not go as usual.
    """

    proto: ModelProto
    stats: Change

    @property
    def before(self) -> GraphStats:
        """Node counts of the graph as it came."""
        return self.stats.before

    @property
    def after(self) -> GraphStats:
        """Node counts of the simplified graph."""
        return self.stats.after


class _Attempt(NamedTuple):
    name: str
    optimise: bool
    fold: bool


_ATTEMPTS = (
    _Attempt("folding and fusing", optimise=True, fold=True),
    _Attempt("folding alone", optimise=False, fold=True),
    _Attempt("no folding, no fusing", optimise=False, fold=False),
)


def simplify(
    model: ModelProto | bytes, *, specs: Sequence[TensorSpec] | None = None
) -> SimplifyResult:
    """Folds constants and fuses operators; the result computes the same, which is checked.

    Args:
        model: an ONNX model with static shapes, or its bytes; not changed.
        specs: the inputs as declared, for frames within their range. Without them, levels
            0 to 255 and values -1 to 1 are tried.

    Returns:
        The smaller model, with inferred shapes and the users' lines, and node counts by type.

    Raises:
        SimplifyError: the graph cannot be run before simplification, or every setting of onnxsim
            changes its result.
    """
    proto = onnx.load_model_from_string(model) if isinstance(model, bytes) else model

    @functools.cache
    def feeds() -> list[dict[str, equivalence.Array]]:
        return opset.feeds_for(proto) if specs is None else equivalence.probe_feeds(specs)

    @functools.cache
    def gives_nan() -> bool:
        return not all(_finite(reference.run(feed)) for feed in feeds())

    try:
        reference = equivalence.Session(proto)
        noise = specs and equivalence.probe_feeds(specs, kinds=equivalence.KINDS[:1])
        reference.run((noise or feeds())[0])
    except ModelError as error:
        raise SimplifyError(
            f"the graph cannot be run, so its simplification cannot be checked: {error.what}",
            where=error.where,
            remedy=error.remedy,
        ) from error
    notes: list[str] = []
    for attempt in _ATTEMPTS:
        try:
            small = _checked_attempt(proto, attempt, gives_nan)
            _check_interface(proto, small)
            candidate = equivalence.Session(small)
            same = _is_unchanged(proto, small)
            # the same nodes on the same constants need not run to be the same function
            found = _NOTHING if same else equivalence.compare(reference.run, candidate.run, feeds())
        except BlobsmithError as error:
            notes.append(f"onnxsim ({attempt.name}) failed: {error.what}")
            continue
        if found.same:
            small = lines.inherit(lines.attach(proto), small)
            counts = Change(GraphStats.of(proto), GraphStats.of(small), tuple(notes))
            return SimplifyResult(small, counts)
        notes.append(f"onnxsim ({attempt.name}) changed the result: {found}")
    raise SimplifyError(
        "the graph cannot be simplified without changing its result",
        where="; ".join(notes),
        remedy="build with --no-optimize, and report the model",
    )


def _is_unchanged(before: ModelProto, after: ModelProto) -> bool:
    """Whether two graphs hold the same nodes, constants and opsets, to the byte."""
    return all(
        [item.SerializeToString(deterministic=True) for item in old]
        == [item.SerializeToString(deterministic=True) for item in new]
        for old, new in (
            (before.graph.node, after.graph.node),
            (before.graph.initializer, after.graph.initializer),
            (before.graph.sparse_initializer, after.graph.sparse_initializer),
            (before.opset_import, after.opset_import),
            (before.functions, after.functions),
        )
    )


def _finite(outputs: Mapping[str, equivalence.Array]) -> bool:
    return all(np.isfinite(v).all() for v in outputs.values() if v.dtype.kind == "f")


def _checked_attempt(
    proto: ModelProto, attempt: _Attempt, gives_nan: Callable[[], bool]
) -> ModelProto:
    """One run of onnxsim; its own check takes NaN for a difference, so that it can only be held to
    functions that give none. The comparison of the caller holds the others."""
    try:
        return _attempt(proto, attempt, check=True)
    except SimplifyError:
        if not gives_nan():
            raise
        return _attempt(proto, attempt, check=False)


def _attempt(proto: ModelProto, attempt: _Attempt, *, check: bool) -> ModelProto:
    """One run of onnxsim, its own check enforced if `check`.

    Raises:
        SimplifyError: it failed, or its own check did.
    """
    import onnxsim

    copy = ModelProto()
    copy.CopyFrom(explicit_pools(proto))
    talk = io.StringIO()
    try:
        with contextlib.redirect_stdout(talk), contextlib.redirect_stderr(talk):
            small, same = onnxsim.simplify(
                copy,
                check_n=int(check),
                perform_optimization=attempt.optimise,
                skipped_optimizers=list(SKIPPED) if attempt.optimise else None,
                skip_constant_folding=not attempt.fold,
                tensor_size_threshold=_FOLD_LIMIT,
            )
    except Exception as error:  # onnxsim raises whatever its C++ throws
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SimplifyError(text[:300]) from error
    if check and not same:
        raise SimplifyError("its own check found another result")
    return _inferred(small)


def _inferred(proto: ModelProto) -> ModelProto:
    del proto.graph.value_info[:]
    try:
        inferred: ModelProto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except Exception:  # shapes inside the graph are a convenience
        return proto
    return inferred


def _check_interface(before: ModelProto, after: ModelProto) -> None:
    """Inputs and outputs must be the same in name, order, type and shape.

    Raises:
        SimplifyError: they are not.
    """
    held = {t.name for t in before.graph.initializer}
    kept = {t.name for t in after.graph.initializer}
    for what, old, new in (
        (
            "inputs",
            [i for i in before.graph.input if i.name not in held],
            [i for i in after.graph.input if i.name not in kept],
        ),
        ("outputs", list(before.graph.output), list(after.graph.output)),
    ):
        if [v.name for v in old] != [v.name for v in new]:
            raise SimplifyError(
                f"its {what} became {', '.join(v.name for v in new) or 'none'} "
                f"in place of {', '.join(v.name for v in old)}"
            )
        for first, second in zip(old, new, strict=True):
            if _signature(first) != _signature(second) and None not in _signature(first)[1]:
                raise SimplifyError(f"{first.name!r} of its {what} changed its shape or type")


def _signature(info: onnx.ValueInfoProto) -> tuple[int, tuple[int | None, ...]]:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return tensor.elem_type, (None,)
    dims = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
    return tensor.elem_type, dims
