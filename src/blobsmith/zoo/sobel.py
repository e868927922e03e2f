"""Sobel edges by Kornia."""

# mypy: allow-subclassing-any
from __future__ import annotations

import kornia
from torch import Tensor, nn


class Sobel(nn.Module):
    """Strength of the Sobel gradient of each channel, replicated border.

    Input:
        image: (1, 3, H, W), levels 0 to 255.
    Output:
        (1, 3, H, W), levels per pixel, 0 to 180.3: sqrt(gx^2 + gy^2 + 1e-6) with the kernels
        (-1 0 1; -2 0 2; -1 0 1) / 8 and its transpose.
    Source:
        Sobel and Feldman, A 3x3 isotropic gradient operator for image processing, 1968:
        `kornia.filters.sobel`.
    """

    def forward(self, image: Tensor) -> Tensor:
        return kornia.filters.sobel(image)
