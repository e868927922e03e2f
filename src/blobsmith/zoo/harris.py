"""Harris corner response by Kornia, scaled so that FP16 holds it."""

# mypy: allow-subclassing-any
from __future__ import annotations

import kornia
from torch import Tensor, nn


class Harris(nn.Module):
    """Harris response of each channel, k = 0.04.

    The response is of the fourth degree in the picture: on levels 0 to 255 it passes 65504, the
    largest FP16 number, at the first strong corner. On 0 to 1 it stays below 0.1.

    Input:
        image: (1, 3, H, W) with H and W at least 4, levels 0 to 255.
    Output:
        (1, 3, H, W): positive at corners, negative along edges, 0 where the picture is flat.
    Source:
        det(M) - k trace(M)^2 of the structure tensor M, its window a 7x7 Gaussian of standard
        deviation 1: `kornia.feature.harris_response`. Harris and Stephens, A combined corner and
        edge detector, Alvey Vision Conference 1988.
    """

    def forward(self, image: Tensor) -> Tensor:
        unit = image / 255
        return kornia.feature.harris_response(unit, k=0.04, grads_mode="sobel")
