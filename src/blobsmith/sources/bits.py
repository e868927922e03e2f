"""Bit arithmetic, and statistics, by arithmetic that exporters have.

The chip computes in floats: a mask of adjoining bits is a remainder of a floor, a shift a product
with a power of two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_BITS = 11
"""Of the integers that two tensors are taken to hold: FP16 is exact up to 2048."""
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


def _both(x: Tensor, y: Tensor) -> Tensor:
    """x & y of two tensors, bit by bit."""
    count = 8 if x.dtype == y.dtype == torch.uint8 else _BITS
    a, b = x.to(torch.float32), y.to(torch.float32)
    total: Any = None
    for bit in range(count):
        rest_a, rest_b = torch.floor(a / 2), torch.floor(b / 2)
        part = (a - 2 * rest_a) * (b - 2 * rest_b) * 2**bit
        total = part if total is None else total + part
        a, b = rest_a, rest_b
    return total.to(torch.promote_types(x.dtype, y.dtype))


def _met(x: Tensor, other: Any) -> Tensor:
    return _both(x, other) if isinstance(other, Tensor) else _and(x, other)


def _or(x: Tensor, other: Any) -> Tensor:
    return (x.to(torch.float32) + other - _met(x, other)).to(_kind(x, other))


def _xor(x: Tensor, other: Any) -> Tensor:
    return (x.to(torch.float32) + other - 2 * _met(x, other).to(torch.float32)).to(_kind(x, other))


def _kind(x: Tensor, other: Any) -> torch.dtype:
    return torch.promote_types(x.dtype, other.dtype) if isinstance(other, Tensor) else x.dtype


def _shift_right(x: Tensor, count: int) -> Tensor:
    return torch.floor(x.to(torch.float32) / 2**count).to(x.dtype)


def _shift_left(x: Tensor, count: int) -> Tensor:
    return (x.to(torch.float32) * 2**count).to(x.dtype)


def _fits(x: Any, number: Any, **kwargs: Any) -> bool:
    integer = isinstance(x, Tensor) and not x.is_floating_point() and x.dtype != torch.bool
    return integer and type(number) is int and 0 <= number < _LARGEST and not kwargs


def _are_integers(x: Any, y: Any, **kwargs: Any) -> bool:
    return not kwargs and all(
        isinstance(v, Tensor) and not v.is_floating_point() and v.dtype != torch.bool
        for v in (x, y)
    )


def _either_fits(x: Any, y: Any, **kwargs: Any) -> bool:
    return _fits(x, y, **kwargs) or _are_integers(x, y, **kwargs)


def _cov(x: Tensor, *, correction: int = 1) -> Tensor:
    rows = x if x.dim() == 2 else x.unsqueeze(0)
    centred = rows - rows.mean(1, keepdim=True)
    found = centred @ centred.t() / max(rows.shape[1] - correction, 1)
    return found if x.dim() == 2 else found.reshape(())


BITS: dict[Callable[..., Any], tuple[tuple[Any, ...], Callable[..., bool]]] = {
    _met: (
        (Tensor.__and__, Tensor.__iand__, Tensor.bitwise_and, torch.bitwise_and),
        _either_fits,
    ),
    _or: (
        (Tensor.__or__, Tensor.__ior__, Tensor.bitwise_or, torch.bitwise_or),
        _either_fits,
    ),
    _xor: (
        (Tensor.__xor__, Tensor.__ixor__, Tensor.bitwise_xor, torch.bitwise_xor),
        _either_fits,
    ),
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
