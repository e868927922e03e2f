"""The battery: what maps elements, compares, reduces and normalises."""

from __future__ import annotations

import numpy as np

from .models import Case, ints, node, simple, weights

S = (1, 8, 20, 24)
HW = "MyriadXHwOp"

UNARY = {
    "Relu": "Relu", "Sigmoid": "Sigmoid", "Tanh": "Tanh", "Exp": "Exp", "Floor": "Floor",
    "Ceil": "Ceiling", "Erf": "Erf", "Softplus": "SoftPlus", "Abs": "Abs", "Elu": "Elu",
    "Round": "Round", "Neg": "Power", "Reciprocal": "Power",
}  # fmt: skip

BINARY = {"Add": "Sum", "Sub": "Sum", "Mul": "Prod", "Max": "Max", "Min": "Min"}


def two(name: str, op: str, stages: str, other: tuple[int, ...] = S, **options: object) -> Case:
    """An operator on two inputs."""
    shapes = {"x": S, "z": other}
    return simple(name, node(op, "x z", "y"), shapes, S, stages, **options)  # type: ignore[arg-type]


def compare(name: str, chain: str, stages: str) -> Case:
    """Compares, joined by logical operators, cast to float."""
    nodes = [node(*part.split(":")) for part in chain.split(";")]
    nodes.append(node("Cast", "b", "y", to=1))
    constants = {"c": np.float32(1)} if " c:" in chain else None
    return simple(name, nodes, {"x": S, "z": S}, S, f"{stages} Convert", constants=constants,
                  integers=True)  # fmt: skip


def reduce(op: str, axes: tuple[int, ...], stages: str | tuple[str, str], atol: float) -> Case:
    """A reduction that keeps its dimensions."""
    out = tuple(1 if i in axes else n for i, n in enumerate(S))
    name = f"{op}-{''.join(map(str, axes))}"
    if op == "ReduceSum":
        made = node(op, "x a", "y", keepdims=1)
        return simple(name, made, S, out, stages, constants={"a": ints(*axes)}, ulps=1.6, atol=atol)
    return simple(name, node(op, "x", "y", axes=list(axes), keepdims=1), S, out, stages, atol=atol)


CASES: list[Case] = [
    *[simple(op.lower(), node(op, "x", "y"), S, S, stage) for op, stage in UNARY.items()],
    *[two(op.lower(), op, stage) for op, stage in BINARY.items()],
    simple("hardswish", node("HardSwish", "x", "y"), S, S, "HSwish", opset=14),
    simple("leaky-relu", node("LeakyRelu", "x", "y", alpha=0.2), S, S, "LeakyRelu"),
    simple("log", node("Log", "x", "y"), S, S, "Log", low=0.1),
    simple("sqrt", node("Sqrt", "x", "y"), S, S, "Power", low=0.0),
    simple("power", node("Pow", "x e", "y"), S, S, "Power", low=0.0, atol=2e-5,
           constants={"e": np.float32(2.2)}),
    simple("cube", node("Pow", "x e", "y"), S, S, "Power", constants={"e": np.float32(3)}),
    simple("square", node("Mul", "x x", "y"), S, S, "Prod"),
    simple("clip", node("Clip", "x low high", "y"), S, S, "Clamp",
           constants={"low": np.float32(-1), "high": np.float32(2)}),
    simple("prelu", node("PRelu", "x s", "y"), S, S, "PRelu", constants={"s": weights(8, 1, 1)}),
    simple("mish", [node("Softplus", "x", "s"), node("Tanh", "s", "t"), node("Mul", "x t", "y")],
           S, S, "Mish"),
    simple("swish", [node("Sigmoid", "x", "s"), node("Mul", "x s", "y")], S, S, "Swish"),
    simple("gelu",
           [node("Div", "x r", "d"), node("Erf", "d", "e"), node("Add", "e o", "a"),
            node("Mul", "x a", "m"), node("Mul", "m h", "y")], S, S, "Gelu",
           constants={"r": np.float32(2**0.5), "o": np.float32(1), "h": np.float32(0.5)}),
    simple("pow-tensor", node("Pow", "x z", "y"), {"x": S, "z": S}, S, "Pow", low=0.5, atol=1e-4),
    two("div", "Div", "Power Prod", ulps=1.6, low=0.5),
    two("spread-channels", "Add", "Sum", (1, 1, 20, 24)),
    two("spread-plane", "Mul", "Prod", (1, 8, 1, 1)),
    simple("add-relu", [node("Add", "x z", "a"), node("Relu", "a", "y")], {"x": S, "z": S}, S,
           "Sum"),
    simple("add-leaky", [node("Add", "x z", "a"), node("LeakyRelu", "a", "y", alpha=0.2)],
           {"x": S, "z": S}, S, "Sum"),
    simple("add-clip", [node("Add", "x z", "a"), node("Clip", "a low high", "y")],
           {"x": S, "z": S}, S, "Sum",
           constants={"low": np.float32(-1), "high": np.float32(2)}),
    compare("equal", "Equal:x z:b", "Equal"),
    compare("greater", "Greater:x z:b", "Greater"),
    compare("less", "Less:x z:b", "Less"),
    compare("not", "Greater:x z:a;Not:a:b", "Greater Logical_NOT"),
    compare("and", "Greater:x z:a;Less:x c:d;And:a d:b", "Greater Less Logical_AND"),
    simple("where", [node("Greater", "x z", "b"), node("Where", "b x z", "y")],
           {"x": S, "z": S}, S, "Greater Select"),
    simple("add-channel", node("Add", "x c", "y"), S, S, "ScaleShift",
           constants={"c": weights(1, 8, 1, 1)}),
    simple("mul-channel", node("Mul", "x c", "y"), S, S, "ScaleShift",
           constants={"c": weights(1, 8, 1, 1)}),
    simple("softmax-channels", node("Softmax", "x", "y", axis=1), S, S, "SoftMax"),
    simple("softmax-width", node("Softmax", "x", "y", axis=3), S, S, "SoftMax"),
    simple("softmax-vector", node("Softmax", "x", "y", axis=1), (1, 100), (1, 100), "SoftMax"),
    simple("lrn", node("LRN", "x", "y", size=5, alpha=0.1, beta=0.75, bias=1.0), S, S, "LRN",
           ulps=0.7),
    simple("mvn", node("MeanVarianceNormalization", "x", "y", axes=[2, 3]), S, S, "MVN"),
    simple("mvn-channels", node("MeanVarianceNormalization", "x", "y", axes=[1, 2, 3]), S, S,
           "MVN"),
    simple("mvn-width", node("MeanVarianceNormalization", "x", "y", axes=[3]), S, S, "MVN"),
    simple("instance-norm", node("InstanceNormalization", "x s b", "y"), S, S, "MVN ScaleShift",
           constants={"s": weights(8), "b": weights(8)}, atol=4e-3),
    simple("log-softmax", node("LogSoftmax", "x", "y", axis=1), S, S,
           "ReduceMax Sum Exp ReduceSum Log", atol=6e-3),
    reduce("ReduceMin", (1,), "ReduceMin", 0),
    reduce("ReduceMin", (3,), "ReduceMin", 0),
    reduce("ReduceMin", (1, 2), "ReduceMin", 0),
    reduce("ReduceMax", (1, 3), "ReduceMax", 0),
    reduce("ReduceMax", (1,), (HW, "MaxPool"), 0),
    reduce("ReduceMax", (2, 3), "GlobalMaxPool", 0),
    reduce("ReduceMean", (2, 3), "ReduceMean", 1e-5),
    reduce("ReduceMean", (1, 3), "ReduceMean", 1e-5),
    reduce("ReduceMean", (1,), (HW, "AvgPool"), 1e-5),
    reduce("ReduceSum", (1, 3), "ReduceSum", 1e-4),
    reduce("ReduceSum", (1,), (f"{HW} Power", "AvgPool Power"), 4e-3),
    reduce("ReduceSum", (2, 3), "ReduceMean Power", 0.05),
]  # fmt: skip
