"""Convex potential layers (CPL), dense.

    y = x − 2 W T⁻¹ σ(Wᵀx + b),   T = ‖W‖₂² I

Why 1-Lipschitz: WᵀW ⪯ ‖W‖₂² I. Source: Meunier, Delattre, Araujo & Allauzen, ICML 2022. The norm is
a Gram iteration, an upper bound; a power iteration would be a lower one and the layer no
1-Lipschitz map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Block, Residual, Sigma
from certlip.blocks.activations import ActivationKind, ReLU
from certlip.layers.base import NUDGE, LipschitzLayer, positive_sizes
from certlip.linalg.gram import gram_norm


class CPLDense(LipschitzLayer):
    """A residual layer R^d → R^d with k hidden units and one step size for all of them.

    Raises:
        InputError: d or k below 1.
    """

    def __init__(self, d: int, k: int, activation: ActivationKind | None = None) -> None:
        super().__init__()
        positive_sizes("CPL", d=d, k=k)
        self.activation = activation or ReLU()
        self.weight = nn.Parameter(torch.empty(d, k))
        self.bias = nn.Parameter(torch.zeros(k))
        nn.init.xavier_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        W = self.weight
        s = self.activation.forward(x @ W + self.bias)
        return x - (2.0 / gram_norm(W) ** 2) * (s @ W.T)

    def freeze(self) -> list[Block]:
        W, b = (p.detach().double().cpu() for p in (self.weight, self.bias))
        k = W.shape[1]
        inverse = (1.0 - NUDGE) / float(gram_norm(W)) ** 2 if bool(W.any()) else 0.0
        D = torch.full((k,), inverse, dtype=torch.float64)
        return [Residual(W, D, b, Sigma.of(self.activation, k))]
