"""Bit arithmetic with constants, and statistics, by arithmetic that exporters have.

The chip computes in floats: a mask of adjoining bits is a remainder of a floor, a shift a product
with a power of two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_LARGEST = 1 << 24  # what float32 holds exactly


def _runs(mask: int) -> list[tuple[int, int]]:
    """The runs of ones in a mask: (lowest bit, one behind the highest)."""
    found: list[tuple[int, int]] = []
    bit = 0
    while mask >> bit:
        if mask >> bit & 1:
            end = bit
            while mask >> end & 1:
                end += 1
            found.append((bit, end))
            bit = end
        else:
            bit += 1
    return found


def _and(x: Tensor, mask: int) -> Tensor:
    value = x.to(torch.float32)
    total: Any = None
    for low, high in _runs(mask):
        upper = torch.floor(value / 2**low) if low else value
        size = 2 ** (high - low)
        part = (upper - torch.floor(upper / size) * size) * 2**low
        total = part if total is None else total + part
    return (value * 0 if total is None else total).to(x.dtype)


def _shift_right(x: Tensor, count: int) -> Tensor:
    return torch.floor(x.to(torch.float32) / 2**count).to(x.dtype)


def _shift_left(x: Tensor, count: int) -> Tensor:
    return (x.to(torch.float32) * 2**count).to(x.dtype)


def _fits(x: Any, number: Any, **kwargs: Any) -> bool:
    integer = isinstance(x, Tensor) and not x.is_floating_point() and x.dtype != torch.bool
    return integer and type(number) is int and 0 <= number < _LARGEST and not kwargs


def _cov(x: Tensor, *, correction: int = 1) -> Tensor:
    rows = x if x.dim() == 2 else x.unsqueeze(0)
    centred = rows - rows.mean(1, keepdim=True)
    found = centred @ centred.t() / max(rows.shape[1] - correction, 1)
    return found if x.dim() == 2 else found.reshape(())


BITS: dict[Callable[..., Any], tuple[tuple[Any, ...], Callable[..., bool]]] = {
    _and: ((Tensor.__and__, Tensor.bitwise_and, torch.bitwise_and), _fits),
    _shift_right: (
        (Tensor.__rshift__, Tensor.bitwise_right_shift, torch.bitwise_right_shift),
        _fits,
    ),
    _shift_left: (
        (Tensor.__lshift__, Tensor.bitwise_left_shift, torch.bitwise_left_shift),
        _fits,
    ),
    _cov: (
        (torch.cov, Tensor.cov),
        lambda x, **kwargs: x.dim() in (1, 2) and set(kwargs) <= {"correction"},
    ),
}
"""Replacement -> the functions it stands for, and whether it can take the arguments."""
