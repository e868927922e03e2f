"""Small graphs in ONNX's own text form, and what the needed rules must make of each.

A case is rewritten, compared with itself before in ONNX Runtime, compiled, and run on the emulator:
a rule is only good if the compiler takes its result and FP16 does not spoil it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

from blobsmith.blob import Blob
from blobsmith.emulator import Emulator
from blobsmith.graph.equivalence import run
from blobsmith.graph.rewrites import RewriteResult, rewrite
from blobsmith.verify import compare_output

Array = np.ndarray[Any, Any]
IMAGE = "float[1,3,12,16]"


@dataclass(frozen=True)
class Case:
    """One graph.

    Attributes:
        name: shown by pytest.
        body: nodes in ONNX text form, from inputs to `y`.
        y: type of the output.
        x: type of the input `x`.
        z: type of a second input, "" if there is none.
        constants: initializers by name.
        rules: rules that must have been applied.
        gone: operators that must not be left.
        opset: of the graph.
        low, high: range of the inputs.
        whole: the inputs hold integers, as U8 ones do.
        error: largest error in FP32, as a share of the output's range.
        thresholded: the output depends on comparisons.
    """

    name: str
    body: str
    rules: tuple[str, ...]
    y: str = IMAGE
    x: str = IMAGE
    z: str = ""
    constants: Mapping[str, Any] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    opset: int = 13
    low: float = 0.0
    high: float = 255.0
    whole: bool = True
    error: float = 1e-5
    thresholded: bool = False

    def __str__(self) -> str:
        return self.name


def model(case: Case) -> onnx.ModelProto:
    """The case's graph as a model."""
    inputs = f"{case.x} x" + (f", {case.z} z" if case.z else "")
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {case.opset}]> '
        f"g ({inputs}) => ({case.y} y) {{ {case.body} }}"
    )
    for name, value in case.constants.items():
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    return proto


def feeds(case: Case, proto: onnx.ModelProto) -> list[dict[str, Array]]:
    """Noise, a ramp, all low and all high."""
    rng = np.random.default_rng(1)
    sets: list[dict[str, Array]] = [{}, {}, {}, {}]
    for value in proto.graph.input:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        unit = rng.random(shape)
        ramp = np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
        columns = (unit, ramp, np.zeros(shape), np.ones(shape))
        for feed, column in zip(sets, columns, strict=True):
            array = case.low + column * (case.high - case.low)
            feed[value.name] = (np.rint(array) if case.whole else array).astype(np.float32)
    return sets


def rewritten(case: Case) -> tuple[onnx.ModelProto, RewriteResult]:
    """The graph before, and the result of the needed rules."""
    proto = model(case)
    names = [value.name for value in proto.graph.input]
    ranges = dict.fromkeys(names, (case.low, case.high))
    whole = names if case.whole else []
    return proto, rewrite(proto, sets=("needed",), ranges=ranges, whole=whole)


def check_graph(case: Case) -> None:
    """The rules apply, the operators are gone, and FP32 gives the same."""
    before, result = rewritten(case)
    applied = {a.rule for a in result.applied}
    assert set(case.rules) <= applied, (applied, result.rejected)
    left = {n.op_type for n in result.proto.graph.node}
    assert not left & set(case.gone)
    onnx.checker.check_model(result.proto)
    assert result.proto.opset_import[0].version <= 15
    pairs = [(run(before, f)["y"], run(result.proto, f)["y"]) for f in feeds(case, before)]
    wanted = np.concatenate([w.reshape(-1) for w, _ in pairs])
    got = np.concatenate([g.reshape(-1) for _, g in pairs])
    finite = np.isfinite(wanted)
    span = float(np.ptp(wanted[finite]))
    assert np.abs(got - wanted)[finite].max() <= case.error * span


def check_blob(case: Case, compile_blob: Callable[..., bytes]) -> None:
    """The compiler takes it, and the emulator gives what FP32 gave, within verify's tolerance."""
    before, result = rewritten(case)
    dtype = "u8" if case.whole and case.low >= 0 and case.high <= 255 else "fp16"
    emulator = Emulator(Blob.from_bytes(compile_blob(result.proto, inputs=dtype)))
    wanted, got = [], []
    for feed in feeds(case, before):
        given = {n: a.astype(np.uint8 if dtype == "u8" else np.float16) for n, a in feed.items()}
        exact = {n: a.astype(np.float32) for n, a in given.items()}
        wanted.append(run(before, exact)["y"].reshape(-1))
        got.append(np.asarray(emulator.run(given)["y"]).reshape(-1))
    comparison = compare_output("y", wanted, got, thresholded=case.thresholded)
    assert comparison.passed, comparison.reason
