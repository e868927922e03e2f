"""Contrast stretch."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import Tensor, nn


class Contrast(nn.Module):
    """Stretches the picture's levels so that the darkest becomes 0 and the brightest 255.

    One darkest and one brightest level over all channels, so that colours keep their hue.

    Input:
        image: (1, 3, H, W), levels 0 to 255.
    Output:
        (1, 3, H, W), levels 0 to 255; a picture of one level becomes 0.
    Source:
        (x - min) 255 / (max - min). Gonzalez and Woods, Digital Image Processing, chapter 3.2.
    """

    def forward(self, image: Tensor) -> Tensor:
        darkest = torch.amin(image, dim=(1, 2, 3), keepdim=True)
        brightest = torch.amax(image, dim=(1, 2, 3), keepdim=True)
        span = torch.clamp(brightest - darkest, min=1.0)
        return (image - darkest) / span * 255
