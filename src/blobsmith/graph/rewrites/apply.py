"""Applies rules to a fixed point, each application checked, and reports what was done.

result = rewrite(proto)                                # both sets, rules' own defaults
result = rewrite(proto, sets=("needed",))              # only what the compiler needs
result = rewrite(proto, cost=predicted_milliseconds)   # variants chosen by cost
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from onnx import ModelProto

from ..editor import Editor
from .registry import rules
from .report import RewriteResult
from .rewriting import Cost, Rewriting
from .rule import RuleSet
from .unsupported import require_supported

_NEWEST = 16  # differs from 15 by GridSample and the reductions of scatters only


def rewrite(
    proto: ModelProto,
    *,
    sets: Sequence[RuleSet] = ("needed", "faster"),
    cost: Cost | None = None,
    check: bool = True,
    seed: int = 0,
    only: Iterable[str] | None = None,
    without: Iterable[str] = (),
    ranges: Mapping[str, tuple[float, float]] | None = None,
    whole: Iterable[str] = (),
) -> RewriteResult:
    """Rewrites a graph for the chip.

    Args:
        proto: a static graph; never changed.
        sets: "needed" is applied to a fixed point before "faster", and once more after it.
        cost: predicted time of a graph, or None where it does not compile; without it rules use
            their defaults.
        check: hold each application to its rule's promise in ONNX Runtime.
        seed: of the noise that the check uses.
        only: names of the only rules to use.
        without: names of rules not to use.
        ranges: input name -> smallest and largest element; unknown inputs are
            taken as -255..255.
        whole: inputs that hold whole numbers only, as U8 inputs do.

    Raises:
        ModelError: the graph is inconsistent.
        OperatorError: an operator is left that has no way onto the chip.
    """
    editor = Editor(_read_opset(proto))
    editor.ranges = dict(ranges or {})
    editor.whole_inputs = frozenset(whole)
    if editor.opset == 11:
        editor.set_opset(12)  # the same operators, with more dtypes
    run = Rewriting(editor, cost, check, seed)
    chosen = [r for r in rules(sets) if (only is None or r.name in only) and r.name not in without]
    needed = [r for r in chosen if r.set == "needed"]
    run.to_fixed_point(needed)
    _lower(editor)
    if run.to_fixed_point([r for r in chosen if r.set == "faster"]):
        run.to_fixed_point(needed)
    run.editor.drop_dead()
    _lower(run.editor)
    done = run.editor.to_proto()
    if needed and only is None:
        reasons = {label: r.reason for r in run.rejected.values() for label in r.nodes[-1:]}
        require_supported(done, reasons)
    return RewriteResult(done, tuple(run.applied), tuple(run.rejected.values()), run.seconds)


def _read_opset(proto: ModelProto) -> ModelProto:
    """The graph in an opset that the rules know: at most 16."""
    from ..opset import lower, version
    from .needed.spectral import without_transforms

    proto = without_transforms(proto)
    return lower(proto, partial=True) if version(proto) > _NEWEST else proto


def _lower(editor: Editor) -> None:
    """Declares opset 15 where nothing is left of what opset 16 brought."""
    if editor.opset != _NEWEST:
        return
    if any(
        node.op == "GridSample" or node.attrs.get("reduction", "none") != "none"
        for node in editor.nodes
    ):
        return
    for node in editor.nodes:
        node.attrs.pop("reduction", None)
    editor.set_opset(_NEWEST - 1)
