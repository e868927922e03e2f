"""Torch functions that an exporter lacks, written with functions it has.

They are applied while the user's function is traced (`tracing.py`), to arguments that depend on an
input; what is constant is computed by torch itself. Each is exact up to FP32 rounding, and the
export is compared with the user's own function afterwards in any case.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .bits import BITS
from .elementary import CONDITIONS, ELEMENTARY
from .folding import FOLDING, pair
from .ordering import ORDERING

_WIDE = 16  # windows longer than this are gathered one by one, not shifted element by element


def _always(*args: Any, **kwargs: Any) -> bool:
    return True


@dataclass(frozen=True)
class Decomposition:
    """A function in place of another.

    Attributes:
        make: takes the same arguments.
        fits: whether it can take these.
    """

    make: Callable[..., Any]
    fits: Callable[..., bool] = _always


# ---------------------------------------------------------------------- shapes


def _ravel(x: Tensor) -> Tensor:
    return x.reshape(-1)


def _unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    return tuple(x.select(dim, index) for index in range(x.shape[dim]))


def _iterate(x: Tensor) -> Any:
    return iter(_unbind(x))


def _diag(x: Tensor, diagonal: int = 0) -> Tensor:
    if x.dim() == 1:
        size = x.shape[0] + abs(diagonal)
        pick = torch.diag(torch.ones(x.shape[0]), diagonal)
        rows = x if diagonal >= 0 else F.pad(x, (-diagonal, 0))
        rows = F.pad(rows, (0, size - rows.shape[0]))
        return pick * rows.unsqueeze(1)
    return _diagonal(x, diagonal)


def _diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    x = x.movedim((dim1, dim2), (-2, -1))
    rows, columns = x.shape[-2:]
    count = min(rows + min(offset, 0), columns - max(offset, 0))
    top, left = max(-offset, 0), max(offset, 0)
    square = x[..., top : top + count, left : left + count]
    return (square * torch.eye(count)).sum(-1)


def _unfold(
    x: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    (kh, kw), (dh, dw) = pair(kernel_size), pair(dilation)
    (ph, pw), (sh, sw) = pair(padding), pair(stride)
    x = F.pad(x, (pw, pw, ph, ph))
    batch, channels, height, width = x.shape
    rows = (height - dh * (kh - 1) - 1) // sh + 1
    columns = (width - dw * (kw - 1) - 1) // sw + 1
    taps = [
        x[:, :, i * dh : i * dh + sh * (rows - 1) + 1 : sh, j * dw :][
            :, :, :, : sw * (columns - 1) + 1 : sw
        ]
        for i in range(kh)
        for j in range(kw)
    ]
    return torch.stack(taps, 2).reshape(batch, channels * kh * kw, rows * columns)


def _window(x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Tensor.unfold: every window of a size along one dimension, in a new last dimension."""
    axis = dimension % x.dim()
    count = (x.shape[axis] - size) // step + 1
    if size > _WIDE and count < size:
        places = (torch.arange(count)[:, None] * step + torch.arange(size)).reshape(-1)
        windows = x.index_select(axis, places)
        shape = (*x.shape[:axis], count, size, *x.shape[axis + 1 :])
        return windows.reshape(shape).movedim(axis + 1, -1)
    stop = step * (count - 1) + 1
    before = (slice(None),) * axis
    places = [(*before, slice(i, i + stop, step)) for i in range(size)]
    return torch.stack([x[place] for place in places], -1)


def _affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    count, _, height, width = (int(s) for s in size)
    identity = torch.eye(2, 3).expand(count, 2, 3)
    base = F.affine_grid(identity, [count, 1, height, width], align_corners=bool(align_corners))
    points = torch.cat((base, torch.ones(count, height, width, 1)), 3).reshape(count, -1, 3)
    return (points @ theta.transpose(1, 2)).reshape(count, height, width, 2)


# ---------------------------------------------------------------------- small linear algebra

_LARGEST = 6


def _small(matrix: Tensor, *args: Any, **kwargs: Any) -> bool:
    return matrix.dim() >= 2 and bool(matrix.shape[-1] == matrix.shape[-2] <= _LARGEST)


def _solve(a: Tensor, b: Tensor, *, left: bool = True) -> Tensor:
    """Gauss-Jordan elimination without pivoting, unrolled; for well-conditioned small systems."""
    size = a.shape[-1]
    vector = b.dim() == a.dim() - 1 and b.shape == a.shape[:-1]
    if not left:
        return _solve(a.transpose(-1, -2), b.transpose(-1, -2)).transpose(-1, -2)
    right = b.unsqueeze(-1) if vector else b
    rows = [a[..., i : i + 1, :] for i in range(size)]
    values = [right[..., i : i + 1, :] for i in range(size)]
    for pivot in range(size):
        head = rows[pivot][..., pivot : pivot + 1]
        rows[pivot], values[pivot] = rows[pivot] / head, values[pivot] / head
        for other in range(size):
            if other != pivot:
                factor = rows[other][..., pivot : pivot + 1]
                values[other] = values[other] - factor * values[pivot]
                rows[other] = rows[other] - factor * rows[pivot]
    result = torch.cat(values, -2)
    return result.squeeze(-1) if vector else result


def _inverse(a: Tensor) -> Tensor:
    return _solve(a, torch.eye(a.shape[-1]).expand(a.shape))


def _det(a: Tensor) -> Tensor:
    size = a.shape[-1]
    if size == 1:
        return a[..., 0, 0]
    terms = []
    for column in range(size):
        rest = [c for c in range(size) if c != column]
        minor = torch.stack([a[..., 1:, c] for c in rest], -1)
        terms.append(a[..., 0, column] * _det(minor) * (-1) ** column)
    return torch.stack(terms, -1).sum(-1)


# ---------------------------------------------------------------------- values


def _searchsorted(
    sorted_sequence: Tensor, values: Tensor, *, right: bool = False, out_int32: bool = False
) -> Tensor:
    edges = sorted_sequence.unsqueeze(-2)
    points = values.unsqueeze(-1)
    before = edges <= points if right else edges < points
    return before.float().sum(-1).to(torch.int64)


def _bucketize(
    values: Tensor, boundaries: Tensor, *, right: bool = False, out_int32: bool = False
) -> Tensor:
    points = values.unsqueeze(-1)
    before = boundaries <= points if right else boundaries < points
    return before.float().sum(-1).to(torch.int64)


def _plain_search(
    sorted_sequence: Tensor,
    values: Any,
    *,
    side: Any = None,
    sorter: Any = None,
    out: Any = None,
    **kwargs: Any,
) -> bool:
    return isinstance(values, Tensor) and side is None and sorter is None and out is None


def _atan2(y: Tensor, x: Tensor) -> Tensor:
    """By the arc tangent of a number between 0 and 1; exporters get the negative x axis wrong."""
    width, height = torch.abs(x), torch.abs(y)
    large, small = torch.maximum(width, height), torch.minimum(width, height)
    angle = torch.atan(small / (large + (large == 0).to(torch.float32)))
    angle = torch.where(height > width, math.pi / 2 - angle, angle)
    angle = torch.where(x < 0, math.pi - angle, angle)
    return torch.where(y < 0, -angle, angle)


def _set_where(x: Tensor, mask: Tensor, value: Any) -> None:
    """``x[mask] = number`` without the list of places that the mask selects."""
    x.masked_fill_(mask.reshape(*mask.shape, *(1,) * (x.dim() - mask.dim())), value)


def _is_number_where(x: Tensor, key: Any, value: Any) -> bool:
    mask = isinstance(key, Tensor) and key.dtype == torch.bool
    number = isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.dim() == 0)
    return mask and number


def _either(x: Tensor, y: Tensor) -> Tensor:
    """The sum of two masks, which ONNX does not add."""
    return torch.logical_or(x, y)


def _join(x: Tensor, y: Tensor) -> Tensor:
    return x.logical_or_(y)


def _are_masks(x: Any, y: Any, **kwargs: Any) -> bool:
    masks = all(isinstance(v, Tensor) and v.dtype == torch.bool for v in (x, y))
    return masks and not kwargs


def _nextafter(x: Tensor, other: Tensor) -> Tensor:
    return x


_TABLE: dict[Callable[..., Any], tuple[Any, ...]] = {
    _ravel: (torch.ravel, Tensor.ravel),
    _unbind: (torch.unbind, Tensor.unbind),
    _iterate: (Tensor.__iter__,),
    _diag: (torch.diag, Tensor.diag),
    _diagonal: (torch.diagonal, Tensor.diagonal),
    _unfold: (F.unfold,),
    _affine_grid: (F.affine_grid,),
    _solve: (torch.linalg.solve,),
    _inverse: (torch.inverse, Tensor.inverse, torch.linalg.inv),
    _det: (torch.det, Tensor.det, torch.linalg.det),
    _searchsorted: (torch.searchsorted,),
    _bucketize: (torch.bucketize,),
    _nextafter: (torch.nextafter, Tensor.nextafter),
    _window: (Tensor.unfold,),
    _atan2: (torch.atan2, Tensor.atan2, torch.arctan2, Tensor.arctan2),
    _set_where: (Tensor.__setitem__,),
    _either: (torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__),
    _join: (Tensor.__iadd__, Tensor.add_),
}
_CONDITIONS: dict[Callable[..., Any], Callable[..., bool]] = {
    _unfold: lambda x, *args, **kwargs: x.dim() == 4,
    _affine_grid: lambda theta, size, *args, **kwargs: len(size) == 4,
    _solve: _small,
    _inverse: _small,
    _det: _small,
    _atan2: lambda y, x, **kwargs: isinstance(x, Tensor) and not kwargs,
    _set_where: _is_number_where,
    _either: _are_masks,
    _join: _are_masks,
    _searchsorted: _plain_search,
    _bucketize: lambda x, boundaries, **kwargs: isinstance(x, Tensor),
}
_CHECKED = {**BITS, **FOLDING, **ORDERING}
DECOMPOSITIONS: dict[Any, Decomposition] = {
    **{
        function: Decomposition(make, {**CONDITIONS, **_CONDITIONS}.get(make, _always))
        for make, functions in {**ELEMENTARY, **_TABLE}.items()
        for function in functions
    },
    **{
        function: Decomposition(make, fits)
        for make, (functions, fits) in _CHECKED.items()
        for function in functions
    },
}
