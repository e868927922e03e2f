"""Functions that the tests of this room load by name."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Halve(nn.Module):
    """One input, a shape of its own."""

    blobsmith_inputs = {"image": (1, 3, 8, 10)}  # noqa: RUF012 - as a user writes it

    def forward(self, image: Tensor) -> Tensor:
        return image / 2


class Subtract(nn.Module):
    """Two inputs, not symmetric."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first - 2 * second


class NeedsArguments(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        return image * self.size


class FailsToBeMade(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        raise ValueError("no weights here")


def factory() -> nn.Module:
    """A function without parameters makes the module."""
    return Halve()


def double(image: Tensor) -> Tensor:
    """A plain function is a source too."""
    return image * 2


instance = Halve()
number = 7


def two_steps(image: Tensor) -> Tensor:
    """The line of each operator can be told."""
    squared = image * image
    return torch.sqrt(squared + 1)
