"""Almost orthogonal layers (AOL), dense.

    y = σ(W D x + b),   D = diag(Σ_j |WᵀW|_ij)^{−1/2}                                          (8)

Why ‖WD‖₂ ≤ 1: diag(Σ_j |WᵀW|_ij) − WᵀW is diagonally dominant. Source: Prach & Lampert, ECCV 2022;
equation number of Havens et al., 2023. A zero column of W has D_ii = 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Activation, Affine, Block, Sigma
from certlip.blocks.activations import ActivationKind
from certlip.layers.base import NUDGE, LipschitzLayer, positive_sizes


class AOLDense(LipschitzLayer):
    """An affine layer R^d → R^q of norm at most 1, followed by σ unless that is None.

    Raises:
        InputError: d or q below 1.
    """

    def __init__(self, d: int, q: int, activation: ActivationKind | None = None) -> None:
        super().__init__()
        positive_sizes("AOL", d=d, q=q)
        self.activation = activation
        self.weight = nn.Parameter(torch.empty(q, d))
        self.bias = nn.Parameter(torch.zeros(q))
        nn.init.orthogonal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        v = x @ aol_weight(self.weight).T + self.bias
        return v if self.activation is None else self.activation.forward(v)

    def freeze(self) -> list[Block]:
        W, b = (p.detach().double().cpu() for p in (self.weight, self.bias))
        blocks: list[Block] = [Affine((1.0 - NUDGE) * aol_weight(W), b)]
        if self.activation is not None:
            blocks.append(Activation(Sigma.of(self.activation, W.shape[0])))
        return blocks


def aol_weight(W: Tensor) -> Tensor:
    """W D of (8), (q, d)."""
    sums = (W.T @ W).abs().sum(dim=1)
    D = torch.where(sums > 0, sums.clamp_min(torch.finfo(W.dtype).tiny).rsqrt(), 0.0)
    return W * D
