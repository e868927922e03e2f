"""What the analysis says of constants is what the real compiler does to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from blobsmith.blob import Blob
from blobsmith.blob.records import Location
from blobsmith.numerics import constants
from blobsmith.numerics.folding import changed_share, factor
from blobsmith.numerics.fp16 import snap
from blobsmith.numerics.intervals import analyse
from blobsmith.numerics.network import read
from blobsmith.tensors import TensorSpec

from ..graphs import model

F = np.float32
SHAPE = (1, 3, 16, 16)
SPEC = TensorSpec("x", SHAPE, "u8")
Compile = Callable[..., bytes]


def node(op: str, inputs: list[str], output: str = "y", **attrs: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], **attrs)


def graph(nodes: list[onnx.NodeProto], made: dict[str, Any]) -> onnx.ModelProto:
    return model(nodes, {"x": SHAPE}, {"y": SHAPE}, made)


def stored(blob: Blob) -> np.ndarray:
    """All FP16 constants of a blob."""
    found = []
    for stage in blob.stages:
        for buffer in stage.buffers:
            if buffer.location is Location.BLOB and buffer.desc.dtype == "fp16":
                start = blob.const_offset + buffer.offset
                found.append(np.frombuffer(blob.data, "<f2", buffer.desc.elements, start))
    return np.concatenate(found) if found else np.zeros(0, np.float16)


def powers(blob: Blob) -> list[tuple[float, float]]:
    """Bias and scale of the Power stages."""
    return [
        (float(s.fields["bias"]), float(s.fields["scale"]))  # type: ignore[arg-type]
        for s in blob.stages
        if s.type_name == "Power" and s.fields["power"] == 1.0
    ]


@pytest.mark.parametrize(
    ("constant", "kept"), [(1e-6, False), (5e-6, False), (1.01e-5, True), (-2e-5, True)]
)
def test_small_scalar_additions_are_dropped(
    compile_blob: Compile, constant: float, kept: bool
) -> None:
    proto = graph([node("Add", ["x", "c"], "a"), node("Exp", ["a"])], {"c": F(constant)})
    blob = Blob.from_bytes(compile_blob(proto))
    assert bool(powers(blob)) == kept
    network = read(proto)
    assert bool(constants.compiled(network, network.nodes[0], 1)) == kept
    if kept:
        assert powers(blob)[0][0] == pytest.approx(constant, rel=1e-6), "exact, in FP32"


def test_channel_constants_are_snapped(compile_blob: Compile) -> None:
    values = np.array([1e-6, 3.24e-5, 9e4], F).reshape(1, 3, 1, 1)
    proto = graph([node("Mul", ["x", "c"])], {"c": values})
    blob = Blob.from_bytes(compile_blob(proto))
    wanted = snap(values).reshape(-1)
    assert stored(blob)[:3].astype(F).tolist() == wanted.tolist() == [0.0, 2.0**-14, 65504.0]


@pytest.mark.parametrize("hardware", [True, False])
def test_convolution_weights_are_snapped_before_the_engine_scales_them(
    compile_blob: Compile, hardware: bool
) -> None:
    weights = np.full((3, 3, 3, 3), 1e-6, F)
    weights[0] = 3.24e-5
    proto = graph([node("Conv", ["x", "w"], pads=[1] * 4)], {"w": weights})
    blob = Blob.from_bytes(compile_blob(proto, hardware=hardware))
    found = np.unique(stored(blob).astype(F))
    mantissas = {float(np.frexp(v)[0]) for v in found if v}
    assert mantissas == {0.5}, "2^-14 times a power of two, and zeros"


@pytest.mark.parametrize(
    ("nodes", "folded"),
    [
        ([node("Mul", ["x", "c"], "m"), node("Conv", ["m", "w"], pads=[1] * 4)], True),
        ([node("Div", ["x", "d"], "m"), node("Conv", ["m", "w"], pads=[1] * 4)], True),
        ([node("Conv", ["x", "w"], "m", pads=[1] * 4), node("Mul", ["m", "c"])], True),
        ([node("Conv", ["x", "w"], "m", pads=[1] * 4), node("Add", ["m", "b"], "a"),
          node("Mul", ["a", "c"])], True),
        ([node("Mul", ["x", "p"], "m"), node("Conv", ["m", "w"], pads=[1] * 4)], True),
        ([node("Mul", ["x", "c"], "m"), node("Relu", ["m"], "r"),
          node("Conv", ["r", "w"], pads=[1] * 4)], False),
        ([node("Conv", ["x", "w"], "m", pads=[1] * 4), node("Clip", ["m", "lo", "hi"], "r"),
          node("Mul", ["r", "c"])], False),
    ],
)  # fmt: skip
def test_factors_beside_a_convolution_are_folded_as_the_compiler_does(
    compile_blob: Compile, nodes: list[onnx.NodeProto], folded: bool
) -> None:
    """Folded, no Power stage is left; the analysis says the same."""
    rng = np.random.default_rng(0)
    made = {
        "w": rng.uniform(0.5, 1, (3, 3, 3, 3)).astype(F), "c": F(2**-6), "d": F(64),
        "b": np.array([1, 2, 3], F).reshape(1, 3, 1, 1), "lo": F(-65504), "hi": F(65504),
        "p": np.array([1, 2, 4], F).reshape(1, 3, 1, 1) / 64,
    }  # fmt: skip
    used = {name for n in nodes for name in n.input}
    proto = graph(nodes, {k: v for k, v in made.items() if k in used})
    blob = Blob.from_bytes(compile_blob(proto))
    assert (not any(s.type_name == "Power" for s in blob.stages)) == folded
    network = read(proto)
    conv = next(n for n in network.nodes if n.op == "Conv")
    assert (factor(network, conv) is not None) == folded


def test_harm_is_told_from_harmless_loss() -> None:
    """The 1e-6 under Sobel's root changes nothing; that under a division may make it infinite."""
    harmless = graph(
        [node("Mul", ["x", "x"], "s"), node("Add", ["s", "e"], "g"), node("Sqrt", ["g"])],
        {"e": F(1e-6)},
    )
    harmful = graph([node("Add", ["x", "e"], "g"), node("Div", ["x", "g"])], {"e": F(1e-6)})
    for proto, expected in ((harmless, False), (harmful, True)):
        network = read(proto)
        (found,) = constants.survey(network, analyse(network, [SPEC], half=False))
        assert found.harmful is expected
        assert found.becomes == 0.0
        assert "1e-4" in found.advice


def test_a_kernel_lost_to_folding_is_reported() -> None:
    nodes = [node("Div", ["x", "d"], "m"), node("Conv", ["m", "w"], group=3, pads=[5] * 4)]
    kernel = np.full((3, 1, 11, 11), 1 / 121, F)
    network = read(graph(nodes, {"d": F(255), "w": kernel}))
    found = constants.survey(network, analyse(network, [SPEC], half=False))
    kernels = [c for c in found if c.op == "Conv"]
    assert len(kernels) == 1
    assert kernels[0].harmful
    assert kernels[0].lifted == kernel.size
    assert kernels[0].error == pytest.approx(0.88, abs=0.01)
    assert changed_share(kernel) == 0.0
    assert changed_share(kernel, 1 / 255) == pytest.approx(0.88, abs=0.01)


def test_ordinary_constants_are_not_reported() -> None:
    proto = graph([node("Mul", ["x", "c"], "m"), node("Add", ["m", "d"])],
                  {"c": F(0.1), "d": np.array([1, 0, -3], F).reshape(1, 3, 1, 1)})  # fmt: skip
    network = read(proto)
    assert constants.survey(network, analyse(network, [SPEC], half=False)) == ()
