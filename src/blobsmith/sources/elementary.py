"""Elementary torch functions that the TorchScript exporter lacks, written with ones it has.

The newer exporter knows most of them, but takes seconds to start. Formulas are chosen so that
their intermediate values stay within FP16 where the result does (`hypot` never squares a number
above 1). See `decompositions.py` for how they are applied.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def _float(condition: Tensor) -> Tensor:
    return condition.to(torch.float32)


def _trunc(x: Tensor) -> Tensor:
    return torch.where(x < 0, torch.ceil(x), torch.floor(x))


def _frac(x: Tensor) -> Tensor:
    return x - _trunc(x)


def _sign(x: Tensor) -> Tensor:
    return torch.sign(x)


def _exp2(x: Tensor) -> Tensor:
    return torch.exp(x * math.log(2))


def _expm1(x: Tensor) -> Tensor:
    return torch.exp(x) - 1


def _sinh(x: Tensor) -> Tensor:
    return (torch.exp(x) - torch.exp(-x)) / 2


def _cosh(x: Tensor) -> Tensor:
    return (torch.exp(x) + torch.exp(-x)) / 2


def _asinh(x: Tensor) -> Tensor:
    size = torch.abs(x)
    return torch.sign(x) * torch.log(size + torch.sqrt(size * size + 1))


def _atanh(x: Tensor) -> Tensor:
    return torch.log((1 + x) / (1 - x)) / 2


def _erfc(x: Tensor) -> Tensor:
    return 1 - torch.erf(x)


def _deg2rad(x: Tensor) -> Tensor:
    return x * (math.pi / 180)


def _rad2deg(x: Tensor) -> Tensor:
    return x * (180 / math.pi)


def _sinc(x: Tensor) -> Tensor:
    zero = x == 0
    angle = math.pi * torch.where(zero, torch.ones(()), x)
    return torch.where(zero, torch.ones(()), torch.sin(angle) / angle)


def _positive(x: Tensor) -> Tensor:
    return x


def _signbit(x: Tensor) -> Tensor:
    return x < 0


def _hypot(x: Tensor, y: Tensor) -> Tensor:
    a, b = torch.abs(x), torch.abs(y)
    large, small = torch.maximum(a, b), torch.minimum(a, b)
    ratio = small / (large + _float(large == 0))
    return large * torch.sqrt(1 + ratio * ratio)


def _copysign(x: Tensor, y: Any) -> Tensor:
    if not isinstance(y, Tensor):
        return torch.abs(x) * math.copysign(1.0, y)
    return torch.abs(x) * (1 - 2 * _float(y < 0))


def _logaddexp(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x, y) + torch.log(1 + torch.exp(-torch.abs(x - y)))


def _heaviside(x: Tensor, values: Tensor) -> Tensor:
    return torch.where(x == 0, values, _float(x > 0))


def _xlogy(x: Tensor, y: Tensor) -> Tensor:
    zero = x == 0
    return torch.where(zero, torch.zeros(()), x * torch.log(torch.where(zero, torch.ones(()), y)))


def _float_power(x: Tensor, exponent: Any) -> Tensor:
    return torch.pow(x, exponent)


def _unflatten(x: Tensor, dim: int, sizes: Any) -> Tensor:
    shape = list(x.shape)
    axis = dim % len(shape)
    return x.reshape(*shape[:axis], *sizes, *shape[axis + 1 :])


def _tile(x: Tensor, *dims: Any) -> Tensor:
    counts = list(dims[0]) if isinstance(dims[0], (tuple, list)) else list(dims)
    counts = [1] * (x.dim() - len(counts)) + counts
    return x.repeat(*counts)


def _rot90(x: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    first, second = dims
    turns = k % 4
    if turns == 2:
        return x.flip(first).flip(second)
    if turns == 0:
        return x
    return (
        x.transpose(first, second).flip(first)
        if turns == 1
        else x.flip(first).transpose(first, second)
    )


def _diag_embed(x: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    return x.unsqueeze(-2) * torch.eye(x.shape[-1])


def _diff(x: Tensor, n: int = 1, dim: int = -1) -> Tensor:
    for _ in range(n):
        size = x.shape[dim]
        x = x.narrow(dim, 1, size - 1) - x.narrow(dim, 0, size - 1)
    return x


def _trapezoid(y: Tensor, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    size = y.shape[dim]
    return (y.narrow(dim, 1, size - 1) + y.narrow(dim, 0, size - 1)).sum(dim) * (dx / 2)


def _count_nonzero(x: Tensor, dim: Any = None) -> Tensor:
    ones = _float(x != 0)
    return (ones.sum() if dim is None else ones.sum(dim)).to(torch.int64)


def _histc(x: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    edges = torch.linspace(min, max, bins + 1)
    flat = x.reshape(-1, 1)
    below = _float(flat < edges[1:]).sum(0)
    below = torch.cat((below[:-1], _float(flat <= max).sum(0)))
    start = _float(flat < min).sum(0)
    return below - torch.cat((start, below[:-1]))


def _adaptive_avg_pool2d(x: Tensor, output_size: Any) -> Tensor:
    height, width = x.shape[-2:]
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * 2
    rows = _averaging(height, height if wanted[0] is None else int(wanted[0]))
    columns = _averaging(width, width if wanted[1] is None else int(wanted[1]))
    return rows @ (x @ columns.t())


def _adaptive_max_pool2d(x: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    """The largest of each window, one axis after the other: windows overlap by a pixel at most."""
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * 2
    for axis, count in ((-2, wanted[0]), (-1, wanted[1])):
        size = x.shape[axis]
        count = size if count is None else int(count)
        ends = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        parts = [x.narrow(axis, low, high - low).amax(axis, keepdim=True) for low, high in ends]
        x = torch.cat(parts, axis)
    return x


def _averaging(size: int, count: int) -> Tensor:
    """The (count, size) matrix of adaptive average pooling along one axis."""
    return F.adaptive_avg_pool1d(torch.eye(size)[None], count)[0].t()


def _uneven(x: Tensor, output_size: Any) -> bool:
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * 2
    sizes = zip(x.shape[-2:], wanted, strict=True)
    return any(count is not None and size % int(count) for size, count in sizes)


def _rms_norm(x: Tensor, shape: Any, weight: Tensor | None = None, eps: float | None = None) -> Any:
    dims = tuple(range(-len(shape), 0))
    small = torch.finfo(torch.float32).eps if eps is None else eps
    scaled = x / torch.sqrt((x * x).mean(dims, keepdim=True) + small)
    return scaled if weight is None else scaled * weight


def _interpolate(x: Tensor, size: Any = None, scale_factor: Any = None, **options: Any) -> Tensor:
    """Resizing axis by axis with the constant matrix that torch itself applies to each."""
    for axis, length in ((-1, x.shape[-1]), (-2, x.shape[-2])):
        wanted = None if size is None else _entry(size, axis)
        scale = None if scale_factor is None else _entry(scale_factor, axis)
        # one image a unit vector, two pixels wide: at width 1 torch misreads the strides
        unit = torch.eye(length).reshape(length, 1, 1, length).expand(-1, -1, 2, -1)
        unit = (unit if axis == -1 else unit.transpose(-1, -2)).contiguous()
        sizes = None if wanted is None else ((2, wanted) if axis == -1 else (wanted, 2))
        scales = None if scale is None else ((1.0, scale) if axis == -1 else (scale, 1.0))
        matrix = F.interpolate(unit, size=sizes, scale_factor=scales, **options)
        matrix = matrix[:, 0, 0] if axis == -1 else matrix[:, 0, :, 0]
        x = x @ matrix if axis == -1 else matrix.t() @ x
    return x


def _l1_loss(x: Tensor, y: Tensor, *, reduction: str = "mean", **unset: None) -> Tensor:
    error = torch.abs(x - y)
    return {"mean": error.mean, "sum": error.sum, "none": lambda: error}[reduction]()


def _entry(value: Any, axis: int) -> Any:
    return value[axis] if isinstance(value, (tuple, list)) else value


def _beyond_resize(x: Tensor, *args: Any, **kwargs: Any) -> bool:
    sampled = kwargs.get("antialias") or kwargs.get("mode") == "nearest-exact"
    return x.dim() == 4 and bool(sampled) and len(args) <= 2


def _takes_numbers(x: Tensor, *args: Any, **kwargs: Any) -> bool:
    return x.is_floating_point() and "out" not in kwargs and "dtype" not in kwargs


ELEMENTARY: dict[Callable[..., Any], tuple[Any, ...]] = {
    _trunc: (torch.trunc, Tensor.trunc, torch.fix, Tensor.fix),
    _frac: (torch.frac, Tensor.frac),
    _sign: (torch.sgn, Tensor.sgn),
    _exp2: (torch.exp2, Tensor.exp2, torch.special.exp2),
    _expm1: (torch.expm1, Tensor.expm1, torch.special.expm1),
    _sinh: (torch.sinh, Tensor.sinh),
    _cosh: (torch.cosh, Tensor.cosh),
    _asinh: (torch.asinh, Tensor.asinh, torch.arcsinh, Tensor.arcsinh),
    _atanh: (torch.atanh, Tensor.atanh, torch.arctanh, Tensor.arctanh),
    _erfc: (torch.erfc, Tensor.erfc, torch.special.erfc),
    _deg2rad: (torch.deg2rad, Tensor.deg2rad),
    _rad2deg: (torch.rad2deg, Tensor.rad2deg),
    _sinc: (torch.sinc, Tensor.sinc, torch.special.sinc),
    _positive: (torch.positive, Tensor.positive, torch.real, Tensor.real.__get__),
    _signbit: (torch.signbit, Tensor.signbit),
    _hypot: (torch.hypot, Tensor.hypot),
    _copysign: (torch.copysign, Tensor.copysign),
    _logaddexp: (torch.logaddexp, Tensor.logaddexp),
    _heaviside: (torch.heaviside, Tensor.heaviside),
    _xlogy: (torch.xlogy, Tensor.xlogy, torch.special.xlogy),
    _float_power: (torch.float_power, Tensor.float_power),
    torch.maximum: (torch.fmax, Tensor.fmax),
    torch.minimum: (torch.fmin, Tensor.fmin),
    _unflatten: (torch.unflatten, Tensor.unflatten),
    _tile: (torch.tile, Tensor.tile),
    _rot90: (torch.rot90, Tensor.rot90),
    _diag_embed: (torch.diag_embed, Tensor.diag_embed),
    _diff: (torch.diff, Tensor.diff),
    _trapezoid: (torch.trapezoid, torch.trapz),
    _count_nonzero: (torch.count_nonzero, Tensor.count_nonzero),
    _histc: (torch.histc, Tensor.histc),
    _adaptive_avg_pool2d: (F.adaptive_avg_pool2d,),
    _adaptive_max_pool2d: (F.adaptive_max_pool2d,),
    _rms_norm: (F.rms_norm,),
    _interpolate: (F.interpolate,),
    _l1_loss: (F.l1_loss,),
}
CONDITIONS: dict[Callable[..., Any], Callable[..., bool]] = {
    **dict.fromkeys((f for f in ELEMENTARY if f is not _count_nonzero), _takes_numbers),
    _unflatten: lambda x, dim, sizes, *args, **kw: isinstance(dim, int) and -1 not in tuple(sizes),
    _tile: lambda x, *args, **kwargs: bool(args),
    _diag_embed: lambda x, *args, **kwargs: not args and not kwargs,
    _diff: lambda x, *args, **kw: not {"prepend", "append"} & set(kw) and len(args) <= 2,
    _trapezoid: lambda y, *args, **kwargs: not args and "x" not in kwargs,
    _histc: lambda x, bins=100, min=0, max=0, **kwargs: max > min,
    _adaptive_avg_pool2d: _uneven,
    _adaptive_max_pool2d: lambda x, size, indices=False, **kw: (
        not indices and not kw.get("return_indices") and _uneven(x, size)
    ),
    _interpolate: _beyond_resize,
    _l1_loss: lambda x, y, *args, **kwargs: (
        not args and all(v is None for k, v in kwargs.items() if k != "reduction")
    ),
}
