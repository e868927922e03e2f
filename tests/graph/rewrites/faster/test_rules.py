"""Each small rule where it applies, where it must not, and that the result stays the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ..helpers import Graph, difference, faster, operators

IMAGE = (1, 3, 12, 16)


def image(**more: tuple[int, ...]) -> Graph:
    """A graph of one image x, and other inputs."""
    return Graph(x=IMAGE, **more)


def _padded_passes(
    mode: str,
    then: str = "",
    *,
    bias: float = 0.0,
    first: tuple[int, int] = (1, 5),
    strides: tuple[int, int] = (1, 1),
) -> Callable[[Graph], Any]:
    """A separable filter that pads before each pass."""

    def build(g: Graph) -> Any:
        rng = np.random.default_rng(3)
        row, column = rng.random((3, 1, *first)), rng.random((3, 1, 5, 1))
        wide = g.op("Pad", "x", np.array([0, 0, 0, 2, 0, 0, 0, 2]), mode=mode)
        biases = [np.full(3, bias)] if bias else []
        rows = g.op("Conv", wide, row, *biases, group=3, strides=list(strides))
        high = g.op("Pad", rows, np.array([0, 0, 2, 0, 0, 0, 2, 0]), mode=then or mode)
        return g.op("Relu", g.op("Conv", high, column, group=3))

    return build


@dataclass(frozen=True)
class Case:
    """What a rule makes of a graph.

    Attributes:
        rule: the only rule to use.
        build: writes the graph; returns its outputs.
        expected: operators afterwards, without views.
        applies: whether the rule is expected to do anything.
        inputs: besides the image x.
        error: largest difference accepted, as a share of the largest output.
    """

    rule: str
    name: str
    build: Callable[[Graph], Any]
    expected: tuple[str, ...]
    applies: bool = True
    inputs: tuple[tuple[str, tuple[int, ...]], ...] = ()
    error: float = 1e-6


def _levels(g: Graph) -> Any:
    mask = g.op("Cast", g.op("Greater", "x", 127.0), to=1)
    return g.op("Mul", mask, 255.0)


def _inverse_levels(g: Graph) -> Any:
    return g.op("Sub", 1.0, g.op("Cast", g.op("Less", "x", 30.0), to=1))


def _masked(g: Graph) -> Any:
    return g.op("Mul", "x", g.op("Cast", g.op("Greater", "x", 100.0), to=1))


def _masks_multiplied(g: Graph) -> Any:
    a = g.op("Cast", g.op("Greater", "x", 100.0), to=1)
    return g.op("Mul", a, g.op("Cast", g.op("Less", "x", 200.0), to=1))


def _solarize(g: Graph) -> Any:
    unit = g.op("Div", "x", 255.0)
    return g.op("Where", g.op("Less", unit, 0.5), unit, g.op("Sub", 1.0, unit))


def _jump(g: Graph) -> Any:
    return g.op("Where", g.op("Less", "x", 0.5), "x", g.op("Sub", 2.0, "x"))


def _absolute(g: Graph) -> Any:
    centred = g.op("Sub", "x", 100.0)
    return g.op("Where", g.op("Greater", centred, 0.0), centred, g.op("Neg", centred))


def _guarded(g: Graph) -> Any:
    value = g.op("Sub", "x", 1.0)
    positive = g.op("Greater", value, 0.0)
    root = g.op("Sqrt", g.op("Where", positive, value, 1.0))
    return g.op("Where", positive, root, 0.0)


def _compared(g: Graph) -> Any:
    return g.op("Cast", g.op("Greater", g.op("Div", "x", 255.0), 0.2), to=1)


def _compared_backwards(g: Graph) -> Any:
    return g.op("Cast", g.op("Greater", 3.0, g.op("Sub", 10.0, "x")), to=1)


def _scaled_clip(g: Graph) -> Any:
    clipped = g.op("Clip", g.op("Add", g.op("Div", "x", 255.0), -0.5), 0.0, 0.25)
    return g.op("Mul", clipped, 255.0)


def _clip_of_product(g: Graph) -> Any:
    return g.op("Clip", g.op("Mul", g.op("Div", "x", 255.0), 1.2), 0.0, 1.0)


def _clip_of_line(g: Graph) -> Any:
    return g.op("Clip", g.op("Add", g.op("Mul", "x", 1.5), -20.0), 0.0, 255.0)


def _clip_of_conv(g: Graph) -> Any:
    conv = g.op("Conv", "x", np.eye(3)[:, :, None, None])
    return g.op("Clip", g.op("Mul", conv, 1.5), 0.0, 255.0)


def _normalized(g: Graph) -> Any:
    squares = g.op("ReduceSum", g.op("Mul", "x", "x"), axes=[1], keepdims=1)
    norm = g.op("Clip", g.op("Sqrt", g.op("Add", squares, 1.0)), 1e-12)
    return g.op("Div", "x", norm)


def _expanded(g: Graph) -> Any:
    gray = g.op("Slice", "x", [0], [1], [1])
    return g.op("Add", "x", g.op("Expand", gray, np.array(IMAGE)))


def _three_of_one(g: Graph) -> Any:
    gray = g.op("Slice", "x", [0], [1], [1])
    return g.op("Expand", g.op("Div", gray, 255.0), np.array(IMAGE))


def _twice(g: Graph) -> Any:
    a, b = g.op("Exp", g.op("Neg", "x")), g.op("Exp", g.op("Neg", "x"))
    return g.op("Mul", a, b)


def _not_twice(g: Graph) -> Any:
    a, b = g.op("LeakyRelu", "x", alpha=0.1), g.op("LeakyRelu", "x", alpha=0.2)
    return g.op("Mul", a, b)


def _pool(**attrs: Any) -> Callable[[Graph], Any]:
    return lambda g: g.op("MaxPool", "x", **attrs)


def _transposed(g: Graph) -> Any:
    last = g.op("Transpose", "x", perm=[0, 2, 3, 1])
    scaled = g.op("Mul", last, np.arange(3.0) + 1)
    return g.op("Transpose", scaled, perm=[0, 3, 1, 2])


def _transposed_chain(g: Graph) -> Any:
    last = g.op("Transpose", "x", perm=[0, 2, 3, 1])
    centred = g.op("Sub", last, np.arange(3.0) + 1)
    return g.op(
        "Transpose", g.op("Mul", centred, g.op("Exp", g.op("Neg", last))), perm=[0, 3, 1, 2]
    )


def _linear(g: Graph) -> Any:
    last = g.op("Transpose", "x", perm=[0, 2, 3, 1])
    matrix = np.random.default_rng(0).uniform(0.1, 1, (3, 2))
    return g.op("Neg", g.op("MatMul", g.op("Reshape", last, [192, 3]), matrix))


def _tiles(g: Graph) -> Any:
    rows = [g.op("Slice", "x", [i * 4], [i * 4 + 4], [2]) for i in range(3)]
    stacked = g.op("Concat", *(g.op("Unsqueeze", r, axes=[1]) for r in rows), axis=1)
    columns = [g.op("Slice", stacked, [i * 8], [i * 8 + 8], [4]) for i in range(2)]
    whole = g.op("Concat", *(g.op("Unsqueeze", c, axes=[2]) for c in columns), axis=2)
    return g.op("Neg", g.op("Reshape", whole, [6, 3, 4, 8]))


def _there_and_back(g: Graph) -> Any:
    there = g.op("Transpose", "x", perm=[0, 3, 1, 2])
    return g.op("Neg", g.op("Transpose", there, perm=[0, 2, 3, 1]))


def _mirrored(g: Graph) -> Any:
    return g.op("Neg", g.op("Slice", "x", [-1], [-1000], [3], [-1]))


def _moments(g: Graph) -> Any:
    flat = g.op("Reshape", "x", [1, 3, 192])
    weights = np.linspace(-1, 1, 192)
    sums = [
        g.op("ReduceSum", g.op("Mul", flat, w), axes=[-1], keepdims=1)
        for w in (weights, weights**2)
    ]
    return g.op("Concat", *sums, axis=2)


def _large_sum(g: Graph) -> Any:
    return g.op("ReduceSum", g.op("Mul", "x", 10.0), axes=[2, 3])


def _cosine(g: Graph) -> Any:
    sums = [
        g.op("ReduceSum", g.op("Mul", a, b), axes=[3], keepdims=1)
        for a, b in (("x", "y"), ("x", "x"), ("y", "y"))
    ]
    norms = g.op("Max", g.op("Sqrt", g.op("Mul", sums[1], sums[2])), 1e-8)
    return g.op("Div", sums[0], norms)


def _square(g: Graph) -> Any:
    difference = g.op("Sub", g.op("Div", "x", 255.0), g.op("Div", "y", 255.0))
    squared = g.op("Mul", g.op("Mul", difference, difference), 0.5)
    return g.op("Sqrt", g.op("Reshape", squared, [1, 3, 192]))


def _inner(g: Graph) -> Any:
    x, y = (g.op("Reshape", g.op("Div", v, 255.0), [1, 576]) for v in ("x", "y"))
    product = g.op("Mul", x, y)
    return g.op("ReduceSum", product, axes=[1], keepdims=1)


def _gradients(g: Graph) -> Any:
    both = g.op("Conv", "x", np.random.default_rng(0).uniform(-1, 1, (6, 3, 3, 3)), pads=[1] * 4)
    parts = [g.op("Slice", both, [i * 3], [i * 3 + 3], [1]) for i in range(2)]
    return g.op("Max", *(g.op("Mul", p, p) for p in parts))


def _different(g: Graph) -> Any:
    parts = [g.op("Slice", g.op("Relu", "x"), [i], [i + 1], [1]) for i in range(2)]
    return g.op("Max", g.op("Sqrt", parts[0]), g.op("Neg", parts[1]))


CASES = [
    Case("mask-levels", "0 or 255", _levels, ("Greater", "Where")),
    Case("mask-levels", "1 - mask", _inverse_levels, ("Less", "Where")),
    Case("masked-value", "image * mask", _masked, ("Greater", "Where")),
    Case("masked-value", "mask * mask", _masks_multiplied,
         ("Greater", "Cast", "Less", "Cast", "Mul"), applies=False),
    Case("inverted-mask", "cast of not",
         lambda g: g.op("Cast", g.op("Not", g.op("Equal", "x", 3.0)), to=1), ("Equal", "Where")),
    Case("meeting-lines", "solarize", _solarize, ("Div", "Sub", "Min")),
    Case("meeting-lines", "abs", _absolute, ("Sub", "Neg", "Max")),
    Case("meeting-lines", "a jump", _jump, ("Less", "Sub", "Where"), applies=False),
    Case("guarded-root", "safe sqrt", _guarded, ("Sub", "Relu", "Sqrt")),
    Case("compare-before-scale", "of levels", _compared, ("Greater", "Cast")),
    Case("compare-before-scale", "negative scale", _compared_backwards, ("Less", "Cast")),
    Case("scale-before-clip", "back to 0..255", _scaled_clip, ("Div", "Add", "Mul", "Clip")),
    Case("joined-clip", "of a product", _clip_of_product, ("Mul", "Clip")),
    Case("joined-clip", "of a line", _clip_of_line, ("Mul", "Add", "Clip"), applies=False),
    Case("joined-clip", "of a Conv", _clip_of_conv, ("Conv", "Mul", "Clip"), applies=False),
    Case("inverse-root", "normalize", _normalized,
         ("Mul", "ReduceSum", "Add", "Clip", "Pow", "Mul")),
    Case("repeated-operand", "expand", _expanded, ("Slice", "Add")),
    Case("scaled-copies", "gray to three", _three_of_one, ("Slice", "Mul")),
    Case("computed-twice", "the same", _twice, ("Neg", "Exp", "Mul")),
    Case("computed-twice", "other attributes", _not_twice, ("LeakyRelu", "LeakyRelu", "Mul"),
         applies=False),
    Case("max-pool-padding", "3x3", _pool(kernel_shape=[3, 3], pads=[1] * 4), ("Pad", "MaxPool")),
    Case("max-pool-padding", "uneven", _pool(kernel_shape=[4, 3], pads=[2, 1, 1, 0]),
         ("Pad", "MaxPool")),
    Case("max-pool-padding", "dilated",
         _pool(kernel_shape=[3, 3], pads=[2] * 4, dilations=[2, 2]), ("MaxPool",), applies=False),
    Case("extreme-of-channels", "max", lambda g: g.op("ReduceMax", "x", axes=[1], keepdims=0),
         ("Slice", "Slice", "Slice", "Max", "Max")),
    Case("extreme-of-channels", "min", lambda g: g.op("ReduceMin", "x", axes=[-3], keepdims=1),
         ("Slice", "Slice", "Slice", "Min", "Min")),
    Case("extreme-of-channels", "over space",
         lambda g: g.op("ReduceMax", "x", axes=[2, 3], keepdims=1), ("ReduceMax",), applies=False),
    Case("norm-in-parts", "L2", lambda g: g.op("ReduceL2", "x", axes=[1], keepdims=1),
         ("Mul", "ReduceSum", "Sqrt")),
    Case("norm-in-parts", "L1", lambda g: g.op("ReduceL1", "x", axes=[1], keepdims=0),
         ("Abs", "ReduceSum")),
    Case("cancelled-transposes", "channels last", _transposed, ("Mul",)),
    Case("cancelled-transposes", "a chain", _transposed_chain, ("Sub", "Neg", "Exp", "Mul")),
    Case("moved-elements", "tiles", _tiles, ("Transpose", "Neg")),
    Case("moved-elements", "there and back", _there_and_back, ("Neg",)),
    Case("moved-elements", "mirrored", _mirrored, ("Slice", "Neg"), applies=False),
    Case("weighted-sums", "moments", _moments, ("Gemm", "Slice", "Slice", "Concat")),
    Case("inner-product", "of two images", _inner, ("Div", "Div", "MatMul"),
         inputs=(("y", IMAGE),)),
    Case("weighted-sums", "beyond FP16", _large_sum,
         ("Mul", "ReduceSum"), applies=False),
    Case("cosine", "of images", _cosine,
         ("Mul", "Mul", "Mul", "ReduceSum", "Mul", "ReduceSum", "Clip", "Pow", "Mul",
          "Mul", "ReduceSum", "Clip", "Pow", "Mul"), inputs=(("y", IMAGE),)),
    Case("scaled-square", "of a difference", _square, ("Mul", "Mul", "Add", "Mul", "Sqrt"),
         inputs=(("y", IMAGE),)),
    Case("joined-pads", "of a blur", _padded_passes("reflect"), ("Pad", "Conv", "Conv", "Relu")),
    Case("joined-pads", "zeros", _padded_passes("constant"), ("Pad", "Conv", "Conv", "Relu")),
    Case("joined-pads", "zeros beside a bias", _padded_passes("constant", bias=1.0),
         ("Pad", "Conv", "Pad", "Conv", "Relu"), applies=False),
    Case("joined-pads", "repeated beside a bias", _padded_passes("edge", bias=1.0),
         ("Pad", "Conv", "Conv", "Relu")),
    Case("joined-pads", "a pass along both", _padded_passes("edge", first=(3, 5)),
         ("Pad", "Conv", "Pad", "Conv", "Relu"), applies=False),
    Case("joined-pads", "another border", _padded_passes("edge", "reflect"),
         ("Pad", "Conv", "Pad", "Conv", "Relu"), applies=False),
    Case("joined-pads", "every other row", _padded_passes("edge", strides=(2, 1)),
         ("Pad", "Conv", "Pad", "Conv", "Relu"), applies=False),
    Case("channel-sum", "mean", lambda g: g.op("ReduceMean", "x", axes=[1], keepdims=0), ("Conv",)),
    Case("channel-sum", "over space", lambda g: g.op("ReduceMean", "x", axes=[2, 3]),
         ("ReduceMean",), applies=False),
    Case("channels-last-matrix", "linear", _linear, ("Conv", "Transpose", "Neg")),
    Case("same-on-channels", "squares", _gradients, ("Conv", "Mul", "Slice", "Slice", "Max")),
    Case("same-on-channels", "other operators", _different,
         ("Relu", "Slice", "Relu", "Slice", "Sqrt", "Neg", "Max"), applies=False),
    Case("limit-never-reached", "clip of an image",
         lambda g: g.op("Neg", g.op("Clip", g.op("Div", "x", 255.0), 0.0, 1.0)), ("Div", "Neg")),
    Case("limit-never-reached", "clip that bites",
         lambda g: g.op("Clip", g.op("Div", "x", 200.0), 0.0, 1.0), ("Div", "Clip"),
         applies=False),
    Case("limit-never-reached", "max with less", lambda g: g.op("Neg", g.op("Max", "x", -1.0)),
         ("Neg",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.rule}: {c.name}")
def test_rule(case: Case) -> None:
    g = image(**dict(case.inputs))
    proto = g.model(case.build(g))
    result = faster(proto, case.rule)
    assert bool(result.applied) == case.applies
    assert operators(result.proto) == list(case.expected)
    if case.applies:
        assert {a.rule for a in result.applied} == {case.rule}
        assert all(a.checked for a in result.applied)
    if case.rule != "limit-never-reached":  # it holds within the declared range alone
        assert difference(proto, result.proto) <= max(case.error, 1e-6)


def test_without_bounds_no_limit_is_dropped() -> None:
    g = image()
    proto = g.model(g.op("Neg", g.op("Clip", g.op("Div", "x", 255.0), 0.0, 1.0)))
    assert not faster(proto, "limit-never-reached", image=False).applied


def test_a_limit_beyond_pixels_stays_where_the_input_may_be_anything() -> None:
    g = image()
    proto = g.model(g.op("Neg", g.op("Clip", "x", -1000.0, 1000.0)))
    assert not faster(proto, "limit-never-reached", image=False).applied
    assert faster(proto, "limit-never-reached").applied


def test_comparing_levels_before_the_scale_keeps_every_level() -> None:
    """51 / 255 is 0.2 or its neighbour, by the luck of rounding: the decision must not change."""
    from blobsmith.graph.equivalence import run

    limits = [0.2, 0.4, 1 / 3, 0.501, *np.linspace(0, 1, 52)]
    for limit, op in itertools.product(limits, ("Greater", "Less")):
        g = Graph(x=(1, 1, 16, 16))
        unit = g.op("Sub", g.op("Div", "x", 255.0), 0.1)
        proto = g.model(g.op("Cast", g.op(op, unit, limit - 0.1), to=1))
        result = faster(proto, "compare-before-scale")
        levels = {"x": np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)}
        np.testing.assert_array_equal(
            run(proto, levels)["output"], run(result.proto, levels)["output"]
        )


def test_a_norm_beyond_fp16_is_taken_of_smaller_numbers() -> None:
    """255^2 * 192 is 12 million: the quotient is the same for a sixteenth of the image."""
    from blobsmith.graph.bounds import FP16_MAX, bounds

    from ..helpers import editor

    g = Graph(x=(1, 192))
    squares = g.op("ReduceSum", g.op("Mul", "x", "x"), axes=[1], keepdims=1)
    proto = g.model(g.op("Div", "x", g.op("Max", g.op("Sqrt", squares), 1e-4)))
    result = faster(proto, "inverse-root")
    assert difference(proto, result.proto) < 1e-5
    e = editor(result.proto)
    e.ranges = {"x": (0.0, 255.0)}
    assert all(bounds(e, n.output).low >= -FP16_MAX for n in e.nodes)
    [total] = [n for n in e.nodes if n.op == "ReduceSum"]
    assert bounds(e, total.output).high <= FP16_MAX


def test_a_zero_vector_divided_by_its_clipped_norm_stays_zero() -> None:
    """The limit 1e-12 is 0 in FP16; squared, even in FP32."""
    g = image()
    norm = g.op("ReduceL2", "x", axes=[1], keepdims=1)
    proto = g.model(g.op("Div", "x", g.op("Clip", norm, 1e-12)))
    result = faster(proto, "norm-in-parts", "inverse-root")
    clip = next(n for n in result.proto.graph.node if n.op_type == "Clip")
    limit = next(t for t in result.proto.graph.initializer if t.name == clip.input[1])
    assert np.frombuffer(limit.raw_data, np.float32)[0] >= 2.0**-24


@pytest.mark.parametrize("rule", ["scaled-copies", "same-on-channels", "max-pool-padding"])
def test_what_does_not_pay_is_not_done(rule: str) -> None:
    case = next(c for c in CASES if c.rule == rule and c.applies)
    g = image()
    proto = g.model(case.build(g))
    result = faster(proto, rule, cost=lambda model: 1.0)
    assert not result.applied
    assert any("no gain" in r.reason for r in result.rejected)


def test_flat_dilation_is_a_max_pool() -> None:
    g = Graph(x=(1, 2, 10, 12))
    wide = g.op("Pad", "x", [0, 0, 1, 1, 0, 0, 1, 1], -60000.0)
    parts = [
        g.op("Slice", wide, [i, j], [i + 10, j + 12], [2, 3]) for i in range(3) for j in range(3)
    ]
    value = parts[0]
    for part in parts[1:]:
        value = g.op("Max", value, part)
    proto = g.model(value)
    result = faster(proto, "shifted-extremes")
    assert operators(result.proto) == ["Pad", "MaxPool"]
    assert difference(proto, result.proto) == 0


def test_erosion_by_a_diamond_is_the_minimum_of_three_pools() -> None:
    g = Graph(x=(1, 1, 12, 12))
    shifts = [(i, j) for i in range(5) for j in range(5) if abs(i - 2) + abs(j - 2) <= 2]
    parts = [g.op("Slice", "x", [i, j], [i + 8, j + 8], [2, 3]) for i, j in shifts]
    value = parts[0]
    for part in parts[1:]:
        value = g.op("Min", value, part)
    proto = g.model(value)
    result = faster(proto, "shifted-extremes")
    assert operators(result.proto).count("MaxPool") == 3
    assert difference(proto, result.proto) == 0


def test_shifted_copies_made_by_a_convolution() -> None:
    g = Graph(x=(1, 1, 9, 9))
    copies = g.op("Conv", "x", np.eye(9).reshape(9, 1, 3, 3))
    proto = g.model(g.op("ReduceMax", copies, axes=[1], keepdims=1))
    result = faster(proto, "shifted-extremes")
    assert operators(result.proto) == ["MaxPool"]
    assert difference(proto, result.proto) == 0


def test_a_maximum_that_is_no_window_is_left_alone() -> None:
    g = Graph(x=(1, 1, 9, 9))
    parts = [g.op("Slice", "x", [i], [i + 7], [2]) for i in range(3)]
    proto = g.model(g.op("Max", parts[0], parts[1], g.op("Add", parts[2], 1.0)))
    assert not faster(proto, "shifted-extremes").applied


def test_large_moves_are_followed_right() -> None:
    """Guards against numpy 2.4's unravel_index, which is wrong beyond 16384 elements."""
    g = Graph(x=(1, 1, 120, 160))
    proto = g.model(g.op("Neg", g.op("Unsqueeze", g.op("Gather", "x", 0, axis=1), axes=[3])))
    result = faster(proto, "moved-elements")
    assert operators(result.proto) == ["Neg"]
    assert difference(proto, result.proto) == 0
