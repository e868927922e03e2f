"""What changed between two frames."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import Tensor, nn


class Diff(nn.Module):
    """Difference of the channel sums of two frames.

    Inputs:
        img1, img2: (3, H, W), levels 0 to 255; img1 is the newer frame.
    Output:
        (H, W), -765 to 765: above 0 where the picture became brighter. Whole numbers that FP16
        holds exactly.
    Source:
        the frame-difference example of Luxonis' tutorial on custom models for OAK cameras.
    """

    def forward(self, img1: Tensor, img2: Tensor) -> Tensor:
        sum1 = torch.sum(img1, dim=0)
        sum2 = torch.sum(img2, dim=0)
        return torch.sub(sum1, sum2)
