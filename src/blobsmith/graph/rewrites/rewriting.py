"""The state of one rewriting, and its sweeps: rules applied, checked, and chosen by cost."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from onnx import ModelProto

from ...errors import BlobsmithError, ModelError
from ..editor import Editor, Record
from ..node import Node
from . import check as checking
from .report import Applied, Rejected, applied_of, where_of
from .rule import Change, Refused, Rule, Variant

Cost = Callable[[ModelProto], "float | None"]
_MAX_PASSES = 30
_GAIN = 1e-3
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
            applied = applied_of(rule, change, variant)
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
        open_ = [c for c in found if c is not None and c.signature not in tried]
        return max(open_, key=lambda c: c.gain, default=None)

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
            (rule.name, labels[-1]), Rejected(rule.name, labels, where_of(nodes[-1]), reason)
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
