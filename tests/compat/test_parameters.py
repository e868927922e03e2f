"""blobconverter's parameter strings."""

from __future__ import annotations

import pytest

from blobsmith.compat.parameters import (
    CompileParameters,
    OptimizerParameters,
    compile_tool,
    optimizer,
)
from blobsmith.errors import UsageError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], OptimizerParameters()),
        (
            ["--mean_values=[127.5,127.5,127.5]", "--scale_values=[255,255,255]"],
            OptimizerParameters(mean=(127.5,) * 3, scale=(255.0,) * 3),
        ),
        (["--mean_values=data[1,2,3]"], OptimizerParameters(mean=(1.0, 2.0, 3.0))),
        (["--scale=255"], OptimizerParameters(scale=(255.0,))),
        (["--reverse_input_channels"], OptimizerParameters(reverse=True)),
        (
            ["--input=a,b", "--input_shape=[1,3,4,4],[1,8]", "--output=y"],
            OptimizerParameters(shapes=((1, 3, 4, 4), (1, 8)), inputs=("a", "b"), outputs=("y",)),
        ),
        (["--data_type=FP16"], OptimizerParameters()),
    ],
)
def test_optimizer(given: list[str], expected: OptimizerParameters) -> None:
    assert optimizer(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        ["--transform=LowLatency"],
        ["--mean_values=[a]"],
        ["--mean_values=a[1,2,3],b[4,5,6]"],
        ["--data_type=INT8"],
    ],
)
def test_what_is_not_supported_is_an_error(given: list[str]) -> None:
    with pytest.raises(UsageError):
        optimizer(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], CompileParameters()),
        (["-ip U8"], CompileParameters("u8")),
        (["-ip", "FP16", "-op FP32"], CompileParameters("fp16", "fp32")),
        (
            ['-iop "img:U8, y:FP32"'],
            CompileParameters(named=(("img", "u8"), ("y", "fp32"))),
        ),
    ],
)
def test_compile_tool(given: list[str], expected: CompileParameters) -> None:
    assert compile_tool(given) == expected


@pytest.mark.parametrize("given", [["-ip INT4"], ["-VPU_NUMBER_OF_SHAVES 4"], ["-ip"]])
def test_unknown_compile_parameters_are_errors(given: list[str]) -> None:
    with pytest.raises(UsageError):
        compile_tool(given)
