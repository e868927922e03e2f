"""Filtering by Fourier transform, exported as the convolution that it is.

ONNX has no complex numbers, and a transform's sums do not fit in FP16. But a transform, a product
with a constant, and the inverse transform are a circular convolution with a constant kernel:
`Spectrum` stands for the transform while the user's function is traced, collects the factors, and
becomes a padded convolution when it is transformed back. What else is done with it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import SourceError
from ..graph import lines

_LARGEST = 31
_NEGLIGIBLE = 1e-6
_PLANE = (-2, -1)


class Spectrum:
    """The two-dimensional transform of a real tensor that depends on an input, times a constant.

    Args:
        image: the real tensor, transformed over its last two axes.
        factor: what its transform is multiplied by, of the transform's own shape or 1.
        half: only half of the columns are kept, as `rfft2` does.
    """

    def __init__(self, image: Tensor, factor: Any, half: bool) -> None:
        self.image, self.factor, self.half = image, factor, half

    @property
    def shape(self) -> torch.Size:
        """As the transform's."""
        *others, height, width = self.image.shape
        return torch.Size((*others, height, width // 2 + 1 if self.half else width))

    def __mul__(self, other: Any) -> Spectrum:
        if isinstance(other, Spectrum):
            raise _refused("a product of two transforms")
        return Spectrum(self.image, self.factor * other, self.half)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Spectrum:
        if isinstance(other, Spectrum):
            raise _refused("a quotient of two transforms")
        return Spectrum(self.image, self.factor / other, self.half)

    def __getattr__(self, name: str) -> Any:
        raise _refused(f"{name!r} of a transform")

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What a torch function gives for a spectrum; the mode that traces hands it over."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "a function").removeprefix("fft_")
        if func in _BACK and isinstance(args[0], Spectrum):
            return _back(_BACK[func], *args, **kwargs)
        if name in ("mul", "multiply", "__mul__", "__rmul__"):
            first, second = args
            return second * first if isinstance(second, Spectrum) else first * second
        if name in ("div", "true_divide", "__truediv__") and isinstance(args[0], Spectrum):
            return args[0] / args[1]
        raise _refused(f"torch.{name} of a transform")


def _refused(what: str) -> SourceError:
    return SourceError(
        f"{what} cannot be exported: a blob has no complex numbers",
        where=str(lines.innermost(lines.stack()) or ""),
        remedy="filter with a convolution; a transform may only be multiplied by constants and "
        "transformed back",
    )


def _plane_only(image: Tensor, s: Any, dim: Any, norm: Any) -> Tensor:
    axes = tuple(a - image.dim() if a >= 0 else a for a in (dim if dim is not None else _PLANE))
    if axes != _PLANE or norm not in (None, "backward") or image.dim() < 2:
        raise _refused("a transform over other axes than the last two")
    if s is not None:
        height, width = image.shape[-2:]
        if s[0] < height or s[1] < width:
            image = image[..., : min(s[0], height), : min(s[1], width)]
        image = F.pad(image, (0, max(s[1] - width, 0), 0, max(s[0] - height, 0)))
    return image


def _forward(half: bool, default: Any) -> Callable[..., Spectrum]:
    def transform(x: Tensor, s: Any = None, dim: Any = default, norm: Any = None) -> Spectrum:
        if dim is None and x.dim() != 2:
            dim = tuple(range(x.dim()))
        return Spectrum(_plane_only(x, s, dim, norm), torch.ones(()), half)

    return transform


def _single(*args: Any, **kwargs: Any) -> Spectrum:
    raise _refused("a transform of one axis")


FORWARD: dict[Any, Callable[..., Spectrum]] = {
    torch.fft.rfft2: _forward(True, _PLANE),
    torch.fft.rfftn: _forward(True, None),
    torch.fft.fft2: _forward(False, _PLANE),
    torch.fft.fftn: _forward(False, None),
    torch.fft.rfft: _single,
    torch.fft.fft: _single,
}
_BACK: dict[Any, bool] = {
    torch.fft.irfft2: True,
    torch.fft.irfftn: True,
    torch.fft.ifft2: False,
    torch.fft.ifftn: False,
}


def _back(
    half: bool, spectrum: Spectrum, s: Any = None, dim: Any = _PLANE, norm: Any = None
) -> Tensor:
    """The inverse transform: a circular convolution of the image with a constant kernel."""
    image = spectrum.image
    height, width = image.shape[-2:]
    if norm not in (None, "backward") or (s is not None and tuple(s) != (height, width)):
        raise _refused("an inverse transform to another size or scale")
    if s is None and spectrum.half and width % 2:
        raise _refused("an inverse transform to an odd width without s=")
    if spectrum.half != half:
        raise _refused("an inverse transform of the other kind")
    factor = spectrum.factor.to(torch.complex64).expand(
        *spectrum.factor.shape[:-2], *spectrum.shape[-2:]
    )
    if spectrum.half:
        kernel = torch.fft.irfft2(factor, s=(height, width))
    else:
        kernel = torch.fft.ifft2(factor)
        if kernel.imag.abs().max() > _NEGLIGIBLE * kernel.abs().max():
            raise _refused("a filter whose result is complex")
        kernel = kernel.real
    return _circular(image, kernel)


def _circular(image: Tensor, kernel: Tensor) -> Tensor:
    """The circular convolution of (..., H, W) with a kernel of that size, few of whose taps count.

    The kernel may be one for all planes, or one a plane.
    """
    height, width = image.shape[-2:]
    count = 1
    for size in image.shape[:-2]:
        count *= size
    planes = kernel.expand(image.shape).reshape(count, height, width)
    weighty = planes.abs().amax(0) > _NEGLIGIBLE * float(planes.abs().max())
    rows = _span(weighty.any(1))
    columns = _span(weighty.any(0))
    if rows[1] - rows[0] >= _LARGEST or columns[1] - columns[0] >= _LARGEST:
        raise _refused(f"a filter of more than {_LARGEST} rows or columns")
    across = [planes[:, r % height] for r in range(rows[1], rows[0] - 1, -1)]
    taps = torch.stack(across, 1)
    taps = torch.stack([taps[..., c % width] for c in range(columns[1], columns[0] - 1, -1)], -1)
    flat = image.reshape(1, count, height, width)
    padded = F.pad(flat, (columns[1], -columns[0], rows[1], -rows[0]), mode="circular")
    result: Tensor = F.conv2d(padded, taps.unsqueeze(1), groups=count).reshape(image.shape)
    return result


def _span(used: Tensor) -> tuple[int, int]:
    """Lowest (at most 0) and highest (at least 0) offset of a circular axis that is used."""
    size = len(used)
    offsets = [i if i <= size // 2 else i - size for i in range(size) if used[i]]
    return min([0, *offsets]), max([0, *offsets])
