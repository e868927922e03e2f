"""Pools whose sizes are rounded up: with explicit padding, and torch's sizes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from blobsmith.graph.equivalence import run
from blobsmith.graph.pool_sizes import explicit_pools

TORCH = pytest.importorskip("torch")


def pool(op: str, size: tuple[int, int], **attrs: object) -> onnx.ModelProto:
    """One pool over a picture, its output's shape left open."""
    text = ",".join(f"{k}={v}" for k, v in attrs.items())
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 13]> g (float[1,2,{size[0]},{size[1]}] x) => '
        f"(float[1,2,a,b] y) {{ y = {op}<{text},ceil_mode=1>(x) }}"
    )


# padding of more than half a kernel is refused by torch
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (2, 0), (3, 0), (2, 1), (3, 1)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kind", ["max", "with", "without"])
def test_sizes_and_values_are_those_of_torch(
    kernel: int, stride: int, padding: int, kind: str
) -> None:
    F = TORCH.nn.functional
    x = np.random.default_rng(0).uniform(-9, 9, (1, 2, 17, 20)).astype(np.float32)
    given = TORCH.from_numpy(x)
    attrs: dict[str, object] = {
        "kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [padding] * 4
    }  # fmt: skip
    if kind == "max":
        proto = pool("MaxPool", (17, 20), **attrs)
        wanted = F.max_pool2d(given, kernel, stride, padding, 1, True)
    else:
        proto = pool("AveragePool", (17, 20), count_include_pad=int(kind == "with"), **attrs)
        wanted = F.avg_pool2d(given, kernel, stride, padding, True, kind == "with")
    explicit = explicit_pools(proto)
    assert not any(a.name == "ceil_mode" for n in explicit.graph.node for a in n.attribute)
    dims = [d.dim_value for d in explicit.graph.output[0].type.tensor_type.shape.dim]
    assert dims == list(wanted.shape)
    np.testing.assert_allclose(run(explicit, {"x": x})["y"], wanted.numpy(), atol=1e-5)


def test_a_graph_without_them_is_returned_as_it_is() -> None:
    proto = pool("MaxPool", (8, 8), kernel_shape=[2, 2])
    proto.graph.node[0].attribute.pop()
    assert explicit_pools(proto) is proto
