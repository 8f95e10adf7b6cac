"""A last layer whose rows have unit norm.

    y = W x + b,   ‖w_j‖₂ = 1

Its own Lipschitz constant may be up to √classes, but that of a margin y_a − y_j is ‖w_a − w_j‖₂ ≤ 2, and is
what certification uses for a last affine layer: far from parallel rows it is close to √2, and for the rows
of similar classes smaller. Source: Singla, Singla & Feizi, ICLR 2022 (last layer normalization).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Affine, Block
from certlip.layers.base import LipschitzLayer, frozen_parameters, positive_sizes


class NormalizedHead(LipschitzLayer):
    """An affine layer R^d → R^classes with rows of unit norm; a zero row stays zero.

    Raises:
        InputError: d or classes below 1.
    """

    def __init__(self, d: int, classes: int) -> None:
        super().__init__()
        positive_sizes("normalized head", d=d, classes=classes)
        self.weight = nn.Parameter(torch.empty(classes, d))
        self.bias = nn.Parameter(torch.zeros(classes))
        nn.init.orthogonal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x @ unit_rows(self.weight).T + self.bias

    def freeze(self) -> list[Block]:
        W, b = frozen_parameters("normalized head", self).values()
        return [Affine(unit_rows(W), b)]


def unit_rows(W: Tensor) -> Tensor:
    """W with every row divided by its norm, (classes, d)."""
    return W / W.norm(dim=1, keepdim=True).clamp_min(torch.finfo(W.dtype).tiny)
