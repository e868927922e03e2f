"""Brings an ONNX graph to an opset that the compiler reads correctly: 12 to 15.

The compiler's ONNX reader only warns about opsets above 15 and then misreads operators whose
arguments moved (docs/compiler.md, silent traps): a ReduceMean of opset 18 reduces over all axes.
`lower` rewrites every operator that changed since, by the adapters of `opset_adapters.py`, or
expands it by the function body that the ONNX standard gives, and proves in ONNX Runtime that the
result computes the same. `explicit_softmax` removes the trap of Softmax below opset 13.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import onnx
from onnx import GraphProto, ModelProto, NodeProto, defs, helper

from ..errors import BlobsmithError, ModelError, OpsetError
from ..tensors import TensorSpec
from . import equivalence, lines
from .opset_adapters import ADAPTERS, RELABELLED, BlockedError, LeftoverError
from .opset_fold import fold
from .opset_scope import Scope, expand, is_function
from .opset_softmax import KINDS as SOFTMAX
from .opset_softmax import softmax

HIGHEST = 15
LOWEST = 12
_LEFTOVER = 16  # GridSample and scatter reductions exist from here on; nothing else differs from 15
_IR_VERSION = 8  # the one of opset 15
_ROUNDS = 6


class Lowered(NamedTuple):
    """A graph of an opset between the lowest and the highest wanted, where that can be.

    Attributes:
        proto: the graph.
        notes: what was done and what is left, in words.
    """

    proto: ModelProto
    notes: tuple[str, ...]


def version(proto: ModelProto) -> int:
    """The opset of ONNX's own domain; 1 if the model does not say."""
    return next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1)


def lower(proto: ModelProto, highest: int = HIGHEST, *, partial: bool = False) -> ModelProto:
    """The same function in an opset of at most `highest`.

    Args:
        proto: a model with static input shapes; not changed.
        highest: 15; a lower value is not supported by the adapters.
        partial: keep operators that exist only from opset 16 on and have no equivalent below
            (GridSample, ScatterND and ScatterElements with a reduction), and return opset 16, so
            that rewrite rules can replace them. Call `lower` again afterwards.

    Raises:
        OpsetError: an operator has no equivalent; the result differs; or there is no reference to
            prove it with.
    """
    have = version(proto)
    if have <= highest:
        return proto
    if have > defs.onnx_opset_version():
        raise OpsetError(
            f"the model is of opset {have}; this onnx package knows up to "
            f"{defs.onnx_opset_version()}",
            remedy="update the onnx package, or export with opset 12 to 15",
        )
    out = ModelProto()
    out.CopyFrom(proto)
    for _ in range(_ROUNDS):  # functions may be made of functions
        expanded = _rewrite(out.graph, Scope(out), have, _expanded(highest))
        if not (fold(out) or expanded):
            break
    scope = Scope(out)
    lowering = _Lowering(highest, partial)
    _rewrite(out.graph, scope, have, lowering)
    scope.store(out.graph)
    leftover = lowering.leftover
    _label(out, _LEFTOVER if leftover else highest)
    out = lines.inherit(proto, _inferred(out))
    prove(proto, out, f"lowering the opset from {have} to {version(out)}")
    return out


def normalise(proto: ModelProto) -> Lowered:
    """The same function in opset 12 to 15 (16 where rewrite rules have work left).

    Older opsets are raised by onnx's own converter, newer ones lowered by `lower`.

    Raises:
        OpsetError: see `lower`. A graph that cannot be *raised* is kept, with a note.
    """
    have = version(proto)
    if have > HIGHEST:
        out = lower(proto, partial=True)
        note = f"opset {have} lowered to {version(out)}; the result is unchanged"
        return Lowered(out, (note,))
    notes: tuple[str, ...] = ()
    if have < LOWEST:
        try:
            raised = onnx.version_converter.convert_version(proto, LOWEST)
            raised = lines.inherit(proto, _inferred(raised))
            prove(proto, raised, f"raising the opset from {have} to {LOWEST}")
        except (BlobsmithError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            notes = (f"opset {have} is kept, it cannot be raised to {LOWEST}: {reason}",)
        else:
            notes = (f"opset {have} raised to {LOWEST}; the result is unchanged",)
            proto = raised
    if version(proto) < 13:
        proto = explicit_softmax(proto)
    return Lowered(proto, notes)


def prove(before: ModelProto, after: ModelProto, step: str) -> None:
    """Checks on several inputs that two graphs compute the same.

    Raises:
        OpsetError: they differ, or the first cannot be run, so that nothing can be proven.
    """
    feeds = feeds_for(before)
    try:
        reference = equivalence.Session(before)
    except ModelError as error:
        raise OpsetError(
            f"{step} cannot be proven right: {error.what}",
            remedy="export the model with opset 12 to 15",
        ) from error
    try:
        candidate = equivalence.Session(after)
    except ModelError as error:
        raise OpsetError(
            f"{step} gave a graph that does not run: {error.what}",
            remedy="export the model with opset 12 to 15",
        ) from error
    found = equivalence.compare(reference.run, candidate.run, feeds)
    if not found.same:
        raise OpsetError(
            f"{step} would change the result: {found}",
            remedy="export the model with opset 12 to 15",
        )


def feeds_for(proto: ModelProto, seed: int = 0) -> list[dict[str, equivalence.Array]]:
    """Frames for a graph of which only the graph is known: levels 0 to 255, and -1 to 1."""
    held = {t.name for t in proto.graph.initializer}
    shapes = {
        i.name: tuple(d.dim_value or 1 for d in i.type.tensor_type.shape.dim)
        for i in proto.graph.input
        if i.name not in held
    }
    levels = [TensorSpec(name, shape, "u8") for name, shape in shapes.items()]
    unit = [TensorSpec(name, shape, "fp32") for name, shape in shapes.items()]
    return equivalence.probe_feeds(levels, seed) + equivalence.probe_feeds(
        unit, seed + 1, ("noise", "photo")
    )


def explicit_softmax(proto: ModelProto) -> ModelProto:
    """Writes out what Softmax, LogSoftmax and Hardmax mean below opset 13.

    There they flatten the tensor to two dimensions at `axis` (default 1) and work on the second;
    the compiler takes them for a softmax over that one axis. Where the two differ, Reshape nodes
    say it. Graphs of opset 13 and above are returned as they are.

    Raises:
        OpsetError: the shape is not static, so that it cannot be written out.
    """
    if version(proto) >= 13:
        return proto
    if not any(n.op_type in SOFTMAX for n in proto.graph.node):
        return proto
    out = ModelProto()
    out.CopyFrom(proto)
    scope = Scope(out)
    result: list[NodeProto] = []
    for node in out.graph.node:
        result.extend(softmax(node, scope) if node.op_type in SOFTMAX else [node])
    copies = [NodeProto.FromString(n.SerializeToString()) for n in result]
    del out.graph.node[:]
    out.graph.node.extend(copies)
    scope.store(out.graph)
    out = lines.inherit(proto, _inferred(out))
    prove(proto, out, "writing out Softmax")
    return out


# ---------------------------------------------------------------------- the rewriting


Step = Callable[[NodeProto, Scope, int], list[NodeProto]]


def _rewrite(graph: GraphProto, scope: Scope, have: int, step: Step) -> bool:
    """Replaces every node by what `step` makes of it; whether anything changed."""
    changed = False
    result: list[NodeProto] = []
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                changed = _rewrite(attribute.g, scope, have, step) or changed
        try:
            replaced = [node]
            if node.domain in ("", "ai.onnx"):
                replaced = step(node, scope, have)
        except BlockedError as error:
            raise _blocked(node, have, str(error)) from error
        changed = changed or replaced != [node]
        result.extend(replaced)
    if changed:
        copies = [NodeProto.FromString(n.SerializeToString()) for n in result]
        del graph.node[:]
        graph.node.extend(copies)
    return changed


def _expanded(highest: int) -> Step:
    """A step that expands operators which are younger than `highest` and defined by others."""

    def step(node: NodeProto, scope: Scope, have: int) -> list[NodeProto]:
        fresh = _since(node.op_type, highest) is None and node.op_type not in ADAPTERS
        return expand(node, scope, have) if fresh and is_function(node, have) else [node]

    return step


class _Lowering:
    """The step that gives every node its older form; `leftover` says what opset 16 is left."""

    def __init__(self, highest: int, partial: bool) -> None:
        self.highest, self.partial, self.leftover = highest, partial, False

    def __call__(self, node: NodeProto, scope: Scope, have: int) -> list[NodeProto]:
        now = _since(node.op_type, have)
        if now is None:
            raise BlockedError("it is not an operator of this opset")
        if now == _since(node.op_type, self.highest):
            return [node]
        if adapter := ADAPTERS.get(node.op_type):
            try:
                return adapter(node, scope)
            except LeftoverError as error:
                if not self.partial:
                    raise
                self.leftover = True
                return error.nodes
        if node.op_type in RELABELLED:
            return [node]
        raise BlockedError(f"it came with opset {now}, and nothing below does the same")


def _since(op: str, opset: int) -> int | None:
    try:
        return int(defs.get_schema(op, opset, "").since_version)
    except defs.SchemaError:
        return None


def _blocked(node: NodeProto, have: int, reason: str) -> OpsetError:
    line = lines.user_line(node)
    where = f"node {node.name or node.output[0]!r}, operator {node.op_type}"
    return OpsetError(
        f"{node.op_type} of opset {have} cannot be lowered to opset {HIGHEST}: {reason}",
        where=f"{where}, {line}" if line else where,
        remedy="export with opset 12 to 15, or write that step with other operators",
    )


def _label(proto: ModelProto, opset: int) -> None:
    others = [o for o in proto.opset_import if o.domain not in ("", "ai.onnx")]
    used = {n.domain for n in proto.graph.node}
    del proto.opset_import[:]
    proto.opset_import.append(helper.make_opsetid("", opset))
    proto.opset_import.extend(o for o in others if o.domain in used)
    proto.ir_version = min(proto.ir_version, _IR_VERSION)


def _inferred(proto: ModelProto) -> ModelProto:
    del proto.graph.value_info[:]
    inferred: ModelProto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    return inferred
