"""The exponential linear unit with 0 ≤ α ≤ 1 (above 1 its slope exceeds 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks.activations.base import ActivationKind
from certlip.errors import InputError


class ELU(ActivationKind):
    """σ(v) = v for v ≥ 0, α(eᵛ − 1) below; expm1 is assumed within 16 units in the last place."""

    name = "elu"
    slopes = (0.0, 1.0)
    relative_error = 2.0**-49
    assumed = True

    def __init__(self, alpha: float = 1.0) -> None:
        if not 0.0 <= alpha <= 1.0:
            raise InputError(f"elu alpha = {alpha}: expected a number in [0, 1]")
        self.alpha = float(alpha)

    @property
    def parameters(self) -> dict[str, float]:
        return {"alpha": self.alpha}

    def forward(self, v: Tensor) -> Tensor:
        return torch.where(v >= 0, v, self.alpha * torch.expm1(v.clamp_max(0.0)))

    def derivative(self, v: Tensor) -> Tensor:
        return torch.where(v > 0, 1.0, self.alpha * torch.exp(v.clamp_max(0.0))).to(v.dtype)
