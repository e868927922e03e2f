"""The cost model: its arithmetic, its features against the published anchors, its caveats.

The expected milliseconds of the recipes come from the study in which the model was fitted
(docs/cost-model.md): every form was compiled at 8 shaves and priced by a program of its own.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from blobsmith.blob import Blob
from blobsmith.cost import CostParameters, Features, features, predict, stage_features

from .blob.assemble import BSS, CMX, CONST, INPUT, OUTPUT, Assembler, words
from .recipes import RECIPES, Recipe, export

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter's, about tracing
ROOT = Path(__file__).parents[1]
Compile = Callable[..., bytes]


def convolution(*, mode: int = 0, stride: int = 1, pool: int = 0, shape: Sequence[int]) -> Blob:
    """One hardware convolution 3x3 from input to output, put together by hand."""
    width, height, channels, _ = shape
    out = (width // stride // (pool or 1), height // stride // (pool or 1), 8, 1)
    made = Assembler(shaves=8)
    made.io(INPUT, "x", shape)
    made.io(OUTPUT, "y", out)
    weights = made.constant(bytes(8 * 9 * channels * 2))
    kind = 1 if pool else 0
    params = words(1, kind, mode, 1, 0, 0, 2, 1, -1, -1, 0, 8, 3, 3, stride)
    params += words(*([pool, pool] if pool else []), 0, 0, 0, 0, 0)
    operands = [
        made.buffer(shape, INPUT),
        made.buffer((8, 9, channels, 1), CONST, weights),
        made.buffer(out, OUTPUT),
    ]
    made.stages.append(made.record(38, params, words(3) + b"".join(operands)))
    return Blob.from_bytes(made.blob())


@pytest.mark.parametrize(
    ("mode", "channels", "cycles"),
    [(0, 5, 5 * 9), (1, 5, 3 * 9 + 5), (2, 5, 2 * 9 + 11), (3, 16, 2 * 9 + 19), (4, 16, 9 + 31)],
)
def test_engine_cycles_of_a_pixel(mode: int, channels: int, cycles: int) -> None:
    blob = convolution(mode=mode, shape=(16, 6, channels, 1))
    assert features(blob).engine_cycles == 16 * 6 * cycles


def test_a_fused_pool_is_computed_before_pooling() -> None:
    plain = convolution(shape=(16, 8, 4, 1))
    pooled = convolution(shape=(16, 8, 4, 1), pool=2)
    assert features(pooled).engine_cycles == features(plain).engine_cycles


def test_hardware_bytes() -> None:
    found = features(convolution(shape=(16, 6, 4, 1)))
    assert found.ddr_bytes == 2 * (16 * 6 * 4 + 8 * 9 * 4 + 16 * 6 * 8)
    assert found.dispatches == 1


def softmax(kind: int, shaves: int) -> Blob:
    """An activation from DDR to CMX and a copy back."""
    made = Assembler(shaves=8, bss=4096)
    made.io(INPUT, "x", (10, 4, 4, 1))
    made.io(OUTPUT, "y", (10, 4, 4, 1))
    shape = (10, 4, 4, 1)
    params = {3: words(0), 20: b"", 135: words(1.0), 21: b""}[kind]
    source, target = made.buffer(shape, INPUT), made.buffer(shape, CMX)
    made.stage(kind, params, source, target, shaves=shaves)
    made.stage(19, b"", made.buffer(shape, CMX), made.buffer(shape, BSS))
    made.stage(19, b"", made.buffer(shape, BSS), made.buffer(shape, OUTPUT))
    return Blob.from_bytes(made.blob())


@pytest.mark.parametrize(("kind", "shaves", "elements"), [(3, 4, 40), (20, 2, 80), (135, 8, 20)])
def test_activations_over_the_shaves_granted(kind: int, shaves: int, elements: float) -> None:
    found = features(softmax(kind, shaves))
    assert found.activation_elements == elements
    assert found.ddr_bytes == 4 * 320
    assert found.dispatches == 3


def test_other_functions_are_no_activations() -> None:
    assert features(softmax(21, 4)).activation_elements == 0


def test_the_sum_is_the_model() -> None:
    blob = softmax(3, 4)
    parameters = CostParameters(1e6, 1e6, 1e-3, 1.0)
    prediction = predict(blob, parameters)
    found = features(blob)
    assert found == sum((stage_features(stage) for stage in blob.stages), Features())
    assert prediction.engine_ms == 0
    assert prediction.memory_ms == pytest.approx(found.ddr_bytes / 1e3)
    assert prediction.activation_ms == pytest.approx(40.0)
    assert prediction.dispatch_ms == pytest.approx(3000.0)
    assert prediction.total_ms == pytest.approx(sum(s.total_ms for s in prediction.per_stage))
    assert prediction.fps == pytest.approx(2000 / prediction.total_ms)
    assert json.loads(json.dumps(prediction.to_dict()))["stages"] == 3


def test_a_batch_runs_the_stages_again() -> None:
    times = []
    for batch in (1, 3):
        made = Assembler(shaves=8, batch=batch)
        made.io(INPUT, "x", (64, 64, 1, 1))
        made.io(OUTPUT, "y", (64, 64, 1, 1))
        operands = [made.buffer((64, 64, 1, 1), place) for place in (INPUT, OUTPUT)]
        made.stage(6, words(0, 0.0), *operands)
        times.append(predict(Blob.from_bytes(made.blob())).total_ms)
    assert times[1] == pytest.approx(3 * times[0])


@pytest.mark.parametrize("case", RECIPES, ids=lambda case: case.name)
def test_recipes_cost_what_the_study_found(case: Recipe, compile_blob: Compile) -> None:
    data = compile_blob(case.file.read_bytes(), shaves=8)
    prediction = predict(Blob.from_bytes(data))
    assert prediction.stages + prediction.injected == case.stages
    assert prediction.total_ms == pytest.approx(case.total, abs=0.006)
    assert prediction.engine_ms == pytest.approx(case.engine, abs=0.006)
    if case.memory is not None:
        assert prediction.memory_ms == pytest.approx(case.memory, abs=0.006)
    assert any("extrapolation" in caveat for caveat in prediction.caveats)


def _resnet18() -> Any:
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(before, after, 3, stride, 1)
            self.second = nn.Conv2d(after, after, 3, 1, 1)
            same = stride == 1 and before == after
            self.skip = nn.Identity() if same else nn.Conv2d(before, after, 1, stride)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.second(torch.relu(self.first(x))) + self.skip(x))

    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    before = 64
    for after, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(before, after, stride), Block(after, after, 1)]
        before = after
    return nn.Sequential(*layers, *_head(512))


def _mobileone_s0() -> Any:
    from torch import nn

    layers: list[nn.Module] = [nn.Conv2d(3, 48, 3, 2, 1), nn.ReLU()]
    before = 48
    for after, count in ((48, 2), (128, 8), (256, 10), (1024, 1)):
        for index in range(count):
            stride = 2 if index == 0 else 1
            layers += [nn.Conv2d(before, before, 3, stride, 1, groups=before), nn.ReLU()]
            layers += [nn.Conv2d(before, after, 1), nn.ReLU()]
            before = after
    return nn.Sequential(*layers, *_head(1024))


def _head(channels: int) -> list[Any]:
    from torch import nn

    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(channels, 1000)]


ANCHORS = {"resnet18_224": _resnet18, "mobileone_s0_224": _mobileone_s0}


@pytest.mark.parametrize("name", ANCHORS)
def test_features_are_those_of_the_anchors(name: str, compile_blob: Compile) -> None:
    """The networks of two rows of the published table, rebuilt, give that table's features."""
    data = ROOT / "benchmarks" / "data"
    row = next(r for r in csv.DictReader((data / "rvc2_features.csv").open()) if r["net"] == name)
    copies = csv.DictReader((data / "rvc2_copy_ddr.csv").open())
    copied = next(float(r["copy_ddr_MB"]) for r in copies if r["net"] == name)
    blob = Blob.from_bytes(compile_blob(export(ANCHORS[name](), (1, 3, 224, 224)), shaves=8))
    found = features(blob)
    assert found.dispatches == int(row["stages"]) + int(row["injected"])
    assert found.engine_cycles / 1e6 == pytest.approx(float(row["hw_Mcyc"]), rel=1e-4)
    columns = ("coef_MB", "hw_rd_ddr_MB", "hw_wr_ddr_MB", "sw_ddr_MB")
    traffic = copied + sum(float(row[column]) for column in columns)
    assert found.ddr_bytes / 1e6 == pytest.approx(traffic, rel=1e-4)
    prediction = predict(blob)
    assert prediction.fps == pytest.approx(float(row["fps"]), rel=0.05)
    assert prediction.caveats == ()


def test_calibration_is_reproduced() -> None:
    """One command fits the parameters and gives the published errors of cross-validation."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cost_calibration", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    assert result["anchors"] == 28
    errors = {model["name"]: (*model["network"], *model["family"]) for model in result["models"]}
    near = {"abs": 0.6}
    assert errors["multiply-adds only"] == pytest.approx((46, 135, 50, 143), **near)
    assert errors["multiply-adds and bytes"] == pytest.approx((36, 141, 42, 148), **near)
    assert errors["four parameters"] == pytest.approx((6.2, 21, 6.4, 23), **near)
    fit, shipped = result["fits"]["four parameters"], result["shipped"]
    assert fit == pytest.approx(shipped, rel=0.005)
    assert list(shipped.values()) == pytest.approx([703, 4.73, 8.7, 30.8])


def test_caveats() -> None:
    blob = softmax(21, 4)
    tiny, rare, engine = predict(blob).caveats
    assert "extrapolation" in tiny
    assert "Tanh" in rare
    assert "convolution engine" in engine
    made = Assembler(shaves=4)
    made.io(INPUT, "x", (4,))
    made.io(OUTPUT, "y", (4,))
    made.stage(119, words(1), b"")
    caveats = predict(Blob.from_bytes(made.blob())).caveats
    assert any("compiled for 4 shaves" in caveat for caveat in caveats)
    assert any("LoopStart" in caveat for caveat in caveats)
