"""Each torch function that is written out computes what torch computes, in the first exporter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from blobsmith.sources import load

GRAY = (1, 1, 6, 8)
SQUARE = torch.tensor([[4.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 5.0]])


def masked(x: Tensor) -> Tensor:
    y = x.clone()
    y[y > 100] = 0
    return y


ONE: dict[str, Callable[[Tensor], Any]] = {
    "ravel": lambda x: x.ravel() * 2,
    "unbind": lambda x: x.unbind(-1)[2] * 2,
    "iterate": lambda x: sum(row for row in x[0, 0]),
    "diag of a vector": lambda x: torch.diag(x[0, 0, 0], 1),
    "diag below": lambda x: torch.diag(x[0, 0, 0], -2),
    "diag of a matrix": lambda x: torch.diag(x[0, 0], 1),
    "diagonal": lambda x: torch.diagonal(x, -1, 2, 3),
    "unfold": lambda x: F.unfold(x, (3, 2), dilation=(1, 2), padding=1, stride=(2, 1)),
    "fold": lambda x: F.fold(F.unfold(x, 3, padding=1, stride=2), (6, 8), 3, padding=1, stride=2),
    "windows": lambda x: x.unfold(2, 3, 2).unfold(3, 2, 1),
    "affine_grid": lambda x: F.affine_grid(x[0, 0, :2, :3][None] / 255, [1, 1, 4, 5]),
    "solve": lambda x: torch.linalg.solve(SQUARE + x[0, 0, 0, 0] / 255, x[0, 0, :3]),
    "solve a vector": lambda x: torch.linalg.solve(SQUARE + x[0, 0, 0, 0] / 255, x[0, 0, 0, :3]),
    "inverse": lambda x: torch.inverse(SQUARE + x[..., :3, :3] / 2550),
    "det": lambda x: torch.det(x[..., :3, :3] / 255),
    "searchsorted": lambda x: torch.searchsorted(torch.linspace(0, 255, 9), x),
    "bucketize": lambda x: torch.bucketize(x, torch.linspace(0, 255, 9), right=True),
    "atan2": lambda x: torch.atan2(x - 100, x.flip(-1) - 128),
    "mask": masked,
    "trunc": lambda x: torch.trunc((x - 128) / 7),
    "frac": lambda x: torch.frac((x - 128) / 7),
    "exp2": lambda x: torch.exp2(x / 64),
    "expm1": lambda x: torch.expm1(x / 64),
    "sinh": lambda x: torch.sinh((x - 128) / 64) + torch.cosh(x / 64),
    "asinh": lambda x: torch.asinh((x - 128) / 9) + torch.atanh((x - 128) / 300),
    "erfc": lambda x: torch.erfc((x - 128) / 100),
    "degrees": lambda x: torch.rad2deg(torch.deg2rad(x) + 1),
    "sinc": lambda x: torch.sinc((x - 128) / 64),
    "hypot": lambda x: torch.hypot(x - 128, x.flip(-1)),
    "copysign": lambda x: torch.copysign(x, x - 128.5),
    "logaddexp": lambda x: torch.logaddexp(x / 64, x.flip(-1) / 64),
    "heaviside": lambda x: torch.heaviside(x - 128.5, torch.tensor(0.5)),
    "xlogy": lambda x: torch.xlogy(x, x + 1),
    "fmax": lambda x: torch.fmax(x, x.flip(-1)) - torch.fmin(x, x.flip(-2)),
    "unflatten": lambda x: x.unflatten(-1, (2, 4)) * 2,
    "tile": lambda x: x.tile(1, 1, 2, 1) * 2,
    "rot90": lambda x: torch.rot90(x, 1, (2, 3)) * 2,
    "rot270": lambda x: torch.rot90(x, 3, (2, 3)) * 2,
    "diag_embed": lambda x: torch.diag_embed(x[0, 0]),
    "diff": lambda x: torch.diff(x, n=2, dim=-1),
    "trapezoid": lambda x: torch.trapezoid(x, dx=0.5, dim=-1),
    "count_nonzero": lambda x: torch.count_nonzero(x > 100, dim=-1),
    "histc": lambda x: torch.histc(x, 8, 0, 255),
    "cumprod": lambda x: (x / 128).cumprod(-1),
    "kthvalue": lambda x: x.kthvalue(3, -1)[0],
    "median": lambda x: x.median(-1).values + x.median(),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, (4, 5)),
    "rms_norm": lambda x: F.rms_norm(x, (8,)),
    "antialias": lambda x: F.interpolate(x, size=(3, 5), mode="bilinear", antialias=True),
    "antialias cubic": lambda x: F.interpolate(
        x, scale_factor=0.5, mode="bicubic", antialias=True, align_corners=False
    ),
    "nearest-exact": lambda x: F.interpolate(x, size=(4, 5), mode="nearest-exact"),
    "l1_loss": lambda x: F.l1_loss(x, x.flip(-1), reduction="none"),
}


@pytest.mark.parametrize("name", ONE)
def test_written_out_function_is_exported_by_the_first_exporter(name: str) -> None:
    """`load` compares with torch itself, so that an export is the proof."""
    model = load(ONE[name], inputs={"x": GRAY}, exporter="torchscript")
    assert model.notes == ("exported by the TorchScript exporter, opset 12",)


def test_hypot_and_atan2_stay_within_fp16() -> None:
    """Squares of 255 would not: their sum is 130050."""
    from blobsmith.sources.elementary import _hypot

    x, y = torch.full((4,), 255.0).half(), torch.full((4,), 255.0).half()
    assert torch.isfinite(_hypot(x, y)).all()
