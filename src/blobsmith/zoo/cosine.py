"""Cosine similarity of two vectors, scaled so that FP16 holds every number on the way."""

# mypy: allow-subclassing-any
from __future__ import annotations

import torch
from torch import Tensor, nn

THOUSAND = 1000.0


class Cosine(nn.Module):
    """1000 times the cosine of the angle between two vectors.

    Inputs:
        a, b: (N,), for example 256 numbers that a recognition network made of a face, between
            -10 and 10: 256 * 10 * 10 = 25600 fits in FP16, which ends at 65504.
    Output:
        (1,), -1000 to 1000. Without the division by 1000 the product of the two squared lengths
        does not fit: it may be 6.5e8.
    Source:
        a.b / sqrt((a.a / 1000) * (b.b / 1000)), the cosine example of Luxonis' tutorial on custom
        models for OAK cameras; here with one root for each length, which for vectors of length 1
        keeps 0.001 * 0.001 out of the numbers below 6e-5 that FP16 holds only coarsely.
    """

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        product = torch.sum(a * b, dim=0, keepdim=True)
        length_a = torch.sqrt(torch.sum(a * a, dim=0, keepdim=True) / THOUSAND)
        length_b = torch.sqrt(torch.sum(b * b, dim=0, keepdim=True) / THOUSAND)
        return product / (length_a * length_b)
