"""Applies rules to a fixed point, each application checked, and reports what was done.

result = rewrite(proto)                                # both sets, rules' own defaults
result = rewrite(proto, sets=("needed",))              # only what the compiler needs
result = rewrite(proto, cost=predicted_milliseconds)   # variants chosen by cost
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from onnx import ModelProto

from ...errors import BlobsmithError, ModelError
from ..editor import Editor, Record
from ..node import Node
from . import check as checking
from .registry import rules
from .report import Applied, Rejected, RewriteResult
from .rule import Change, Exactness, Refused, Rule, RuleSet, Variant
from .unsupported import require_supported

Cost = Callable[[ModelProto], "float | None"]
_MAX_PASSES = 30
_GAIN = 1e-3
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


Key = tuple[str, str]
Site = tuple[Change, Record, Applied]
Choice = Callable[[Change], "Variant | None"]


class _Trial(NamedTuple):
    """A variant as it was tried: how it is chosen, at how many sites, and its predicted time."""

    choose: Choice
    sites: int
    price: float | None


@dataclass
class Rewriting:
    """State of one rewriting: the graph, and what was applied and rejected so far."""

    editor: Editor
    cost: Cost | None = None
    check: bool = True
    seed: int = 0
    applied: list[Applied] = field(default_factory=list)
    rejected: dict[tuple[str, str], Rejected] = field(default_factory=dict)
    banned: set[Key] = field(default_factory=set)
    seconds: float = 0.0
    _reference: checking.Reference | None = None
    _swept: list[Key] = field(default_factory=list)
    _base: float | None = None
    _base_known: bool = False

    def to_fixed_point(self, chosen: Sequence[Rule]) -> bool:
        """Runs the rules until none applies; whether anything changed."""
        changed = False
        for _ in range(_MAX_PASSES):
            active = [rule for rule in chosen if self.run_rule(rule)]
            if not active:
                return changed
            changed = True
        for rule in active:
            self.rejected[rule.name, ""] = Rejected(
                rule.name, (), "the whole graph", f"still applies after {_MAX_PASSES} passes"
            )
        return changed

    def run_rule(self, rule: Rule) -> bool:
        """One sweep of one rule over the graph; whether anything changed."""
        nodes = self._roots(rule)
        if not nodes:
            return False
        first = self._first(rule, nodes)
        if first is None:
            return False
        if self.cost is not None and rule.set == "faster":
            return self._judged(rule, first)
        if first.by_cost and not first.without_cost:
            return False
        return self._sweep(rule, lambda change: Variant("", change.apply))

    def _judged(self, rule: Rule, first: Change) -> bool:
        """A sweep of a rule that is there to gain time; it must not cost the compilation."""
        price = self._cost_now()
        if price is not None and (first.by_cost or first.variants):
            return self._by_cost(rule)
        if first.by_cost and not first.without_cost:
            return False
        start, log = self.editor.clone(), list(self.applied)
        if not self._sweep(rule, lambda change: Variant("", change.apply)):
            return False
        if price is None or self._cost_now() is not None:
            return True
        done = self.applied[len(log) :]
        self.editor.become(start)
        self.applied, self._base, self._base_known = log, price, True
        for applied, key in zip(done, self._swept, strict=True):
            self.banned.add(key)
            self.rejected[rule.name, applied.nodes[-1]] = Rejected(
                rule.name, applied.nodes, applied.where, "the compiler refuses the result"
            )
        return False

    # ------------------------------------------------------------------ sweeps

    def _roots(self, rule: Rule) -> list[Node]:
        return self.editor.of_type(rule.roots)

    def _find(self, rule: Rule, node: Node) -> Change | None:
        outcome = rule.find(self.editor, node)
        if isinstance(outcome, Refused):
            self._reject(rule, (node,), outcome.reason)
            return None
        if outcome is None or _key(rule, outcome) in self.banned:
            return None
        if (rule.name, f"signature:{outcome.signature}") in self.banned:
            return None
        return outcome

    def _first(self, rule: Rule, nodes: Iterable[Node]) -> Change | None:
        return next((c for n in nodes if (c := self._find(rule, n)) is not None), None)

    def _sweep(self, rule: Rule, choose: Choice) -> bool:
        """Applies a rule wherever it fits; applications that fail the check are undone."""
        start = self.editor.clone()
        for _ in range(4):
            sites = self._apply_all(rule, choose, start)
            if not sites:
                return False
            failures = self._failures(rule, start, sites)
            if not failures:
                self.applied.extend(applied for _, _, applied in sites)
                self._swept = [_key(rule, change) for change, _, _ in sites]
                if self._reference is not None:
                    self._reference.adopt(record for _, record, _ in sites)
                self._base_known = False
                self.editor.memo.clear()
                return True
            for index, reason in failures.items():
                change, _, applied = sites[index]
                self.banned.add(_key(rule, change))
                self.rejected[rule.name, applied.nodes[-1]] = Rejected(
                    rule.name, applied.nodes, applied.where, f"broke its promise: {reason}"
                )
            self.editor.become(start)
        return False

    def _apply_all(self, rule: Rule, choose: Choice, start: Editor) -> list[Site]:
        sites: list[Site] = []
        for node in self._roots(rule):
            if node not in self.editor:
                continue
            change = self._find(rule, node)
            variant = choose(change) if change is not None else None
            if change is None or variant is None:
                continue
            applied = _applied(rule, change, variant)
            try:
                with self.editor.recording() as record:
                    variant.apply()
            except ModelError as error:
                self.banned.add(_key(rule, change))
                self._reject(rule, change.nodes, f"could not be applied: {error.what}")
                self.editor.become(start)
                return self._apply_all(rule, choose, start)
            sites.append((change, record, applied))
        self.editor.drop_dead()
        return sites

    def _failures(self, rule: Rule, start: Editor, sites: Sequence[Site]) -> dict[int, str]:
        shapes = self._shape_failure(rule, start)
        if shapes:
            return dict.fromkeys(range(len(sites)), shapes)
        if not self.check or not rule.checked:
            return {}
        import time

        began = time.perf_counter()
        if self._reference is None:
            self._reference = checking.Reference(checking.feeds(start, self.seed))
        records = [(record, change.exactness or rule.exactness) for change, record, _ in sites]
        try:
            return checking.broken(start, self.editor, records, self._reference)
        except Exception as error:  # ONNX Runtime has its own, undocumented, exception types
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            return dict.fromkeys(range(len(sites)), f"ONNX Runtime cannot run it: {text}")
        finally:
            self.seconds += time.perf_counter() - began

    def _shape_failure(self, rule: Rule, start: Editor) -> str:
        for name in self.editor.outputs:
            was, now = start.type(name), self.editor.type(name)
            if was and now and was.shape is not None and was != now and not rule.reshapes:
                return f"the output {name} changed from {was} to {now}"
        return ""

    # ------------------------------------------------------------------ cost

    def _by_cost(self, rule: Rule) -> bool:
        """Decides site by signature: the cheapest variant, or none if it must pay."""
        changed = False
        tried: set[str] = set()
        while (change := self._untried(rule, tried)) is not None:
            tried.add(change.signature)
            changed |= self._best(rule, change)
        return changed

    def _untried(self, rule: Rule, tried: set[str]) -> Change | None:
        found = (self._find(rule, n) for n in self._roots(rule))
        return next((c for c in found if c is not None and c.signature not in tried), None)

    def _best(self, rule: Rule, change: Change) -> bool:
        """Adopts the cheapest variant that keeps its promise; none if it must pay and does not.

        Variants are priced before they are checked: running a graph takes longer than compiling
        it, and of several variants one is taken.
        """
        base = self._cost_now() if change.by_cost else None
        trials = self._trials(rule, change)
        self._base, self._base_known = base, change.by_cost
        priced = sorted((t for t in trials if t.price is not None), key=lambda t: t.price or 0.0)
        if change.by_cost and base is not None:
            paying = [t for t in priced if (t.price or 0.0) <= base * (1 - _GAIN)]
            if not paying:
                self.banned.add((rule.name, f"signature:{change.signature}"))
                gain = f"{priced[0].price:.3f} against {base:.3f} ms" if priced else ""
                gain = gain or "does not compile"
                self._reject(rule, change.nodes, f"no gain in predicted time ({gain})")
                return False
            priced = paying
        kept, kept_out = set(self.banned), set[Key]()
        for trial in priced or trials:
            if self._adopt(rule, trial, base):
                return True
            failed, self.banned = self.banned, set(kept)  # another variant may hold at its sites
            kept_out.update(failed)
        self.banned |= kept_out
        return False

    def _trials(self, rule: Rule, change: Change) -> list[_Trial]:
        """Every variant with its price, not yet checked; the graph stays as it is."""
        start, found = self.editor.clone(), []
        for name in [v.name for v in change.variants] or [""]:
            choose = functools.partial(_pick, name=name, signature=change.signature)
            sites = self._apply_all(rule, choose, start)
            if sites and not self._shape_failure(rule, start):
                found.append(_Trial(choose, len(sites), self._price()))
            self.editor.become(start)
        return found

    def _adopt(self, rule: Rule, trial: _Trial, base: float | None) -> bool:
        """Applies a variant, checked; whether it holds, and still pays where it lost sites."""
        start, log = self.editor.clone(), list(self.applied)
        if not self._sweep(rule, trial.choose):
            self._base, self._base_known = base, base is not None
            return False
        price = trial.price if len(self._swept) == trial.sites else self._price()
        if base is not None and (price is None or price > base * (1 - _GAIN)):
            self.editor.become(start)
            self.applied, self._base, self._base_known = log, base, True
            self.banned.update(self._swept)
            return False
        self._base, self._base_known = price, price is not None
        return True

    def _cost_now(self) -> float | None:
        if not self._base_known:
            self._base, self._base_known = self._price(), True
        return self._base

    def _price(self) -> float | None:
        assert self.cost is not None
        try:
            return self.cost(self.editor.to_proto())
        except BlobsmithError:
            return None

    def _reject(self, rule: Rule, nodes: Sequence[Node], reason: str) -> None:
        labels = tuple(node.label() for node in nodes)
        self.rejected.setdefault(
            (rule.name, labels[-1]), Rejected(rule.name, labels, _where(nodes[-1]), reason)
        )


def _pick(change: Change, name: str, signature: str) -> Variant | None:
    if change.signature != signature:
        return None
    for variant in change.variants:
        if variant.name == name:
            return variant
    return None if change.variants else Variant("", change.apply)


def _key(rule: Rule, change: Change) -> Key:
    return rule.name, change.nodes[-1].output


def _where(node: Node) -> str:
    return node.doc.strip() or node.label()


def _applied(rule: Rule, change: Change, variant: Variant) -> Applied:
    promise: Exactness = change.exactness or rule.exactness
    return Applied(
        rule=rule.name,
        nodes=tuple(node.label() for node in change.nodes),
        where=_where(change.nodes[-1]),
        why=rule.why,
        exactness=str(promise),
        variant=variant.name,
        checked=rule.checked,
    )
