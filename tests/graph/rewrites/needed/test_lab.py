"""CIELAB and back: differences of cube roots, and sums of cubes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from blobsmith.blob import Blob
from blobsmith.emulator import Emulator
from blobsmith.graph.equivalence import run
from blobsmith.graph.rewrites import rewrite

from ..helpers import Graph, difference

SHAPE = (1, 3, 16, 24)
BYTES = {"x": (0.0, 255.0)}
TO_XYZ = np.array([[0.4340, 0.3762, 0.1898], [0.2127, 0.7152, 0.0722], [0.0178, 0.1095, 0.8727]])
FROM_XYZ = np.array([[3.080, -1.537, -0.543], [-0.921, 1.876, 0.045], [0.053, -0.204, 1.151]])
LIMIT, ROOT = 0.008856, 0.2068966


def _f(g: Graph, t: str) -> str:
    power = g.op("Pow", g.op("Clip", t, LIMIT), 1 / 3)
    line = g.op("Add", g.op("Mul", t, 7.787), 4 / 29)
    return str(g.op("Where", g.op("Greater", t, LIMIT), power, line))


def _pick(g: Graph, value: str, number: int, how: str) -> str:
    if how == "gather":
        return str(g.op("Gather", value, np.array(number), axis=1))
    ends = [np.array([v]) for v in (number, number + 1, 1)]
    return str(g.op("Slice", value, *ends))


def to_lab(how: str = "gather", *, guarded: bool = True) -> onnx.ModelProto:
    """500 (f(X) - f(Y)) of bytes that are taken as linear light."""
    g = Graph(x=SHAPE)
    xyz = g.op("Conv", g.op("Div", "x", 255.0), TO_XYZ.reshape(3, 3, 1, 1))
    if not guarded:
        power = g.op("Pow", xyz, 1 / 3)
        f = g.op("Where", g.op("Greater", xyz, LIMIT), power, g.op("Mul", xyz, 7.787))
    else:
        f = _f(g, xyz)
    return g.model(g.op("Mul", g.op("Sub", _pick(g, f, 0, how), _pick(g, f, 1, how)), 500.0))


def from_lab(*, clipped: bool = True, exponent: float = 3.0) -> onnx.ModelProto:
    """Linear RGB of bytes that hold L, a and b."""
    g = Graph(x=SHAPE)
    lightness, a, b = (g.op("Slice", "x", [i], [i + 1], [1]) for i in range(3))
    y = g.op("Div", g.op("Add", g.op("Mul", lightness, 100 / 255), 16.0), 116.0)
    x = g.op("Add", g.op("Div", g.op("Sub", a, 128.0), 1000.0), y)
    z = g.op("Sub", y, g.op("Div", g.op("Sub", b, 128.0), 400.0))
    z = g.op("Clip", z, 0.0) if clipped else z
    u = g.op("Concat", x, y, z, axis=1)
    line = g.op("Div", g.op("Sub", u, 4 / 29), 7.787)
    cubes = g.op("Where", g.op("Greater", u, ROOT), g.op("Pow", u, exponent), line)
    return g.model(g.op("Conv", cubes, FROM_XYZ.reshape(3, 3, 1, 1)))


CASES = {
    "difference-of-cube-roots": [to_lab("gather"), to_lab("slice"), to_lab(guarded=False)],
    "sum-of-cubes": [from_lab(), from_lab(clipped=False)],
}
PAIRS = [(rule, proto) for rule, protos in CASES.items() for proto in protos]


@pytest.mark.parametrize(("rule", "proto"), PAIRS, ids=lambda v: v if isinstance(v, str) else "")
def test_the_same_in_fp32(rule: str, proto: onnx.ModelProto) -> None:
    result = rewrite(proto, only=(rule,), ranges=BYTES, whole=("x",))
    assert [a.rule for a in result.applied] == [rule]
    assert difference(proto, result.proto) < 1e-5


@pytest.mark.parametrize(("rule", "proto"), PAIRS, ids=lambda v: v if isinstance(v, str) else "")
def test_closer_in_fp16(
    rule: str, proto: onnx.ModelProto, compile_blob: Callable[..., bytes]
) -> None:
    """On pastel colours, where the differences are small beside what they are taken of."""
    rng = np.random.default_rng(0)
    grey = rng.integers(60, 256, (1, 1, *SHAPE[2:]))
    tint = rng.integers(-8, 9, SHAPE)
    frame = np.clip(grey + tint, 0, 255) if rule != "sum-of-cubes" else 128 + tint
    if rule == "sum-of-cubes":
        frame = np.concatenate([grey, frame[:, 1:]], 1)
    pixels = frame.astype(np.uint8)
    [expected] = run(proto, {"x": pixels.astype(np.float32)}).values()
    errors = []
    for without in ((rule,), ()):
        ready = rewrite(proto, sets=("needed",), without=without, ranges=BYTES, whole=("x",)).proto
        [got] = Emulator(Blob.from_bytes(compile_blob(ready))).run({"x": pixels}).values()
        errors.append(float(np.sqrt(np.mean((np.asarray(got, np.float64) - expected) ** 2))))
    assert errors[1] < errors[0] * (0.7 if rule == "sum-of-cubes" else 0.5)


@pytest.mark.parametrize(
    ("top", "slope"), [(0.5, 7.787), (None, 60.0)], ids=["a root that ends", "a line above it"]
)
def test_what_f_cannot_tell_stays(top: float | None, slope: float) -> None:
    """Where the line is higher than the root begins, f does not say which of them it is."""
    g = Graph(x=SHAPE)
    xyz = g.op("Conv", g.op("Div", "x", 255.0), TO_XYZ.reshape(3, 3, 1, 1))
    limits = [LIMIT] if top is None else [LIMIT, top]
    power = g.op("Pow", g.op("Clip", xyz, *limits), 1 / 3)
    f = g.op("Where", g.op("Greater", xyz, LIMIT), power, g.op("Mul", xyz, slope))
    proto = g.model(g.op("Sub", _pick(g, f, 0, "gather"), _pick(g, f, 1, "gather")))
    result = rewrite(proto, only=("difference-of-cube-roots",), ranges=BYTES, whole=("x",))
    assert not result.applied


def test_other_powers_stay_as_they_are() -> None:
    result = rewrite(from_lab(exponent=2.0), only=("sum-of-cubes",), ranges=BYTES, whole=("x",))
    assert not result.applied
