"""Concatenation: three pictures side by side, the smallest program a camera can run."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import Tensor, nn


class Concat(nn.Module):
    """Three frames side by side in one.

    Inputs:
        img1, img2, img3: (1, 3, H, W), levels 0 to 255.
    Output:
        (1, 3, H, 3 W), levels 0 to 255: img1 left, img2 in the middle, img3 right.
    Source:
        the first example of Luxonis' tutorial on custom models for OAK cameras.
    """

    def forward(self, img1: Tensor, img2: Tensor, img3: Tensor) -> Tensor:
        return torch.cat((img1, img2, img3), dim=3)
