"""Pads, scatters, sequences, einsum, rank 0, reductions and products in the forms that compile."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from .helpers import IMAGE, Case, check_blob, check_graph

INF = np.inf
COLOUR = [[0.4, 0.3, 0.3], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]
STRIPES = np.stack(
    np.meshgrid([0], [1], np.arange(0, 12, 2), np.arange(16), indexing="ij"), -1
).astype(np.int64)
BOX = np.stack(
    np.meshgrid([0], [0, 1, 2], np.arange(3, 7), np.arange(2, 9), indexing="ij"), -1
).astype(np.int64)

CASES = [
    # pads
    Case("pad-minus-infinity", "p = Pad(x, a, v) y = MaxPool<kernel_shape=[3,3]>(p)",
         ("pad-infinite",), constants={"a": [0, 0, 1, 1, 0, 0, 1, 1], "v": -INF}),
    Case("pad-no-value", 'y = Pad(x, a, "")', ("pad-form",), y="float[1,3,14,18]",
         constants={"a": [0, 0, 1, 1, 0, 0, 1, 1]}),
    Case("pad-negative", "y = Pad(x, a)", ("pad-form",), y="float[1,3,10,17]",
         constants={"a": [0, 0, -1, 2, 0, 0, -1, -1]}),
    Case("pad-negative-reflect", 'y = Pad<mode="reflect">(x, a)', ("pad-form",),
         y="float[1,3,10,17]", constants={"a": [0, 0, -1, 2, 0, 0, -1, -1]}),
    Case("pad-rank-2", "y = Pad(x, a, v)", ("pad-form",), x="float[6,8]", y="float[8,11]",
         constants={"a": [1, 1, 1, 2], "v": 5.0}),
    Case("pad-rank-5", "y = Pad(x, a)", ("pad-form",), x="float[1,2,3,6,8]",
         y="float[1,2,5,8,10]", constants={"a": [0, 0, 1, 1, 1, 0, 0, 1, 1, 1]}),
    Case("pad-rank-5-edge", 'y = Pad<mode="edge">(x, a)', ("pad-form",), x="float[1,2,3,6,8]",
         y="float[1,4,3,8,8]", constants={"a": [0, 1, 0, 1, 0, 0, 1, 0, 1, 0]}),
    Case("pad-batch", "y = Pad(x, a)", ("pad-form",), x="float[2,3,4,5]", y="float[3,3,4,7]",
         constants={"a": [1, 0, 0, 1, 0, 0, 0, 1]}),
    # scatter
    Case("scatter-box", "y = ScatterND(x, i, z)", ("scatter-constant",), z="float[1,3,4,7]",
         constants={"i": BOX}, gone=("ScatterND",)),
    Case("scatter-stripes", "y = ScatterND(x, i, z)", ("scatter-constant",), z="float[1,1,6,16]",
         constants={"i": STRIPES}, gone=("ScatterND",)),
    Case("scatter-into-zeros", "y = ScatterND(o, i, x)", ("scatter-constant",), x="float[1,3,4,7]",
         constants={"i": BOX, "o": np.zeros((1, 3, 12, 16))}, gone=("ScatterND",)),
    Case("scatter-mask-into-false",
         "m = Greater(x, k) s = ScatterND(o, i, m) y = Cast<to=1>(s)", ("scatter-constant",),
         x="float[1,3,4,7]", gone=("ScatterND",),
         constants={"i": BOX, "o": np.zeros((1, 3, 12, 16), bool), "k": 100.0}),
    Case("scatter-rows", "y = ScatterND(x, i, z)", ("scatter-constant",), x="float[6,8]",
         z="float[2,8]", y="float[6,8]", constants={"i": [[4], [1]]}, gone=("ScatterND",)),
    Case("scatter-everything", "s = ScatterND(x, i, z) y = Sub(s, x)", ("scatter-constant",),
         x="float[4,8]",
         z="float[4,8]", y="float[4,8]", constants={"i": [[2], [0], [3], [1]]},
         gone=("ScatterND",)),
    Case("scatter-adds", 'y = ScatterND<reduction="add">(x, i, z)', ("scatter-constant",),
         x="float[6,8]", z="float[2,8]", y="float[6,8]", constants={"i": [[4], [1]]},
         gone=("ScatterND",), opset=16),
    Case("scatter-elements", "y = ScatterElements<axis=1>(x, i, z)", ("scatter-constant",),
         x="float[4,8]", z="float[4,2]", y="float[4,8]", gone=("ScatterElements",),
         constants={"i": [[0, 3], [1, 2], [7, 5], [4, -1]]}),
    Case("scatter-one-hot", "c = Cast<to=7>(x) y = ScatterElements<axis=1>(o, c, z)",
         ("scatter-computed",), x="float[1,1,6,8]", z="float[1,1,6,8]", y="float[1,5,6,8]",
         constants={"o": np.zeros((1, 5, 6, 8))}, gone=("ScatterElements",), high=4.0),
    Case("histogram", 'c = Cast<to=7>(x) y = ScatterElements<axis=1,reduction="add">(o, c, n)',
         ("scatter-computed",), x="float[4,300]", y="float[4,16]", opset=16, high=15.0,
         constants={"o": np.zeros((4, 16)), "n": np.ones((4, 300))}, gone=("ScatterElements",)),
    # gathers
    Case("gather-elements-constant", "y = GatherElements<axis=3>(x, i)", ("gather-elements",),
         y="float[1,3,12,4]", gone=("GatherElements",),
         constants={"i": np.random.default_rng(0).integers(-16, 16, (1, 3, 12, 4))}),
    Case("gather-elements-computed", "c = Cast<to=7>(z) y = GatherElements<axis=1>(x, c)",
         ("gather-elements",), x="float[1,5,6,8]", z="float[1,1,6,8]", y="float[1,1,6,8]",
         gone=("GatherElements",), high=4.0),
    Case("gather-nd", "y = GatherND(x, i)", ("gather-nd",), x="float[6,8,3]", y="float[4,3]",
         constants={"i": [[0, 1], [2, 3], [5, 7], [-1, -2]]}, gone=("GatherND",)),
    # sequences
    Case("unbind", "s = SplitToSequence<axis=1,keepdims=0>(x) a = SequenceAt(s, i) "
         "b = SequenceAt(s, j) y = Sub(a, b)", ("sequence-to-slices",), y="float[1,12,16]",
         constants={"i": 0, "j": 2}, gone=("SplitToSequence", "SequenceAt")),
    Case("split-sizes", "s = SplitToSequence<axis=3>(x, n) y = SequenceAt(s, i)",
         ("sequence-to-slices",), y="float[1,3,12,6]", constants={"n": [4, 6, 6], "i": 1},
         gone=("SplitToSequence",)),
    Case("stack", "s = SequenceConstruct(x, z) y = ConcatFromSequence<axis=1,new_axis=1>(s)",
         ("sequence-to-slices",), z=IMAGE, y="float[1,2,3,12,16]", gone=("ConcatFromSequence",)),
    # einsum
    Case("einsum-colour", 'y = Einsum<equation="oc,bchw->bohw">(m, x)', ("einsum",),
         constants={"m": COLOUR}, gone=("Einsum",)),
    Case("einsum-dots", 'y = Einsum<equation="...chw,oc->...ohw">(x, m)', ("einsum",),
         constants={"m": COLOUR}, gone=("Einsum",)),
    Case("einsum-product", 'y = Einsum<equation="bij,bjk->bik">(x, z)', ("einsum",),
         x="float[3,4,5]", z="float[3,5,6]", y="float[3,4,6]", high=9.0, gone=("Einsum",)),
    Case("einsum-outer", 'y = Einsum<equation="bi,bj->bij">(x, z)', ("einsum",), x="float[3,4]",
         z="float[3,5]", y="float[3,4,5]", high=9.0, gone=("Einsum",)),
    Case("einsum-sums", 'y = Einsum<equation="bchw,bchw->bhw">(x, z)', ("einsum",), z=IMAGE,
         y="float[1,12,16]", high=9.0, gone=("Einsum",)),
    Case("einsum-transposes", 'y = Einsum<equation="bchw->bwhc">(x)', ("einsum",),
         y="float[1,16,12,3]", gone=("Einsum",)),
    # rank 0
    Case("whole-mean", "m = ReduceMean<keepdims=0>(x) y = Sub(x, m)", ("rank-zero",)),
    Case("whole-mean-output", "y = ReduceMean<keepdims=0>(x)", ("rank-zero",), y="float"),
    Case("scalar-arithmetic", "m = ReduceMax<keepdims=0>(x) d = Add(m, k) y = Div(x, d)",
         ("rank-zero",), constants={"k": 1.0}, error=1e-6),
    # forms
    Case("reduce-short-last", "y = ReduceSum<keepdims=0>(x, a)", ("reduce-upright",),
         x="float[3,600,5]", y="float[3,600]", constants={"a": [-1]}, high=100.0),
    Case("reduce-short-middle", "y = ReduceMax<axes=[1],keepdims=0>(x)", ("reduce-upright",),
         x="float[100,3,40]", y="float[100,40]"),
    Case("matmul-constant-right", "y = MatMul(x, m)", ("matmul-form",), x="float[1,30,3]",
         y="float[1,30,3]", constants={"m": COLOUR}),
    Case("matmul-one-column", "y = MatMul(x, m)", ("matmul-form",), x="float[4,8,6]",
         y="float[4,8,1]", constants={"m": np.full((6, 1), 0.125)}),
    Case("matmul-rank-5", "y = MatMul(x, z)", ("matmul-form",), x="float[1,2,3,8,4]",
         z="float[1,2,3,4,5]", y="float[1,2,3,8,5]", high=15.0),
    Case("matmul-of-many-vectors", "y = MatMul(x, z)", ("matmul-form",), x="float[1,20,30,1,3]",
         z="float[1,20,30,3,1]", y="float[1,20,30,1,1]", high=15.0),
    # folding and outputs
    Case("constants-folded", "s = Shape(x) f = Cast<to=1>(s) g = Gather(f, i) y = Mul(x, g)",
         ("shape-known", "fold-constants"), constants={"i": 2}, high=20.0,
         gone=("Shape", "Gather")),
    Case("where-constant-mask", "c = Cast<to=9>(m) w = Where(c, x, k) y = Add(w, k)",
         ("fold-constants", "where-decided"), constants={"m": np.ones((1, 3, 12, 16)), "k": 1.0},
         gone=("Where",)),
    Case("output-is-input", "y = Identity(x)", ("output-of-its-own",), gone=("Identity",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_graph(case: Case) -> None:
    """The operators are gone and FP32 gives the same."""
    check_graph(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_blob(case: Case, compile_blob: Callable[..., bytes]) -> None:
    """The blob gives on the emulator what FP32 gave."""
    check_blob(case, compile_blob)
