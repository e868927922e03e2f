"""Normalisation whose constants arrive as inputs, so that they change without a new blob."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """(frame - mean) / scale, channel by channel.

    Inputs:
        frame: (1, 3, H, W), levels 0 to 255.
        scale: (1, 3, 1, 1), levels, not 0: what becomes 1.
        mean: (1, 3, 1, 1), levels: what becomes 0. Both in the frame's channel order.
    Output:
        (1, 3, H, W): with a dataset's mean and standard deviation about -2 to 3.
    Source:
        the normalisation example of Luxonis' tutorial on custom models for OAK cameras.
    """

    def forward(self, frame: Tensor, scale: Tensor, mean: Tensor) -> Tensor:
        centred = torch.sub(frame, mean)
        return torch.div(centred, scale)
