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
from certlip.errors import InputError
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
        square = gram_norm(W) ** 2
        tiny = torch.finfo(W.dtype).tiny
        step = torch.where(square == 0, 0.0, 2.0 / square.clamp_min(tiny))  # W = 0: y = x
        return x - step * (s @ W.T)

    def freeze(self) -> list[Block]:
        """One residual block.

        Raises:
            InputError: ‖W‖² is no positive finite number, although W is not zero.
        """
        W, b = (p.detach().double().cpu() for p in (self.weight, self.bias))
        k = W.shape[1]
        square, inverse = float(gram_norm(W) ** 2), 0.0
        if bool(W.any()):  # a NaN is not zero
            if not torch.finfo(W.dtype).tiny <= square < float("inf"):
                raise InputError(f"CPL layer: ‖weight‖² = {square}: expected a positive number")
            inverse = (1.0 - NUDGE) / square
        D = torch.full((k,), inverse, dtype=torch.float64)
        return [Residual(W, D, b, Sigma.of(self.activation, k))]
