"""Trained-network shapes through the analysis: norms, attention, softmax, declared ranges."""

# mypy: allow-subclassing-any
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blobsmith.numerics import check, quick_check, repair_model
from blobsmith.numerics.intervals import analyse
from blobsmith.numerics.network import read
from blobsmith.numerics.seen import Observer
from blobsmith.tensors import InputRequest

from . import models

PICTURE = {"image": InputRequest(shape=(1, 3, 48, 64), dtype="u8")}


class Classes(nn.Module):
    """Convolution, batch norm, softmax over the channels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.last = nn.Conv2d(16, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.softmax(self.last(torch.relu(self.norm(self.first(image)))), 1)


class Block(nn.Module):
    """A transformer's block on patches: layer norm, attention, GELU."""

    def __init__(self, scale: float = 1 / 255) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale = scale
        self.patches, self.norm = nn.Conv2d(3, 32, 8, 8), nn.LayerNorm(32, eps=1e-3)
        self.q, self.k, self.v = (nn.Linear(32, 32) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image * self.scale).flatten(2).transpose(1, 2)
        y = self.norm(x)
        weights = torch.softmax(self.q(y) @ self.k(y).transpose(1, 2) / 5.657, -1)
        x = x + weights @ self.v(y)
        return x + self.mlp(self.norm(x))


class Loud(Block):
    """Attention whose products pass 65504."""

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        logits = x @ x.transpose(1, 2)
        return torch.softmax(logits, -1) @ x


class Lengths(nn.Module):
    def forward(self, vector: Tensor) -> Tensor:
        return vector.pow(4).sum(-1, keepdim=True).sqrt()


class LargeFactor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("k", torch.tensor([1e5, 2e5, 3e5]).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return torch.relu(image * self.k) / 1e5


def sound(model: Any) -> None:
    """Whatever comes, no FP16 value leaves its bounds."""
    network = read(model.proto)
    bounds = analyse(network, model.inputs, half=True)
    observer = Observer(network, ideals=False)
    rng = np.random.default_rng(1)
    for spec in model.inputs:
        low, high = spec.value_range or (0, 255)
        for kind in range(3):
            values = rng.uniform(low, high, spec.shape)
            values = np.where(values > (low + high) / 2, high, low) if kind == 2 else values
            feed = {spec.name: np.round(values).astype(np.float32)}
            for name, value in observer.half.run(
                {f"{spec.name}|given": feed[spec.name]}, observer.names[:-1]
            ).items():
                assert np.all(value >= bounds[name].low), name
                assert np.all(value <= bounds[name].high), name


def test_batch_norm_and_softmax_are_proven() -> None:
    model = models.export(Classes(), PICTURE)
    report = quick_check(model)
    assert (report.verdict, report.proven) == ("safe", True)
    sound(model)


def test_a_transformer_block_is_safe() -> None:
    model = models.export(Block(), PICTURE)
    report = check(model)
    assert report.verdict != "broken"
    assert not list(report.matter())
    sound(model)


def test_attention_that_overflows_is_found_at_its_product() -> None:
    report = check(models.export(Loud(), PICTURE))
    assert report.verdict == "broken"
    assert "logits = x @ x" in next(report.matter()).line


@pytest.mark.parametrize(("reach", "verdict"), [(4.0, "safe"), (40.0, "broken")])
def test_declared_ranges_decide(reach: float, verdict: str) -> None:
    request = InputRequest(shape=(1, 64), dtype="fp16", value_range=(-reach, reach))
    model = models.export(Lengths(), {"vector": request})
    report = check(model)
    assert report.verdict == verdict
    assert report.proven == (verdict == "safe")
    assert not report.notes
    if verdict == "broken":
        fixed = repair_model(model)
        assert fixed.result.accepted
        assert quick_check(fixed.model).proven


def test_constants_beyond_fp16_are_told_and_repaired() -> None:
    model = models.export(LargeFactor(), PICTURE)
    report = check(model)
    assert report.verdict == "broken"
    assert report.constants[0].becomes == 65504
    fixed = repair_model(model)
    assert fixed.result.accepted
    after = check(fixed.model)
    assert after.verdict == "safe"
    assert not after.constants
