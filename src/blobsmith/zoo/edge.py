"""Laplacian edges by Kornia."""

# mypy: allow-subclassing-any
from __future__ import annotations

import kornia
from torch import Tensor, nn


class Edge(nn.Module):
    """Laplacian of each channel: 3x3 kernel, normalised, reflected border.

    Input:
        image: (1, 3, H, W) with H and W at least 2, levels 0 to 255.
    Output:
        (1, 3, H, W), -127.5 to 127.5: positive on the dark side of an edge, negative on its
        bright side, 0 where the picture is flat or a ramp.
    Source:
        the kernel (1 1 1; 1 -8 1; 1 1 1) / 16: `kornia.filters.laplacian`. Marr and Hildreth,
        Theory of edge detection, Proc. R. Soc. B 207, 1980, for the zero crossings.
    """

    def forward(self, image: Tensor) -> Tensor:
        return kornia.filters.laplacian(image, 3, border_type="reflect", normalized=True)
