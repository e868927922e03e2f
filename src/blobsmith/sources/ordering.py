"""Running results and ranks that the TorchScript exporter lacks, written with ones it has."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _running(x: Tensor, dim: int, step: Callable[[Tensor, Tensor], Tensor], start: float) -> Tensor:
    """Every element joined with all before it, by doubling the distance."""
    size, shift = x.shape[dim], 1
    first = torch.full((), start)
    while shift < size:
        before = first.expand(x.narrow(dim, 0, shift).shape)
        x = step(x, torch.cat((before, x.narrow(dim, 0, size - shift)), dim))
        shift *= 2
    return x


def _cumprod(x: Tensor, dim: int) -> Tensor:
    return _running(x, dim, torch.mul, 1.0)


def _cummax(x: Tensor, dim: int) -> Any:
    values = _running(x, dim, torch.maximum, -torch.inf)
    return torch.return_types.cummax([values, _last(x, values, dim)])


def _cummin(x: Tensor, dim: int) -> Any:
    values = _running(x, dim, torch.minimum, torch.inf)
    return torch.return_types.cummin([values, _last(x, values, dim)])


def _last(x: Tensor, values: Tensor, dim: int) -> Tensor:
    """Where the running extreme was found last."""
    shape = [1] * x.dim()
    shape[dim] = x.shape[dim]
    places = torch.arange(x.shape[dim], dtype=torch.float32).reshape(shape)
    met = torch.where(x == values, places, torch.zeros(()))
    return _running(met, dim, torch.maximum, 0.0).to(torch.int64)


def _kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    values, places = torch.sort(x, dim)
    pair = [t.narrow(dim, k - 1, 1) for t in (values, places)]
    return torch.return_types.kthvalue(pair if keepdim else [t.squeeze(dim) for t in pair])


def _median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    if dim is None:
        flat = x.reshape(-1)
        return torch.sort(flat)[0][(flat.shape[0] - 1) // 2]
    pair = _kthvalue(x, (x.shape[dim] - 1) // 2 + 1, dim, keepdim)
    return torch.return_types.median(list(pair))


def _quantile(x: Tensor, q: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    if dim is None:
        found = _quantile(x.reshape(-1), q, 0)
        return found.reshape([1] * x.dim()) if keepdim else found
    values = torch.sort(x, dim)[0]
    place = float(q) * (x.shape[dim] - 1)
    low, high = math.floor(place), math.ceil(place)
    below, above = values.narrow(dim, low, 1), values.narrow(dim, high, 1)
    found = below + (above - below) * (place - low) if high > low else below
    return found if keepdim else found.squeeze(dim)


def _is_one(x: Tensor, q: Any, *args: Any, **kwargs: Any) -> bool:
    """Whether one quantile is asked for, between its neighbours."""
    return isinstance(q, (int, float)) and not {"interpolation", "out"} & set(kwargs)


def _gradient(x: Tensor, *, dim: Any = None, spacing: float = 1) -> list[Tensor]:
    """Central differences, and one-sided ones at the ends."""
    axes = range(x.dim()) if dim is None else (dim,) if isinstance(dim, int) else dim
    found = []
    for axis in axes:
        size = x.shape[axis]
        inner = (x.narrow(axis, 2, size - 2) - x.narrow(axis, 0, size - 2)) / 2
        ends = [x.narrow(axis, i + 1, 1) - x.narrow(axis, i, 1) for i in (0, size - 2)]
        found.append(torch.cat((ends[0], inner, ends[1]), axis) / spacing)
    return found


def _is_even(x: Tensor, **kwargs: Any) -> bool:
    even = isinstance(kwargs.get("spacing", 1), (int, float)) and kwargs.get("edge_order", 1) == 1
    axes = kwargs.get("dim")
    axes = range(x.dim()) if axes is None else (axes,) if isinstance(axes, int) else axes
    return even and "edge_order" not in kwargs and all(x.shape[a] >= 3 for a in axes)


def _corrcoef(x: Tensor) -> Tensor:
    covariance = torch.cov(x)
    deviation = torch.sqrt((covariance * torch.eye(x.shape[0])).sum(-1))
    return torch.clamp(covariance / deviation[:, None] / deviation[None, :], -1.0, 1.0)


def _takes_floats(x: Tensor, *args: Any, **kwargs: Any) -> bool:
    return x.is_floating_point() and not {"out", "dtype"} & set(kwargs)


ORDERING: dict[Callable[..., Any], tuple[tuple[Any, ...], Callable[..., bool]]] = {
    _cumprod: ((torch.cumprod, Tensor.cumprod), _takes_floats),
    _cummax: ((torch.cummax, Tensor.cummax), _takes_floats),
    _cummin: ((torch.cummin, Tensor.cummin), _takes_floats),
    _kthvalue: ((torch.kthvalue, Tensor.kthvalue), _takes_floats),
    _median: ((torch.median, Tensor.median), _takes_floats),
    _quantile: ((torch.quantile, Tensor.quantile), _is_one),
    _gradient: ((torch.gradient,), _is_even),
    _corrcoef: ((torch.corrcoef, Tensor.corrcoef), lambda x: x.dim() == 2),
}
