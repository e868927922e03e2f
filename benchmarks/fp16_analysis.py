"""How long the FP16 analysis takes: `python -m benchmarks.fp16_analysis [--json]`.

Bounds of graphs of 100, 500 and 1000 nodes (convolutions, products, sums, roots, pooling and
reductions in turn, 8 channels, 64x64), and the quick and the whole check of zoo-sized functions.
Medians of several runs in milliseconds: wall time, and the time of the processor, which other work
on the machine does not change. The project's target is 2 s for the bounds of 500 nodes; nothing
here passes or fails.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from blobsmith.model import Model
from blobsmith.numerics import check, quick_check, repair
from blobsmith.numerics.intervals import analyse
from blobsmith.numerics.network import read
from blobsmith.tensors import TensorSpec

CHANNELS, SIDE = 8, 64


def median_ms(work: Callable[[], object], runs: int = 5) -> tuple[float, float]:
    """Median wall and processor time of `work` after one run that is not counted."""
    work()
    wall, cpu = [], []
    for _ in range(runs):
        began, used = time.perf_counter(), time.process_time()
        work()
        wall.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - used))
    return statistics.median(wall), statistics.median(cpu)


def chain(nodes: int) -> tuple[onnx.ModelProto, tuple[TensorSpec, ...]]:
    """A graph of about this many nodes in blocks of ten, each of them linear and non-linear."""
    rng = np.random.default_rng(0)
    shape = [1, CHANNELS, SIDE, SIDE]
    made: list[onnx.NodeProto] = []
    inits = [
        numpy_helper.from_array(np.asarray(0.5, np.float32), "half"),
        numpy_helper.from_array(np.asarray(1.0, np.float32), "one"),
    ]
    x = "image"
    for block in range(nodes // 10):
        weights = rng.normal(size=(CHANNELS, CHANNELS, 3, 3)).astype(np.float32) / 24
        inits.append(numpy_helper.from_array(weights, f"w{block}"))
        depth = rng.uniform(size=(CHANNELS, 1, 3, 3)).astype(np.float32) / 9
        inits.append(numpy_helper.from_array(depth, f"d{block}"))

        def add(op: str, inputs: list[str], block: int = block, **attrs: object) -> str:
            name = f"{op.lower()}{block}_{len(made)}"
            made.append(helper.make_node(op, inputs, [name], **attrs))
            return name

        conv = add("Conv", [x, f"w{block}"], pads=[1, 1, 1, 1])
        blur = add("Conv", [conv, f"d{block}"], pads=[1, 1, 1, 1], group=CHANNELS)
        detail = add("Sub", [conv, blur])
        square = add("Mul", [detail, detail])
        mean = add("ReduceMean", [square], axes=[1], keepdims=1)
        root = add("Sqrt", [add("Add", [mean, "one"])])
        ratio = add("Div", [detail, root])
        pooled = add("MaxPool", [ratio], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        x = add("Mul", [pooled, "half"])
    made.append(helper.make_node("Identity", [x], ["output"]))
    graph = helper.make_graph(
        made, "chain",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)], inits,
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    return proto, (TensorSpec("image", tuple(shape), "u8"),)


def bounds(proto: onnx.ModelProto, specs: tuple[TensorSpec, ...]) -> None:
    """Both arithmetics, reading the graph included."""
    network = read(proto)
    analyse(network, specs, half=False)
    analyse(network, specs, half=True)


def corner_response(side: int = 300) -> Model:
    """A corner response on levels 0..255: gradients, their products, blurs, determinant, trace."""
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32) / 8
    window = np.outer(*[np.array([1, 4, 6, 4, 1], np.float32) / 16] * 2)
    inits = {
        "gx": sobel[None, None], "gy": sobel.T[None, None].copy(), "g": window[None, None],
        "k": np.asarray(0.04, np.float32),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "gx"], ["dx"], pads=[1] * 4),
        node("Conv", ["image", "gy"], ["dy"], pads=[1] * 4),
        node("Mul", ["dx", "dx"], ["dx2"]),
        node("Mul", ["dy", "dy"], ["dy2"]),
        node("Mul", ["dx", "dy"], ["dxy"]),
        *[node("Conv", [n, "g"], [n + "_b"], pads=[2] * 4) for n in ("dx2", "dy2", "dxy")],
        node("Mul", ["dx2_b", "dy2_b"], ["p"]),
        node("Mul", ["dxy_b", "dxy_b"], ["q"]),
        node("Sub", ["p", "q"], ["det"]),
        node("Add", ["dx2_b", "dy2_b"], ["trace"]),
        node("Mul", ["trace", "trace"], ["trace2"]),
        node("Mul", ["trace2", "k"], ["kt"]),
        node("Sub", ["det", "kt"], ["output"]),
    ]
    shape = (1, 1, side, side)
    graph = helper.make_graph(
        nodes, "corners",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(v, k) for k, v in inits.items()],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    spec = TensorSpec("image", shape, "u8")
    return Model(proto.SerializeToString(), (spec,), (TensorSpec("output", shape, "fp16"),), "")


def measure() -> dict[str, tuple[float, float]]:
    """All figures: wall and processor time in milliseconds."""
    figures: dict[str, tuple[float, float]] = {}
    for nodes in (100, 500, 1000):
        proto, specs = chain(nodes)
        figures[f"bounds of {len(proto.graph.node)} nodes"] = median_ms(
            lambda proto=proto, specs=specs: bounds(proto, specs), 3
        )
    corners = corner_response()
    figures["quick check, corners 300x300"] = median_ms(lambda: quick_check(corners))
    figures["whole check, corners 300x300"] = median_ms(lambda: check(corners), 3)
    figures["repair, corners 300x300"] = median_ms(lambda: repair(corners.proto, corners.inputs), 3)
    return figures


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    figures = measure()
    if parser.parse_args().json:
        print(json.dumps(figures))
        return
    for name, (wall, cpu) in figures.items():
        print(f"{name:34} {wall:8.1f} ms, processor {cpu:8.1f} ms")


if __name__ == "__main__":
    main()
