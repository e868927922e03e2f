"""Applying rules: promises are kept or undone, cost decides, and what cannot be is said."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import pytest

from blobsmith.errors import OperatorError, UsageError
from blobsmith.graph.builder import Builder
from blobsmith.graph.editor import Editor
from blobsmith.graph.equivalence import run
from blobsmith.graph.node import Node
from blobsmith.graph.rewrites import apply, registry, rewrite, rules
from blobsmith.graph.rewrites.check import differs
from blobsmith.graph.rewrites.rule import (
    Approx,
    Change,
    Exactness,
    Outcome,
    Refused,
    Rule,
    Variant,
)


def model(body: str, opset: int = 13) -> onnx.ModelProto:
    """One input x, one output y, both 1x3x6x8."""
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> '
        f"g (float[1,3,6,8] x) => (float[1,3,6,8] y) {{ {body} }}"
    )


def neg_as(factor: float, exactness: Exactness = "exact", **change: object) -> Rule:
    """A rule that makes Neg a multiplication, by -1 if it is honest."""

    def find(editor: Editor, node: Node) -> Outcome:
        def apply() -> None:
            b = Builder(editor, like=node)
            b.commit([node], {node.output: b.op("Mul", node.inputs[0], factor)})

        return Change(apply, nodes=(node,), **change)  # type: ignore[arg-type]

    return Rule("neg", "needed", exactness, "a test", ("Neg",), find)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets `rewrite` know the given rules only."""

    def set_rules(*wanted: Rule) -> None:
        monkeypatch.setattr(apply, "rules", lambda sets: tuple(r for r in wanted if r.set in sets))

    return set_rules


def operators(proto: onnx.ModelProto) -> list[str]:
    """Operator types in order."""
    return [node.op_type for node in proto.graph.node]


def test_honest_rule_stays(use: Callable[..., None]) -> None:
    """The report names rule, nodes, why and the promise."""
    use(neg_as(-1.0))
    result = rewrite(model("a = Neg(x) y = Abs(a)"))
    assert operators(result.proto) == ["Mul", "Abs"]
    (applied,) = result.applied
    assert (applied.rule, applied.why, applied.exactness) == ("neg", "a test", "exact")
    assert applied.to_dict()["nodes"] == ("Neg 'a'",)


@pytest.mark.parametrize(
    ("factor", "exactness"),
    [(-1.001, "exact"), (-1.001, "reorder"), (-1.01, Approx(4.0)), (1.0, Approx(1000.0))],
)
def test_broken_promise_is_undone(
    use: Callable[..., None], factor: float, exactness: Exactness
) -> None:
    """An application that differs by more than it declares is reverted and reported."""
    use(neg_as(factor, exactness))
    before = model("a = Neg(x) y = Sub(a, x)")
    result = rewrite(before)
    assert operators(result.proto) == ["Neg", "Sub"]
    assert not result.applied
    (rejected,) = result.rejected
    assert "broke its promise" in rejected.reason
    assert rejected.to_dict()["rule"] == "neg"


def test_only_the_lie_is_undone(use: Callable[..., None]) -> None:
    """Of several applications of one rule the right ones stay."""

    def find(editor: Editor, node: Node) -> Outcome:
        positive = node.inputs[0] == "s"  # Abs of a square is the square, of x it is not

        def apply() -> None:
            Builder(editor, like=node).commit([node], {node.output: node.inputs[0]})

        return Change(apply, nodes=(node,)) if positive or node.inputs[0] == "n" else None

    use(Rule("abs", "needed", "exact", "a test", ("Abs",), find))
    result = rewrite(model("s = Mul(x, x) a = Abs(s) n = Neg(x) b = Abs(n) y = Add(a, b)"))
    assert operators(result.proto) == ["Mul", "Neg", "Abs", "Add"]
    assert len(result.applied) == len(result.rejected) == 1


def test_unchecked_when_asked(use: Callable[..., None]) -> None:
    """`check=False` believes the rules."""
    use(neg_as(-2.0))
    assert operators(rewrite(model("y = Neg(x)"), check=False).proto) == ["Mul"]


def test_refusal_is_reported_once(use: Callable[..., None]) -> None:
    """A pattern that is there and not changed says why."""
    use(Rule("no", "needed", "exact", "a test", ("Neg",), lambda e, n: Refused("it rains")))
    result = rewrite(model("a = Relu(x) b = Neg(a) y = Neg(b)"))
    assert [r.reason for r in result.rejected] == ["it rains"] * 2


def test_failing_rule_leaves_the_graph_whole(use: Callable[..., None]) -> None:
    """A rule that makes an ill-formed node is undone, the rest of the sweep goes on."""

    def find(editor: Editor, node: Node) -> Outcome:
        def apply() -> None:
            b = Builder(editor, like=node)
            wrong = np.ones((5, 5), np.float32) if node.output == "a" else np.float32(-1.0)
            b.commit([node], {node.output: b.op("Mul", node.inputs[0], wrong)})

        return Change(apply, nodes=(node,))

    use(Rule("neg", "needed", "exact", "a test", ("Neg",), find))
    result = rewrite(model("a = Neg(x) y = Neg(a)"))
    assert operators(result.proto) == ["Neg", "Mul"]
    assert "could not be applied" in result.rejected[0].reason


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ({"Mul": 1.0, "Sub": 2.0, "Neg": 3.0}, "Mul"),
        ({"Mul": 2.0, "Sub": 1.0, "Neg": 3.0}, "Sub"),
        ({"Mul": 2.0, "Sub": 2.0, "Neg": 1.0}, "Neg"),
        ({"Mul": None, "Sub": 2.0, "Neg": 3.0}, "Sub"),
    ],
)
def test_cheapest_variant_is_taken(
    use: Callable[..., None], prices: dict[str, float | None], expected: str
) -> None:
    """Variants are tried one by one; none stays that does not pay."""

    def find(editor: Editor, node: Node) -> Outcome:
        def multiply() -> None:
            b = Builder(editor, like=node)
            b.commit([node], {node.output: b.op("Mul", node.inputs[0], -1.0)})

        def subtract() -> None:
            b = Builder(editor, like=node)
            b.commit([node], {node.output: b.op("Sub", 0.0, node.inputs[0])})

        variants = (Variant("multiply", multiply), Variant("subtract", subtract))
        return Change(multiply, nodes=(node,), variants=variants, by_cost=True)

    use(Rule("neg", "faster", "exact", "a test", ("Neg",), find))

    def cost(proto: onnx.ModelProto) -> float | None:
        found = [prices[n.op_type] for n in proto.graph.node if n.op_type in prices]
        return None if None in found else sum(v for v in found if v is not None)

    result = rewrite(model("a = Relu(x) y = Neg(a)"), cost=cost)
    assert operators(result.proto) == ["Relu", expected]
    assert [a.variant for a in result.applied] == (
        [] if expected == "Neg" else ["multiply" if expected == "Mul" else "subtract"]
    )


def test_a_cheaper_variant_that_breaks_its_promise_makes_way(use: Callable[..., None]) -> None:
    """Variants are priced before they are checked; the next one that pays is taken."""

    def find(editor: Editor, node: Node) -> Outcome:
        def write(factor: float) -> None:
            b = Builder(editor, like=node)
            b.commit([node], {node.output: b.op("Mul", node.inputs[0], factor)})

        def subtract() -> None:
            b = Builder(editor, like=node)
            b.commit([node], {node.output: b.op("Sub", 0.0, node.inputs[0])})

        variants = (Variant("wrong", lambda: write(-1.01)), Variant("right", subtract))
        return Change(subtract, nodes=(node,), variants=variants, by_cost=True)

    use(Rule("neg", "faster", "exact", "a test", ("Neg",), find))
    prices = {"Mul": 1.0, "Sub": 2.0, "Neg": 3.0, "Relu": 0.0}
    result = rewrite(
        model("a = Relu(x) y = Neg(a)"), cost=lambda p: sum(prices[n.op_type] for n in p.graph.node)
    )
    assert operators(result.proto) == ["Relu", "Sub"]
    assert [a.variant for a in result.applied] == ["right"]
    assert "broke its promise" in result.rejected[0].reason


def test_faster_change_that_the_compiler_refuses_is_undone(use: Callable[..., None]) -> None:
    """A rule that needs no cost must not cost the compilation."""
    import dataclasses

    use(dataclasses.replace(neg_as(-1.0), set="faster"))
    cost = {"Neg": 1.0, "Mul": None}
    result = rewrite(model("y = Neg(x)"), cost=lambda p: cost[p.graph.node[0].op_type])
    assert operators(result.proto) == ["Neg"]
    assert result.rejected[0].reason == "the compiler refuses the result"
    assert not result.applied


def test_change_that_must_pay_waits_for_a_cost(use: Callable[..., None]) -> None:
    """Without a cost, only changes that say so are made."""
    use(neg_as(-1.0, by_cost=True, without_cost=False))
    assert operators(rewrite(model("y = Neg(x)")).proto) == ["Neg"]


def test_input_is_not_changed_and_names_stay() -> None:
    """`rewrite` works on a copy; inputs and outputs keep name, order and type."""
    proto = model("a = GreaterOrEqual(x, x) y = Cast<to=1>(a)")
    text = proto.SerializeToString()
    result = rewrite(proto, sets=("needed",))
    assert proto.SerializeToString() == text
    assert result.proto.graph.input[0] == proto.graph.input[0]
    assert result.proto.graph.output[0] == proto.graph.output[0]


def test_opset_16_without_its_operators_becomes_15() -> None:
    """Nothing but GridSample and scatter reductions tells opset 16 from 15."""
    proto = model("y = Relu(x)", opset=16)
    assert rewrite(proto, sets=("needed",)).proto.opset_import[0].version == 15


def test_unsupported_operation_is_named_with_the_users_line() -> None:
    """The error says which operation, where, and what to use instead."""
    proto = model("n = NonZero(x) f = Cast<to=1>(n) s = ReduceSum(f) y = Add(x, s)")
    proto.graph.node[0].doc_string = "corners.py:41: places = torch.nonzero(image)"
    with pytest.raises(OperatorError) as caught:
        rewrite(proto, sets=("needed",))
    assert "nonzero" in caught.value.what
    assert "(NonZero)" in caught.value.where
    assert "corners.py:41" in caught.value.where
    assert caught.value.remedy.startswith("instead: ")


def test_rules_have_names_of_their_own() -> None:
    """Every rule has a unique name, a reason, and is found by name."""
    every = rules(registry.SETS)
    assert len({rule.name for rule in every}) == len(every)
    assert all(rule.why for rule in every)
    assert registry.by_name("einsum").set == "needed"
    with pytest.raises(UsageError):
        registry.by_name("no-such-rule")
    with pytest.raises(UsageError):
        rules(("slower",))  # type: ignore[arg-type]


F = np.float32


@pytest.mark.parametrize(
    ("expected", "got", "exactness", "scale", "same"),
    [
        ([1.0, np.nan], [1.0, np.nan], "exact", 0, True),
        ([1.0], [1.0 + 2**-23], "exact", 0, False),
        ([1.0], [1.0 + 2**-22], "reorder", 0, True),
        ([0.0], [1e-6], "reorder", 1.0, True),
        ([0.0], [1e-6], "reorder", 0.0, False),
        ([1.0, np.inf], [1.0, 5.0], "reorder", 0, True),
        ([1.0], [np.nan], "reorder", 0, False),
        ([1.0], [1.0 + 3 * 2**-10], Approx(4.0), 0, True),
        ([1.0], [1.0 + 5 * 2**-10], Approx(4.0), 0, False),
        ([1e-3], [3e-3], Approx(4.0), 0, False),
        ([1e-3], [3e-3], Approx(4.0, floor=1.0), 0, True),
        ([1e-3], [3e-3], Approx(4.0, of_scale=1.0), 1.0, True),
        ([0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], Approx(1.0, flips=0.25), 0, True),
        ([0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], Approx(1.0, flips=0.25), 0, False),
        ([-np.pi], [np.pi], Approx(4.0, period=2 * np.pi), 0, True),
        ([1.0, 2.0], [1.0], "exact", 0, False),
    ],
)
def test_promises(
    expected: list[float], got: list[float], exactness: Exactness, scale: float, same: bool
) -> None:
    """What counts as kept, for each kind of promise."""
    assert (differs(np.array(expected, F), np.array(got, F), exactness, scale) == "") == same


def test_small_graph_takes_a_fraction_of_a_second() -> None:
    """The check runs only what changed: a long graph with one change costs one operator."""
    body = " ".join(["v0 = Abs(x)"] + [f"v{i} = Relu(v{i - 1})" for i in range(1, 200)])
    result = rewrite(
        model(body + " b = GreaterOrEqual(v199, x) y = Cast<to=1>(b)"), sets=("needed",)
    )
    assert [a.rule for a in result.applied] == ["compare-not-strict"]
    noise = np.random.default_rng(0).standard_normal((1, 3, 6, 8)).astype(F)
    assert run(result.proto, {"x": noise})["y"].all()
