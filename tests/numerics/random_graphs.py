"""A generator of random small ONNX graphs over the operators that the analysis knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from blobsmith.tensors import TensorSpec

OPSET = 16


@dataclass
class Graph:
    """A graph under construction; `tensors` are (name, shape) of float tensors."""

    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    inits: list[onnx.TensorProto] = field(default_factory=list)
    tensors: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    count: int = 0

    def name(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def const(self, value: Any) -> str:
        name = f"c{len(self.inits)}"
        self.inits.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], **attrs: Any) -> str:
        out = self.name()
        self.nodes.append(helper.make_node(op, inputs, [out], **attrs))
        return out

    def pick(self, rank: int | None = None) -> tuple[str, tuple[int, ...]]:
        """A tensor, later ones more often; an input if none has the rank."""
        fit = [t for t in self.tensors if rank is None or len(t[1]) == rank]
        weights = np.arange(1, len(fit) + 1, dtype=float)
        return fit[self.rng.choice(len(fit), p=weights / weights.sum())]

    def mate(self, shape: tuple[int, ...]) -> str:
        """A tensor of this very shape."""
        fit = [n for n, s in self.tensors if s == shape]
        return fit[self.rng.integers(len(fit))]

    def number(self, low: float = -3, high: float = 3) -> np.ndarray:
        """A random constant of any magnitude, now and then a nasty one."""
        if self.rng.random() < 0.15:
            return np.float32(self.rng.choice([0.0, 1.0, -1.0, 1e-6, 3.3e-5, 2e-8, 100.0, 7e4]))
        return np.float32(self.rng.uniform(low, high))

    def add(self, name: str, shape: tuple[int, ...]) -> None:
        self.tensors.append((name, tuple(int(s) for s in shape)))


Maker = Callable[[Graph], None]
OPS: dict[str, Maker] = {}


def op(*names: str) -> Callable[[Callable[[Graph, str], None]], Any]:
    def register(function: Callable[[Graph, str], None]) -> Any:
        for name in names:
            OPS[name] = lambda g, name=name: function(g, name.split(":")[0])
        return function

    return register


_UNARY = (
    "Relu Abs Neg Sigmoid Tanh Softplus Softsign Elu Selu Celu Exp Floor Ceil Round Sign Erf Sqrt "
    "Log Reciprocal LeakyRelu Sin Cos Atan HardSigmoid HardSwish Sinh Asinh Acos Acosh Atanh "
    "ThresholdedRelu Identity Asin Tan Cosh"
)


@op(*_UNARY.split())
def _unary(g: Graph, name: str) -> None:
    x, shape = g.pick()
    g.add(g.node(name, [x]), shape)


@op("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow:pair", "Sum", "Mean")
def _binary(g: Graph, name: str) -> None:
    x, shape = g.pick()
    g.add(g.node(name, [x, g.mate(shape)]), shape)


@op("Add:scalar", "Sub:scalar", "Mul:scalar", "Div:scalar", "Max:scalar", "Min:scalar")
def _scalar(g: Graph, name: str) -> None:
    x, shape = g.pick()
    pair = [x, g.const(g.number())]
    if g.rng.random() < 0.3:
        pair.reverse()
    g.add(g.node(name, pair), shape)


@op("Add:channel", "Sub:channel", "Mul:channel", "Div:channel", "PRelu")
def _channel(g: Graph, name: str) -> None:
    x, shape = g.pick(4)
    values = np.array([g.number() for _ in range(shape[1])], np.float32).reshape(-1, 1, 1)
    g.add(g.node(name, [x, g.const(values)]), shape)


@op("Mul:self", "Add:self", "Sub:self", "Div:self")
def _self(g: Graph, name: str) -> None:
    x, shape = g.pick()
    g.add(g.node(name, [x, x]), shape)


@op("Pow")
def _pow(g: Graph, name: str) -> None:
    x, shape = g.pick()
    exponent = np.float32(g.rng.choice([2.0, 3.0, 0.5, -1.0, 1.5, 0.0, 1.0]))
    g.add(g.node("Pow", [x, g.const(exponent)]), shape)


@op("Clip")
def _clip(g: Graph, name: str) -> None:
    x, shape = g.pick()
    low = float(g.number())
    limits = [g.const(np.float32(low)), g.const(np.float32(low + abs(float(g.number(0, 200)))))]
    drop = g.rng.integers(3)
    if drop == 1:
        limits[1] = ""
    if drop == 2:
        limits[0] = ""
    g.add(g.node("Clip", [x, *limits]), shape)


@op("Conv", "Conv:group", "Conv:strided")
def _conv(g: Graph, name: str) -> None:
    x, (n, c, h, w) = g.pick(4)
    kernel = int(g.rng.choice([k for k in (1, 2, 3) if k <= min(h, w)]))
    outs = int(g.rng.integers(1, 4))
    group = 1
    if c > 1 and g.rng.random() < 0.4:
        group, outs = c, c * int(g.rng.integers(1, 3))
    pads = [int(p) for p in g.rng.integers(0, kernel, 4)]
    strides = [int(s) for s in g.rng.integers(1, 3, 2)]
    weights = g.rng.normal(size=(outs, c // group, kernel, kernel)).astype(np.float32)
    weights *= np.float32(10.0 ** g.rng.uniform(-4, 1))
    inputs = [x, g.const(weights)]
    if g.rng.random() < 0.5:
        inputs.append(g.const(g.rng.normal(size=outs).astype(np.float32)))
    out = g.node("Conv", inputs, pads=pads, strides=strides, group=group)
    oh = (h + pads[0] + pads[2] - kernel) // strides[0] + 1
    ow = (w + pads[1] + pads[3] - kernel) // strides[1] + 1
    g.add(out, (n, outs, oh, ow))


@op("ConvTranspose")
def _deconv(g: Graph, name: str) -> None:
    x, (n, c, h, w) = g.pick(4)
    stride, kernel = int(g.rng.integers(1, 3)), int(g.rng.integers(1, 4))
    weights = g.rng.normal(size=(c, 2, kernel, kernel)).astype(np.float32)
    out = g.node("ConvTranspose", [x, g.const(weights)], strides=[stride, stride])
    g.add(out, (n, 2, (h - 1) * stride + kernel, (w - 1) * stride + kernel))


@op("AveragePool", "MaxPool")
def _pool(g: Graph, name: str) -> None:
    x, (n, c, h, w) = g.pick(4)
    kernel = int(g.rng.choice([k for k in (1, 2, 3) if k <= min(h, w)]))
    pad = int(g.rng.integers(0, (kernel + 1) // 2)) if g.rng.random() < 0.5 else 0
    attrs = {"count_include_pad": int(g.rng.integers(2))} if name == "AveragePool" else {}
    out = g.node(name, [x], kernel_shape=[kernel, kernel], pads=[pad] * 4, **attrs)
    g.add(out, (n, c, h + 2 * pad - kernel + 1, w + 2 * pad - kernel + 1))


@op("GlobalAveragePool", "GlobalMaxPool")
def _global(g: Graph, name: str) -> None:
    x, shape = g.pick(4)
    g.add(g.node(name, [x]), (*shape[:2], 1, 1))


@op("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2",
    "ReduceSumSquare", "ReduceLogSumExp", "ReduceProd")  # fmt: skip
def _reduce(g: Graph, name: str) -> None:
    x, shape = g.pick()
    axes = sorted({int(a) for a in g.rng.integers(0, len(shape), 2)})
    keep = int(g.rng.integers(2)) or int(len(axes) == len(shape))
    if name == "ReduceSum":
        out = g.node(name, [x, g.const(np.array(axes, np.int64))], keepdims=keep)
    else:
        out = g.node(name, [x], axes=axes, keepdims=keep)
    g.add(out, tuple(1 if i in axes else s for i, s in enumerate(shape) if keep or i not in axes))


@op("Softmax", "LogSoftmax", "Hardmax")
def _softmax(g: Graph, name: str) -> None:
    x, shape = g.pick()
    g.add(g.node(name, [x], axis=int(g.rng.integers(len(shape)))), shape)


@op("Concat")
def _concat(g: Graph, name: str) -> None:
    x, shape = g.pick()
    axis = int(g.rng.integers(len(shape)))
    parts = [x, g.mate(shape)]
    grown = list(shape)
    grown[axis] *= 2
    if np.prod(grown) < 4000:
        g.add(g.node("Concat", parts, axis=axis), tuple(grown))


@op("Slice", "Slice:reverse")
def _slice(g: Graph, name: str) -> None:
    x, shape = g.pick()
    axis = int(g.rng.integers(len(shape)))
    size = shape[axis]
    step = int(g.rng.choice([1, 1, 2, -1]))
    if step > 0:
        start, end = int(g.rng.integers(0, size)), size
    else:
        start, end = size - 1, -(1 << 40)
    values = [np.array([v], np.int64) for v in (start, end, axis, step)]
    length = len(range(size)[slice(start, None if step < 0 else end, step)])
    out = g.node("Slice", [x, *[g.const(v) for v in values]])
    g.add(out, (*shape[:axis], length, *shape[axis + 1 :]))


@op("Gather")
def _gather(g: Graph, name: str) -> None:
    x, shape = g.pick()
    axis = int(g.rng.integers(len(shape)))
    index = g.rng.integers(0, shape[axis], 3)
    out = g.node("Gather", [x, g.const(index.astype(np.int64))], axis=axis)
    g.add(out, (*shape[:axis], 3, *shape[axis + 1 :]))


@op("Transpose")
def _transpose(g: Graph, name: str) -> None:
    x, shape = g.pick()
    perm = [int(p) for p in g.rng.permutation(len(shape))]
    g.add(g.node("Transpose", [x], perm=perm), tuple(shape[p] for p in perm))


@op("Reshape", "Flatten", "Unsqueeze")
def _reshape(g: Graph, name: str) -> None:
    x, shape = g.pick()
    if name == "Flatten":
        total = int(np.prod(shape))
        first = shape[0] if shape else 1
        g.add(g.node("Flatten", [x], axis=1), (first, total // first))
        return
    if name == "Unsqueeze":
        if len(shape) < 5:
            g.add(g.node("Unsqueeze", [x, g.const(np.array([1], np.int64))]),
                  (shape[0], 1, *shape[1:]))  # fmt: skip
        return
    if len(shape) < 2:
        return
    merged = (shape[0] * shape[1], *shape[2:])
    target = (1, *merged) if g.rng.random() < 0.5 else merged
    g.add(g.node("Reshape", [x, g.const(np.array(target, np.int64))]), target)


@op("Pad", "Pad:reflect", "Pad:edge")
def _pad(g: Graph, name: str) -> None:
    x, shape = g.pick(4)
    mode = str(g.rng.choice(["constant", "reflect", "edge"]))
    if min(shape[2:]) < 2:
        mode = "constant"
    pads = [0, 0, *[int(p) for p in g.rng.integers(0, 2, 2)]] * 2
    inputs = [x, g.const(np.array(pads, np.int64))]
    if mode == "constant" and g.rng.random() < 0.5:
        inputs.append(g.const(g.number()))
    out = g.node("Pad", inputs, mode=mode)
    g.add(out, (*shape[:2], shape[2] + pads[2] * 2, shape[3] + pads[3] * 2))


@op("Expand", "Tile")
def _expand(g: Graph, name: str) -> None:
    x, shape = g.pick()
    if name == "Tile":
        repeats = [1] * len(shape)
        repeats[int(g.rng.integers(len(shape)))] = 2
        grown = tuple(s * r for s, r in zip(shape, repeats, strict=True))
    else:
        grown = tuple(3 if s == 1 and g.rng.random() < 0.5 else s for s in shape)
        repeats = list(grown)
    if np.prod(grown) < 4000:
        g.add(g.node(name, [x, g.const(np.array(repeats, np.int64))]), grown)


@op("MatMul", "Gemm")
def _matmul(g: Graph, name: str) -> None:
    x, shape = g.pick(2 if name == "Gemm" and any(len(s) == 2 for _, s in g.tensors) else None)
    if len(shape) < 2 or (name == "Gemm" and len(shape) != 2):
        return
    weights = g.rng.normal(size=(shape[-1], 3)).astype(np.float32)
    if name == "Gemm":
        bias = g.const(g.rng.normal(size=3).astype(np.float32))
        out = g.node("Gemm", [x, g.const(weights.T.copy()), bias], transB=1, alpha=0.5)
    else:
        out = g.node("MatMul", [x, g.const(weights)])
    g.add(out, (*shape[:-1], 3))


@op("MatMul:pair")
def _gram(g: Graph, name: str) -> None:
    x, shape = g.pick(4)
    other = g.node("Transpose", [g.mate(shape)], perm=[0, 1, 3, 2])
    g.add(g.node("MatMul", [x, other]), (*shape[:2], shape[2], shape[2]))


@op("Resize", "Resize:cubic", "Resize:nearest")
def _resize(g: Graph, name: str) -> None:
    x, shape = g.pick(4)
    if min(shape[2:]) < 2 or np.prod(shape) > 1000:
        return
    mode = str(g.rng.choice(["nearest", "linear", "cubic"]))
    way = str(g.rng.choice(["half_pixel", "align_corners", "asymmetric"]))
    scales = g.const(np.array([1, 1, 2, 1.5], np.float32))
    out = g.node("Resize", [x, "", scales], mode=mode, coordinate_transformation_mode=way)
    g.add(out, (*shape[:2], shape[2] * 2, int(shape[3] * 1.5)))


@op("Greater", "Less", "Equal", "GreaterOrEqual")
def _compare(g: Graph, name: str) -> None:
    x, shape = g.pick()
    other = g.mate(shape) if g.rng.random() < 0.5 else g.const(g.number(0, 100))
    mask = g.node(name, [x, other])
    g.add(g.node("Cast", [mask], to=TensorProto.FLOAT), shape)
    g.add(g.node("Where", [mask, x, g.mate(shape)]), shape)


@op("BatchNormalization", "InstanceNormalization")
def _norm(g: Graph, name: str) -> None:
    x, shape = g.pick(4)
    c = shape[1]
    vectors = [
        g.rng.normal(size=c),
        g.rng.normal(size=c),
        g.rng.normal(size=c),
        g.rng.uniform(0.1, 2, c),
    ]
    take = vectors if name.startswith("Batch") else vectors[:2]
    if name.startswith("Inst") and np.prod(shape[2:]) < 2:
        return
    g.add(g.node(name, [x, *[g.const(v.astype(np.float32)) for v in take]]), shape)


@op("Split", "Squeeze", "SpaceToDepth", "GatherElements", "ScatterND", "ArgMax", "GridSample")
def _selections(g: Graph, name: str) -> None:
    x, shape = g.pick(4)
    n, c, h, w = shape
    if name == "Split" and h % 2 == 0:
        parts = [g.name(), g.name()]
        g.nodes.append(helper.make_node("Split", [x], parts, axis=2))
        for part in parts:
            g.add(part, (n, c, h // 2, w))
    elif name == "Squeeze" and n == 1:
        g.add(g.node("Squeeze", [x, g.const(np.array([0], np.int64))]), (c, h, w))
    elif name == "SpaceToDepth" and h > 1 and w > 1:
        ends = [g.const(np.array(v, np.int64)) for v in ([0, 0], [h // 2 * 2, w // 2 * 2], [2, 3])]
        x = g.node("Slice", [x, *ends])
        g.add(g.node("SpaceToDepth", [x], blocksize=2), (n, c * 4, h // 2, w // 2))
    elif name == "GatherElements":
        index = g.rng.integers(0, h, shape)
        g.add(g.node("GatherElements", [x, g.const(index.astype(np.int64))], axis=2), shape)
    elif name == "ScatterND":
        at = g.const(np.array([[0, 0, 0, 0]], np.int64))
        g.add(g.node("ScatterND", [x, at, g.const(np.array([g.number()], np.float32))]), shape)
    elif name == "ArgMax":
        index = g.node("ArgMax", [x], axis=1)
        g.add(g.node("Cast", [index], to=TensorProto.FLOAT), (n, 1, h, w))
    elif name == "GridSample":
        grid = g.const(g.rng.uniform(-1.2, 1.2, (n, 3, 4, 2)).astype(np.float32))
        mode = str(g.rng.choice(["bilinear", "nearest", "bicubic"]))
        g.add(g.node("GridSample", [x, grid], mode=mode), (n, c, 3, 4))


@op("Einsum", "LpNormalization", "ReduceLogSum", "And", "Not", "MeanVarianceNormalization")
def _more(g: Graph, name: str) -> None:
    x, shape = g.pick(4)
    if name == "Einsum":
        mix = g.const(g.rng.normal(size=(2, shape[1])).astype(np.float32))
        out = g.node("Einsum", [mix, x], equation="oc,bchw->bohw")
        g.add(out, (shape[0], 2, *shape[2:]))
    elif name == "ReduceLogSum":
        g.add(g.node(name, [x], axes=[1]), (shape[0], 1, *shape[2:]))
    elif name in ("And", "Not"):
        mask = g.node("Greater", [x, g.const(g.number())])
        pair = [mask, mask] if name == "And" else [mask]
        g.add(g.node("Cast", [g.node(name, pair)], to=TensorProto.FLOAT), shape)
    else:
        attrs = {"axis": 1} if name == "LpNormalization" else {}
        g.add(g.node(name, [x], **attrs), shape)


@op("LRN", "DepthToSpace", "CumSum", "TopK", "Mod")
def _others(g: Graph, name: str) -> None:
    x, shape = g.pick(4)
    if name == "LRN":
        g.add(g.node("LRN", [x], size=3), shape)
    elif name == "CumSum":
        g.add(g.node("CumSum", [x, g.const(np.array(2, np.int64))]), shape)
    elif name == "DepthToSpace":
        wide = g.node("Concat", [x] * 4, axis=1)
        out = g.node("DepthToSpace", [wide], blocksize=2)
        if np.prod(shape) < 1000:
            g.add(out, (shape[0], shape[1], shape[2] * 2, shape[3] * 2))
    elif name == "Mod":
        g.add(g.node("Mod", [x, g.const(np.float32(16))], fmod=1), shape)
    else:
        values, indices = g.name(), g.name()
        g.nodes.append(
            helper.make_node(
                "TopK", [x, g.const(np.array([1], np.int64))], [values, indices], axis=3
            )
        )
        g.add(values, (*shape[:3], 1))


@op("Stretch", "Norm", "SafeSoftmax")
def _idiom(g: Graph, name: str) -> None:
    """Idioms whose parts depend on each other."""
    x, shape = g.pick(4)
    if name == "SafeSoftmax":
        top = g.node("ReduceMax", [x], axes=[1], keepdims=1)
        g.add(g.node("Exp", [g.node("Sub", [x, top])]), shape)
    elif name == "Norm":
        square = g.node("Mul", [x, x])
        total = g.node("ReduceSum", [square, g.const(np.array([1], np.int64))], keepdims=1)
        guarded = g.node("Add", [total, g.const(np.float32(g.rng.choice([1e-6, 1e-3, 1.0])))])
        g.add(g.node("Div", [x, g.node("Sqrt", [guarded])]), shape)
    else:
        low = g.node("ReduceMin", [x], axes=[2, 3], keepdims=1)
        high = g.node("ReduceMax", [x], axes=[2, 3], keepdims=1)
        span = g.node("Sub", [high, low])
        guard = g.node("Add", [span, g.const(np.float32(g.rng.choice([1e-6, 1e-2, 1.0])))])
        g.add(g.node("Div", [g.node("Sub", [x, low]), guard]), shape)


SPECS = (
    TensorSpec("image", (1, 3, 6, 7), "u8"),
    TensorSpec("other", (1, 3, 6, 7), "fp16", value_range=(-2.0, 2.0)),
    TensorSpec("vector", (1, 5), "fp16", value_range=(0.5, 4.0)),
)


def build(names: list[str], seed: int, opset: int = OPSET) -> onnx.ModelProto:
    """The graph that these operators make, in this order; every end is an output."""
    g = Graph(np.random.default_rng(seed))
    for spec in SPECS:
        g.add(spec.name, spec.shape)
    for name in names:
        OPS[name](g)
    inputs = [helper.make_tensor_value_info(s.name, TensorProto.FLOAT, s.shape) for s in SPECS]
    made = {s.name for s in SPECS}
    used = {i for n in g.nodes for i in n.input}
    outs = [(n, s) for n, s in g.tensors if n not in made and n not in used]
    if not outs:
        out = g.node("Identity", ["image"])
        outs = [(out, SPECS[0].shape)]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outs]
    graph = helper.make_graph(g.nodes, "random", inputs, outputs, g.inits)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def feeds(seed: int) -> list[dict[str, np.ndarray]]:
    """Inputs within their declared ranges: noise, extremes, constants."""
    rng = np.random.default_rng(seed)
    found = []
    for kind in ("noise", "extremes", "low", "high", "zero"):
        feed = {}
        for spec in SPECS:
            low, high = (0.0, 255.0) if spec.dtype == "u8" else spec.value_range or (0, 0)
            if kind == "noise":
                value = rng.uniform(low, high, spec.shape)
            elif kind == "extremes":
                value = rng.choice([low, high], spec.shape)
            else:
                value = np.full(spec.shape, {"low": low, "high": high, "zero": max(low, 0)}[kind])
            if spec.dtype == "u8":
                value = np.round(value)
            feed[spec.name] = value.astype(np.float16).astype(np.float32)
        found.append(feed)
    return found
