"""Shi-Tomasi corners written out: grey, gradients, structure tensor, eigenvalue, local maxima."""

# mypy: allow-subclassing-any
from __future__ import annotations

import kornia
import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 16.0
"""Gradients are counted in steps of this many grey levels a pixel. They then stay below 8 and
their fourth power, the largest number on the way, below 5200: FP16 ends at 65504."""


class Corners(nn.Module):
    """Edge strength, and corners that are the strongest in their 3x3 neighbourhood.

    Input:
        image: (1, 3, H, W), RGB, H and W at least 3, levels 0 to 255.
    Outputs:
        edges: (1, 1, H, W), the gradient's length in grey levels a pixel, 0 to 180.3.
        corners: (1, 1, H, W), the smaller eigenvalue of the structure tensor in (16 levels a
            pixel)^2, 0 to 64, where it is the largest of its 3x3 neighbourhood, otherwise 0.
    Source:
        Shi and Tomasi, Good features to track, CVPR 1994; gradients by Scharr's 3x3 kernels
        (Optimale Operatoren in der Digitalen Bildverarbeitung, Heidelberg 2000); the window is a
        5x5 Gaussian of standard deviation 1.
    """

    def __init__(self) -> None:
        super().__init__()
        across = torch.tensor([[-3.0, 0.0, 3.0], [-10.0, 0.0, 10.0], [-3.0, 0.0, 3.0]])
        kernels = torch.stack((across, across.T)).unsqueeze(1)
        self.register_buffer("kernels", kernels / 32 / LEVELS)
        # Written out: a blur of Kornia 0.8 reads sizes that the exporter has lost by then.
        window = kornia.filters.get_gaussian_kernel1d(5, 1.0).expand(3, 1, 1, 5)
        self.register_buffer("window", window.contiguous())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        grey = kornia.color.rgb_to_grayscale(image)
        padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
        gradients = F.conv2d(padded, self.kernels)
        gx = gradients[:, 0:1]
        gy = gradients[:, 1:2]

        xx = gx * gx
        yy = gy * gy
        xy = gx * gy
        edges = torch.sqrt(xx + yy) * LEVELS

        products = torch.cat((xx, yy, xy), dim=1)
        padded = F.pad(products, (2, 2, 2, 2), mode="reflect")
        tensor = F.conv2d(padded, self.window, groups=3)
        tensor = F.conv2d(tensor, self.window.transpose(2, 3), groups=3)
        xx = tensor[:, 0:1]
        yy = tensor[:, 1:2]
        xy = tensor[:, 2:3]

        mean = (xx + yy) / 2
        half = (xx - yy) / 2
        radius = torch.sqrt(half * half + xy * xy)
        smaller = torch.relu(mean - radius)

        largest = F.max_pool2d(F.pad(smaller, (1, 1, 1, 1)), 3, stride=1)
        corners = smaller * (smaller == largest).float()
        return edges, corners
