"""Each torch function that is written out computes what torch computes, in the first exporter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from blobsmith.errors import SourceError
from blobsmith.sources import load

GRAY = (1, 1, 6, 8)
SQUARE = torch.tensor([[4.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 5.0]])


def masked(x: Tensor) -> Tensor:
    y = x.clone()
    y[y > 100] = 0
    return y


def joined(x: Tensor) -> Tensor:
    mask = x > 200
    mask += x < 30
    return mask.float()


def bits_joined(x: Tensor) -> Tensor:
    code = (x > 100).int()
    code |= (x > 200).int() * 2
    return code


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
    "fold by tiles": lambda x: F.fold(
        F.unfold(x, 4, padding=1, stride=2), (6, 8), 4, padding=1, stride=2
    ),
    "fold without overlap": lambda x: F.fold(F.unfold(x, 2, stride=2) * 2, (6, 8), 2, stride=2),
    "long windows": lambda x: x.repeat(1, 1, 5, 1).unfold(2, 20, 5),
    "bit mask": lambda x: x.int() & 0b10110100,
    "bits of both": lambda x: x.int() & x.flip(-1).int(),
    "bytes of either": lambda x: x.to(torch.uint8) | (x.flip(-1) / 2).to(torch.uint8),
    "bits of one": lambda x: x.int() ^ x.flip(-1).long(),
    "bits with numbers": lambda x: (x.int() | 0b1010) ^ 0b110,
    "bits joined": bits_joined,
    "shifts": lambda x: (x.int() >> 3) + (x.long() << 2),
    "covariance": lambda x: torch.cov(x[0, 0] / 16) + torch.cov(x[0, 0, 0] / 16, correction=0),
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
    "uneven adaptive max": lambda x: F.adaptive_max_pool2d(x, (4, 5)),
    "cummax": lambda x: torch.cummax(x, 3)[0] + x.cummin(2).values,
    "where the running maximum was": lambda x: torch.cummax(x, -1).indices.float(),
    "quantile": lambda x: torch.quantile(x, 0.3, dim=3, keepdim=True) + x.quantile(0.5),
    "gradient": lambda x: torch.gradient(x, dim=(2, 3))[0] + torch.gradient(x, dim=3, spacing=2)[0],
    "corrcoef": lambda x: torch.corrcoef(x[0, 0]),
    "either of two masks": lambda x: ((x > 200) + (x < 30)).float(),
    "masks joined": joined,
    "a matrix of the image's type": lambda x: (
        x[..., :3] @ torch.linalg.qr(SQUARE.double().to(x))[0]
    ),
    "new_tensor": lambda x: x[..., :3] @ torch.linalg.qr(x.new_tensor(SQUARE.tolist()))[0],
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


# ---------------------------------------------------------------------- Fourier transforms

RANDOM = torch.rand(64, 33, generator=torch.Generator().manual_seed(0))
TAPS = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 9.0]])


def spectral(x: Tensor) -> Tensor:
    factor = torch.fft.rfft2(TAPS, s=(6, 8))
    return torch.fft.irfft2(torch.fft.rfft2(x) * torch.conj(factor), s=(6, 8))


def spectral_full(x: Tensor) -> Tensor:
    factor = torch.fft.fft2(TAPS, s=(6, 8))
    return torch.fft.ifft2(factor * torch.fft.fft2(x) / 2).real


def padded(x: Tensor) -> Tensor:
    spectrum = torch.fft.rfftn(x, s=(9, 11), dim=(-2, -1)) * torch.fft.rfftn(TAPS, s=(9, 11))
    return torch.fft.irfftn(spectrum, s=(9, 11), dim=(-2, -1))[..., :6, :8]


@pytest.mark.parametrize("function", [spectral, spectral_full, padded])
def test_filtering_by_fourier_transform_becomes_a_convolution(
    function: Callable[[Tensor], Tensor],
) -> None:
    for shape in (GRAY, (1, 3, 6, 8)):
        model = load(function, inputs={"x": shape}, exporter="torchscript")
        assert len(model.notes) == 1
        assert "Conv" in {n.op_type for n in model.proto.graph.node}


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda x: torch.fft.fft2(x).abs(), "'abs' of a transform"),
        (lambda x: torch.angle(torch.fft.rfft2(x)), "torch.angle of a transform"),
        (lambda x: torch.fft.rfft(x).real, "transform of one axis"),
        (
            lambda x: torch.fft.irfft2(torch.fft.rfft2(x) * RANDOM, s=(64, 64)),
            "filter of more than 31 rows",
        ),
        (
            lambda x: torch.fft.irfft2(torch.fft.rfft2(x) * torch.fft.rfft2(x), s=(64, 64)),
            "product of two transforms",
        ),
    ],
)
def test_what_is_no_filter_is_refused_with_its_line(
    function: Callable[[Tensor], Any], what: str
) -> None:
    with pytest.raises(SourceError, match=what) as caught:
        load(function, inputs={"x": (1, 1, 64, 64)})
    assert "test_decompositions.py:" in caught.value.where
