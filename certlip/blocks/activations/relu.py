"""ReLU, a projection: its prox is the same for every step α."""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks.activations.base import ActivationKind


class ReLU(ActivationKind):
    """σ(v) = max(v, 0)."""

    name = "relu"
    slopes = (0.0, 1.0)
    relative_error = 0.0

    def forward(self, v: Tensor) -> Tensor:
        return torch.relu(v)  # its gradient is much faster than that of clamp

    def derivative(self, v: Tensor) -> Tensor:
        return (v > 0).to(v.dtype)

    def prox(self, v: Tensor, alpha: float | Tensor) -> Tensor:
        del alpha  # a projection: the same for every α
        return v.clamp_min(0.0)
