"""The identity: the first coordinates of an explicit network as an equilibrium (14)."""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks.activations.base import ActivationKind


class Identity(ActivationKind):
    """σ(v) = v."""

    name = "identity"
    slopes = (1.0, 1.0)
    relative_error = 0.0

    def forward(self, v: Tensor) -> Tensor:
        return v

    def derivative(self, v: Tensor) -> Tensor:
        return torch.ones_like(v)

    def prox(self, v: Tensor, alpha: float | Tensor) -> Tensor:
        del alpha  # f = 0: the proximal step is the identity for every α
        return v
