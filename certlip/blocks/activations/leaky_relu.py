"""Leaky ReLU with slope in [0, 1] on the negative side."""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks.activations.base import ActivationKind
from certlip.errors import InputError


class LeakyReLU(ActivationKind):
    """σ(v) = v for v ≥ 0, slope·v below."""

    name = "leaky_relu"
    relative_error = 2.0**-53

    def __init__(self, slope: float = 0.01) -> None:
        if not 0.0 <= slope <= 1.0:
            raise InputError(f"leaky_relu slope = {slope}: expected a number in [0, 1]")
        self.slope = float(slope)
        self.slopes = (self.slope, 1.0)

    @property
    def parameters(self) -> dict[str, float]:
        return {"slope": self.slope}

    def forward(self, v: Tensor) -> Tensor:
        return torch.where(v >= 0, v, self.slope * v)

    def derivative(self, v: Tensor) -> Tensor:
        # ones_like: of two plain numbers torch would make a float32 and lose digits of the slope
        return torch.where(v > 0, torch.ones_like(v), self.slope)

    def prox(self, v: Tensor, alpha: float | Tensor) -> Tensor:
        if self.slope == 0.0:
            return v.clamp_min(0.0)
        return torch.where(v >= 0, v, v / (1.0 + alpha * (1.0 / self.slope - 1.0)))
