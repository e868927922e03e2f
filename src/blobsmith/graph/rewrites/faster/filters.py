"""Linear maps: shifts and adds, depthwise filters, colour matrices, grey, chains of all of them.

Whatever computes a linear map of an image (see `../linear/form.py`) is read as one kernel, and
written in the form that costs least: one dense convolution, a separable pair, a scale and a shift,
or a convolution whose output channels are the pixels of small blocks. The last is the cheapest for
most filters of images: with three channels, the engine is used at about 1 %.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from ....errors import ModelError
from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..linear import blocks, emit, engine, price
from ..linear.factors import factorize
from ..linear.scene import Group, group_of, prices
from ..linear.steps import STEPS, VIEWS
from ..rule import Change, Outcome, Rule, Variant
from . import reductions

_GAIN = 0.6 * engine.STAGE
_SHARE = 0.0025
"""Part of the whole graph's estimate that a gain must be worth: each trial is a compilation."""
_MOST_VARIANTS = 3
_WIDER = 1.3


def find(editor: Editor, node: Node) -> Outcome:
    """The node that makes the last value of a group."""
    group = group_of(editor, node)
    if group is None or _written(editor, group):
        return None
    present = price.nodes(editor, list(group.nodes))
    present += price.nodes(editor, list(group.shared)) / 2
    most = present - max(_GAIN, _SHARE * _whole(editor))
    found = [c for c in price.candidates(group.form, prices(editor)) if c.cycles < most]
    if not found:
        return None
    near = [c for c in found if c.cycles <= _WIDER * found[0].cycles][:_MOST_VARIANTS]

    def writer(candidate: price.Candidate) -> Callable[[], None]:
        return lambda: _write(editor, group, candidate)

    variants = tuple(Variant(c.name, writer(c)) for c in near)
    return Change(
        variants[0].apply,
        nodes=group.nodes,
        variants=variants,
        by_cost=True,
        signature=_signature(group),
        gain=present - found[0].cycles,
    )


def _written(editor: Editor, group: Group) -> bool:
    """Whether all that computes the group was written by this rule: it is as it should be."""
    known: set[str] = editor.memo.get("linear maps written", set())
    return all(node.name in known for node in group.nodes if node.op not in VIEWS)


def _whole(editor: Editor) -> float:
    """Estimate of the whole graph, remembered for its number of nodes: it need not be exact."""
    key = f"graph estimate of {len(editor.nodes)}"
    if key not in editor.memo:
        editor.memo[key] = price.nodes(editor, list(editor.nodes))
    known: float = editor.memo[key]
    return known


def _signature(group: Group) -> str:
    """The same for groups that look and compute alike: they are decided together."""
    form = group.form
    content = zlib.crc32(form.kernel.tobytes() + form.bias.tobytes())
    ops = " ".join(node.op for node in group.nodes)
    return f"{ops}: {form.kernel.shape} {content:08x} {form.y} {form.x} {group.rows}"


def _write(editor: Editor, group: Group, candidate: price.Candidate) -> None:
    b = Builder(editor, like=group.nodes[-1])
    whole = write(b, group, candidate)
    results, first = {}, 0
    for value, rows in zip(group.values, group.rows, strict=True):
        part = whole
        if rows != group.form.rows:
            part = b.slice(whole, 1, first, first + rows)
        first += rows
        results[value] = b.reshape(part, b.shape(value))
    editor.memo.setdefault("linear maps written", set()).update(n.name for n in b.nodes)
    readers = {reader for value in group.values for reader in editor.consumers(value)}
    b.commit(list(group.nodes), results)
    for reader in readers:
        reductions.split(editor, reader)


def write(b: Builder, group: Group, candidate: price.Candidate) -> str:
    """The group's rows (1, rows, h, w), written as the candidate says.

    Raises:
        ModelError: its weights cannot be kept out of FP16's subnormal range.
    """
    form = group.form
    if candidate.name == "sum":
        return emit.pointwise(b, form)
    if candidate.name == "separable":
        factors = factorize(form.kernel)
        if factors is None:
            raise ModelError("the kernel does not split into two passes")
        return emit.separable(b, form, factors)
    if candidate.plan is not None:
        return blocks.write(b, form, candidate.plan)
    return emit.convolution(b, form)


RULE = Rule(
    name="linear-filter",
    set="faster",
    exactness="reorder",
    why="a linear map of an image costs one pass of the convolution engine, in blocks if it pays",
    roots=tuple(STEPS),
    find=find,
    order=30,
)
