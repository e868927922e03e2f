"""Binary threshold of the grey picture."""

# mypy: allow-subclassing-any
from __future__ import annotations

import kornia
from torch import Tensor, nn

LEVEL = 127.5
"""Between two whole levels, so that no level lies on it."""


class Threshold(nn.Module):
    """White where the grey picture is brighter than 127.5, black elsewhere.

    Input:
        image: (1, 3, H, W), RGB, levels 0 to 255.
    Output:
        (1, 1, H, W), 0 or 255.
    Source:
        grey = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601): `kornia.color.rgb_to_grayscale`; the
        comparison is THRESH_BINARY of OpenCV.
    """

    def forward(self, image: Tensor) -> Tensor:
        grey = kornia.color.rgb_to_grayscale(image)
        return (grey > LEVEL).float() * 255
