"""Gaussian blur by Kornia."""

# mypy: allow-subclassing-any
from __future__ import annotations

import kornia
from torch import Tensor, nn


class Blur(nn.Module):
    """Gaussian blur, 9x9 taps, standard deviation 2.5 pixels, reflected border.

    Input:
        image: (1, 3, H, W) with H and W at least 5, levels 0 to 255.
    Output:
        (1, 3, H, W), levels 0 to 255.
    Source:
        g(x, y) = exp(-(x^2 + y^2) / (2 s^2)), sampled and normalised to sum 1:
        `kornia.filters.gaussian_blur2d`. Gonzalez and Woods, Digital Image Processing,
        chapter 3.5.
    """

    def forward(self, image: Tensor) -> Tensor:
        return kornia.filters.gaussian_blur2d(image, (9, 9), (2.5, 2.5))
