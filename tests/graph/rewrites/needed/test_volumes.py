"""Filters and pools over volumes, dilated pools, transposed convolutions in groups, odd scales."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from .helpers import Array, Case, check_blob, check_graph

RNG = np.random.default_rng(3)


def kernel(*shape: int) -> Array:
    """Weights that sum up to about 1."""
    return (RNG.uniform(-0.5, 1, shape) / np.prod(shape[1:])).astype(np.float32)


CLIP = "float[1,2,5,12,16]"
CASES = [
    Case("volume-filter", "y = Conv(x, w, b)", ("volume-filter",), x=CLIP, y="float[1,4,3,10,14]",
         constants={"w": kernel(4, 2, 3, 3, 3), "b": np.arange(4.0)}),
    Case("volume-filter-padded", "y = Conv<pads=[1,0,1,0,2,1],strides=[2,1,1]>(x, w)",
         ("volume-filter",), x=CLIP, y="float[1,3,2,12,16]",
         constants={"w": kernel(3, 2, 3, 3, 3)}),
    Case("volume-filter-groups", "y = Conv<group=2,dilations=[2,1,1],pads=[0,1,1,0,1,1]>(x, w)",
         ("volume-filter",), x=CLIP, y="float[1,4,1,12,16]",
         constants={"w": kernel(4, 1, 3, 3, 3)}),
    Case("volume-max-pool", "y = MaxPool<kernel_shape=[2,3,3],strides=[2,1,1]>(x)",
         ("volume-pool",), x=CLIP, y="float[1,2,2,10,14]"),
    Case("volume-mean-pool", "y = AveragePool<kernel_shape=[3,2,2],strides=[1,2,2]>(x)",
         ("volume-pool",), x=CLIP, y="float[1,2,3,6,8]"),
    Case("dilated-pool", "y = MaxPool<kernel_shape=[3,3],dilations=[2,2],pads=[1,1,1,1]>(x)",
         ("dilated-max-pool",), y="float[1,3,10,14]", gone=("MaxPool",)),
    Case("dilated-pool-strides",
         "y = MaxPool<kernel_shape=[2,3],dilations=[3,2],strides=[2,3],ceil_mode=1>(x)",
         ("dilated-max-pool",), y="float[1,3,5,5]", gone=("MaxPool",)),
    Case("partial-mean", "y = AveragePool<kernel_shape=[3,3],pads=[1,1,1,1]>(x)",
         ("partial-mean",)),
    Case("partial-mean-strides",
         "y = AveragePool<kernel_shape=[3,4],pads=[1,2,1,2],strides=[2,3]>(x)",
         ("partial-mean",), y="float[1,3,6,6]"),
    Case("lopsided-mean", "y = AveragePool<kernel_shape=[3,3],pads=[0,0,1,1],strides=[3,3],"
         "count_include_pad=1>(x)", ("lopsided-pool",), y="float[1,3,4,5]"),
    Case("pad-before-a-mean", "p = Pad(x, q) y = AveragePool<kernel_shape=[3,3],strides=[3,3]>(p)",
         ("lopsided-pool",), y="float[1,3,4,5]", constants={"q": [0, 0, 0, 0, 0, 0, 0, 1]}),
    Case("lopsided-maximum", "y = MaxPool<kernel_shape=[3,3],pads=[0,1,2,0],strides=[2,2]>(x)",
         ("lopsided-pool",), y="float[1,3,6,8]", low=-200.0, high=-10.0),
    Case("transposed-groups", "y = ConvTranspose<group=3,strides=[2,2]>(x, w)",
         ("grouped-transposed",), y="float[1,6,26,34]", constants={"w": kernel(3, 2, 4, 4)}),
    Case("resize-cubic-corners", 'y = Resize<mode="cubic",cubic_coeff_a=-0.75,'
         'coordinate_transformation_mode="align_corners">(x, "", "", s)', ("resize-by-matrices",),
         y="float[1,3,19,27]", constants={"s": [1, 3, 19, 27]}, gone=("Resize",), error=1e-4),
    Case("resize-odd-scale", 'y = Resize<mode="linear">(x, "", s)', ("resize-by-matrices",),
         y="float[1,3,32,43]", constants={"s": [1.0, 1.0, 2.7, 2.7]}, gone=("Resize",),
         error=1e-4),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_graph_computes_the_same(case: Case) -> None:
    check_graph(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_blob_computes_the_same(case: Case, compile_blob: Callable[..., bytes]) -> None:
    check_blob(case, compile_blob)
