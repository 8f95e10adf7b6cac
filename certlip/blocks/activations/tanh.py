"""The hyperbolic tangent."""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks.activations.base import ActivationKind


class Tanh(ActivationKind):
    """σ(v) = tanh v. Its float64 evaluation is assumed to be within 16 units in the last place."""

    name = "tanh"
    slopes = (0.0, 1.0)
    relative_error = 2.0**-49
    assumed = True

    def forward(self, v: Tensor) -> Tensor:
        return torch.tanh(v)

    def derivative(self, v: Tensor) -> Tensor:
        return 1.0 - torch.tanh(v) ** 2
