"""Whole networks, hardware acceleration on and off, within the tolerance of `verify`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blobsmith.emulator import Emulator
from blobsmith.verify import compare_output

from .models import hw_on_off, stage_names
from .networks import FULL, MobileNet, UNet, exported, with_random_weights

pytestmark = pytest.mark.usefixtures("toolchain")

NETWORKS = {
    "mobilenet-part": (lambda: MobileNet(FULL[:3]), 64),
    "unet": (lambda: UNet(8), 64),
}
LARGE = {"mobilenet-full": (MobileNet, 224), "unet-wide": (lambda: UNet(16), 256)}


def check(name: str) -> None:
    factory, size = (NETWORKS | LARGE)[name]
    module = with_random_weights(factory())
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (1, 3, size, size), dtype=np.uint8)
    frame[0, :, : size // 2] //= 4
    with torch.no_grad():
        expected = module(torch.from_numpy(frame).float()).numpy()
    for blob, hardware in zip(
        hw_on_off(exported(module, size), {"image": "u8"}, {}), (True, False), strict=True
    ):
        assert ("MyriadXHwOp" in stage_names(blob)) == hardware
        emulator = Emulator(blob)
        result = emulator.run({"image": frame})
        found = compare_output("output", [expected], [result["output"]])
        assert found.passed, found.reason
        assert {w.kind for w in result.warnings} <= {"prescale"}
        poisoned = Emulator(blob, poison=True).run({"image": frame})
        np.testing.assert_array_equal(poisoned["output"], result["output"])
        wrong = compare_output("output", [expected], [result["output"][:, ::-1]])
        assert not wrong.passed, "swapped channels must not pass: the output varies too little"


@pytest.mark.parametrize("name", NETWORKS)
def test_network_within_verifys_tolerance(name: str) -> None:
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_large_network_within_verifys_tolerance(name: str) -> None:
    check(name)
