"""Every stage type: a small ONNX, compiled here, executed, compared with ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from blobsmith.emulator import Emulator

from . import battery_filters, battery_maps, battery_moves
from .models import Case, reference, stage_names, ulp

CASES = [*battery_filters.CASES, *battery_maps.CASES, *battery_moves.CASES]

VERIFIED = """
Conv MaxPool AvgPool SoftMax FC Relu DepthConv Bias PRelu LRN Sum Prod Max Copy Sigmoid Tanh
Deconvolution Elu Power Tile Permute MyriadXHwOp LeakyRelu BiasRelu BiasLeakyRelu ScaleShift
Im2ColConvolution Clamp GlobalMaxPool MVN Interp Pad Resample Upsampling Min Equal Greater Less
Logical_NOT Logical_AND Pow Select GEMM Log Gather Exp Floor TopK ReduceMin Erf Convert ReduceMax
ReduceMean Mish Gelu StridedSlice SoftPlus Swish HSwish Ceiling GatherElements Round Abs
"""
"""The stage types that docs/blob-format.md section 3 marks as seen in bytes."""


@pytest.mark.usefixtures("toolchain")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_operator_within_fp16_rounding(case: Case) -> None:
    feeds = case.feeds()
    expected = reference(case.data, feeds)["y"].astype(np.float64)
    for blob, wanted in zip(case.blobs, case.stages, strict=True):
        names = stage_names(blob)
        assert set(wanted) <= names, f"the blob has {sorted(names)}"
        result = Emulator(blob).run(feeds)["y"]
        assert result.shape == expected.shape
        if result.dtype == np.int32:
            np.testing.assert_array_equal(result, expected)
            continue
        error = np.abs(result.astype(np.float64) - expected)
        limit = case.ulps * ulp(expected) + case.atol
        worst = int(np.argmax(error - limit))
        assert (error <= limit).all(), (
            f"{sorted(names)}: {result.flat[worst]} for {expected.flat[worst]}"
        )
        assert np.ptp(expected) > 0, "the case proves nothing: its output does not vary"


def test_the_battery_has_every_verified_stage_type() -> None:
    listed = {name for case in CASES for pair in case.stages for name in pair}
    assert set(VERIFIED.split()) <= listed


@pytest.mark.usefixtures("toolchain")
def test_the_battery_has_every_kind_of_hardware_operation() -> None:
    stages = [stage for case in battery_filters.CASES for stage in case.blobs[0].stages]
    ops = [op for stage in stages for op in stage.hw_ops]
    assert {op.op_type for op in ops} == {0, 1, 4}  # convolution, with pooling, pooling
    assert {op.pool_type for op in ops if op.op_type == 4} == {0, 1}
    assert {0, 3, 12, 15} <= {op.pad_mode for op in ops}
    assert {op.stride for op in ops} >= {1, 2, 3}
    assert {(0, 0, 1), (0, 1, 8)} <= {op.relu for op in ops}  # plain, leaky by 1/8
    assert any(op.clamp_max == 6 for op in ops)
    assert any(op.out_chan_offset for op in ops)
    assert any(op.scales >= 0 and op.biases >= 0 for op in ops)
    assert any(stage.injected for stage in stages)


@pytest.mark.usefixtures("toolchain")
@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.name in ("conv5", "conv3-tall", "grouped", "max3-stride2", "deconv4")],
    ids=lambda case: case.name,
)
def test_results_do_not_depend_on_unwritten_memory(case: Case) -> None:
    feeds = case.feeds()
    for blob in case.blobs:
        clean, poisoned = Emulator(blob), Emulator(blob, poison=True)
        np.testing.assert_array_equal(clean.run(feeds)["y"], poisoned.run(feeds)["y"])
