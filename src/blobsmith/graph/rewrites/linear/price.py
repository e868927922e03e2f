"""Estimates, in cycles of the engine, of what nodes and forms cost: to rank, never to report.

They decide which candidates are worth a compilation, and they are what a rule goes by when no cost
is at hand. Stage counts follow what the compiler makes of single operators (docs/compiler.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...editor import Editor
from ...node import Node
from ..patterns import affine_step
from . import blocks, emit, engine
from .factors import Factors, factorize
from .form import Array, Axis, Form
from .steps import VIEWS

_FREE = VIEWS | {"Split"}


@dataclass(frozen=True)
class Candidate:
    """A way to write a form.

    Attributes:
        name: "sum" (of scaled sources), "dense", "separable" or "blocks of n".
        cycles: estimate.
        plan: for blocks, the convolutions.
    """

    name: str
    cycles: float
    plan: blocks.Plan | None = None


Known = dict[Any, "list[Candidate]"]
"""Candidates found before, by what they depend on."""


def candidates(form: Form, known: Known | None = None) -> list[Candidate]:
    """The ways in which the form can be written, the cheapest by estimate first.

    Args:
        form: what to write.
        known: results of earlier calls; filled.
    """
    if known is None:
        return _candidates(form)
    array = (form.kernel.tobytes(), form.kernel.shape, form.bias.tobytes())
    key = (array, form.y, form.x, form.channels, form.levels)
    if key not in known:
        known[key] = _candidates(form)
    return known[key]


def _candidates(form: Form) -> list[Candidate]:
    found = []
    concat = (engine.STAGE + _elements(form)) * (len(form.sources) > 1)
    scaling = engine.STAGE + _elements(form)
    if (own := emit.terms(form)) is not None and not _unchanged(form):
        found.append(Candidate("sum", _summed(form, own)))
    if faint(form):
        return found
    if engine.fits(form.taps, form.y.stride) and form.y.stride == form.x.stride:
        weights = emit.representable(form.kernel, levels=form.levels)
        if weights is not None:
            scaled = scaling * (weights.exponent > 0)
            found.append(Candidate("dense", _pass(form) + concat + scaled))
    factors = factorize(form.kernel) if form.y.stride == form.x.stride == 1 else None
    if factors is not None and not _safe(form, factors):
        factors = None
    if factors is not None and max(form.taps) <= engine.MAX_KERNEL:
        found.append(Candidate("separable", _separable(form, factors) + concat))
    ways = [(way, _exponent(form, way)) for way in blocks.ways(form, factors)]
    usable = {id(way): exponent for way, exponent in ways if exponent is not None}
    for size in blocks.SIZES:
        for plan in blocks.plans(form, size, [way for way, _ in ways if id(way) in usable]):
            cycles = _blocked(form, plan) + concat + scaling * (usable[id(plan.passes)] > 0)
            found.append(Candidate(f"blocks of {size}", cycles, plan))
    return _best_of_each(sorted(found, key=lambda candidate: candidate.cycles))


def _exponent(form: Form, way: tuple[blocks.Pass, ...]) -> int | None:
    """By which power of two to divide the source; None if FP16 does not hold the weights."""
    first = emit.representable(way[0].kernel, levels=form.levels)
    if first is None or any(emit.representable(p.kernel, scaled=False) is None for p in way[1:]):
        return None
    return first.exponent


def _safe(form: Form, factors: Factors) -> bool:
    first = emit.representable(factors.first, levels=form.levels)
    return first is not None and emit.representable(factors.second, scaled=False) is not None


def _best_of_each(found: list[Candidate]) -> list[Candidate]:
    best: dict[str, Candidate] = {}
    for candidate in found:
        best.setdefault(candidate.name, candidate)
    return list(best.values())


def _separable(form: Form, factors: Factors) -> float:
    middle = factors.first.shape[0]
    pixels = (form.y.size + form.taps[0] - 1) * form.x.size
    rows = engine.cycles(form.inputs, middle, (1, form.taps[1]), pixels)
    columns = engine.cycles(middle, form.rows, (form.taps[0], 1), form.y.size * form.x.size)
    return rows + columns + 3 * engine.STAGE + _pads(form)


def _blocked(form: Form, plan: blocks.Plan) -> float:
    y, x, block = form.y, form.x, plan.block
    moved = 2 * form.rows * y.size * x.size * engine.ELEMENT
    first = plan.passes[0].kernel.shape[2:]
    taps = [t + (block - 1) * y.stride for t in first]
    walks = blocks.walks(form, plan)
    needs_pad = any(a.outside(t) for a, t in zip(walks, taps, strict=True))
    pad = (_pads(form) or engine.STAGE) if needs_pad else 0.0
    copies = engine.STAGE if (plan.high[1] - plan.low[1]) % 8 else 0.0
    crop = engine.STAGE + moved if y.size % block or x.size % block else 0.0
    return plan.cycles + engine.STAGE + moved + pad + copies + crop


def _elements(form: Form) -> float:
    return 2 * form.inputs * form.y.base * form.x.base * engine.ELEMENT


def _unchanged(form: Form) -> bool:
    """Whether the rows are the source's rows as they are."""
    same = form.rows == form.inputs and form.pointwise and not np.any(form.bias)
    return same and np.array_equal(form.kernel[:, :, 0, 0], np.eye(form.rows))


def _summed(form: Form, own: list[Array]) -> float:
    pixels = form.y.size * form.x.size
    plain = engine.STAGE + 2 * form.rows * pixels * engine.ELEMENT
    scaled = sum(bool(np.any(weights != 1)) for weights in own)
    shifted = bool(np.any(form.bias)) and not scaled
    return plain * (max(scaled, shifted) + len(own) - 1)


def faint(form: Form) -> bool:
    """Whether the form adds something that a convolution's bias, a constant of FP16, would lose."""
    sizes = np.abs(form.bias)
    return bool(np.any((sizes > 0) & (sizes < emit.SMALLEST)))


def possible(form: Form) -> bool:
    """Whether there is any way to write the form as convolutions."""
    if max(form.taps) > engine.MAX_KERNEL:
        return False
    if emit.representable(form.kernel, levels=form.levels) is not None:
        return True
    factors = factorize(form.kernel)
    return factors is not None and _safe(form, factors)


def _pass(form: Form) -> float:
    pixels = form.y.size * form.x.size
    copy = engine.STAGE + form.rows * pixels * engine.ELEMENT
    return (
        engine.cycles(form.inputs, form.rows, form.taps, pixels) + engine.STAGE + copy + _pads(form)
    )


def _pads(form: Form) -> float:
    """Cost of continuing the source beyond its border; zeros are the engine's own business."""
    stages = 0.0
    axes: tuple[Axis, ...] = (form.y, form.x)
    modes = [a.mode for a, t in zip(axes, form.taps, strict=True) if a.outside(t)]
    if not modes or set(modes) == {"constant"}:
        return 0.0
    stages = 3 * len(modes) if "wrap" in modes else len(set(modes))
    return stages * (engine.STAGE + form.inputs * form.y.base * form.x.base * engine.ELEMENT)


# ---------------------------------------------------------------------- nodes as they are


def nodes(editor: Editor, found: list[Node]) -> float:
    """Estimate of the given nodes as they stand. The compiler joins scales and shifts by itself."""
    steps = {n.output: n for n in found if affine_step(editor, n) is not None}
    joined = {
        n for n in steps.values()
        if editor.uses(n.output) == 1 and editor.consumers(n.output)
        and editor.consumers(n.output)[0] in steps.values()
    }  # fmt: skip
    return sum(node_price(editor, node) for node in found if node not in joined)


def node_price(editor: Editor, node: Node) -> float:
    """Estimate of one node."""
    if node.op in _FREE or (node.op == "Slice" and _of_channels(editor, node)):
        return 0.0
    shape = editor.shape(node.output)
    elements = int(np.prod(shape, dtype=np.int64)) if shape else 1
    plain = engine.STAGE + 2 * elements * engine.ELEMENT
    if node.op == "Conv":
        return _conv(editor, node, shape) or plain
    if node.op == "AveragePool":
        return _average(node, plain)
    if node.op in ("ReduceSum", "ReduceMean"):
        return 12 * engine.STAGE + plain
    if node.op == "Sub" and editor.constant(node.inputs[1]) is None:
        return 2 * plain if editor.constant(node.inputs[0]) is None else plain
    return plain


def _of_channels(editor: Editor, node: Node) -> bool:
    """Whether a Slice leaves H and W alone: it is a view then."""
    before, after = editor.shape(node.inputs[0]), editor.shape(node.output)
    return before is not None and after is not None and before[-2:] == after[-2:]


def _average(node: Node, plain: float) -> float:
    strides = node.attrs.get("strides", [1, 1])
    return plain + engine.STAGE if min(strides) > 1 else 60 * engine.STAGE


def _conv(editor: Editor, node: Node, shape: tuple[int, ...] | None) -> float | None:
    weights = editor.shape(node.inputs[1])
    if weights is None or len(weights) != 4 or shape is None or len(shape) != 4:
        return None
    groups = node.attrs.get("group", 1)
    pixels = shape[0] * shape[2] * shape[3]
    out = weights[0] // groups
    each = engine.cycles(weights[1], out, (weights[2], weights[3]), pixels)
    count = groups if groups <= 8 else math.ceil(groups / 8)
    stages = 1 if groups == 1 else 1 + count + (groups <= 8) * count
    copy = engine.STAGE + weights[0] * pixels * engine.ELEMENT
    return float(each * count + stages * engine.STAGE + copy * (groups == 1))
