"""Batch normalisation, shared by points and boxes.

In training, mean and variance are those of the points of the batch, for boxes as well: only then do both
pass through the same affine map, and the boxes are those of the network. In evaluation they are the
running ones, which the frozen network takes over.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Norm(nn.Module):
    """γ(v − mean)/√(variance + ε) + β per channel, for (batch, channels, …)."""

    eps = 1e-5
    momentum = 0.1

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta = (
            nn.Parameter(torch.ones(channels)),
            nn.Parameter(torch.zeros(channels)),
        )
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def map(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift, shaped like one sample of v."""
        axes = [axis for axis in range(v.ndim) if axis != 1]
        mean, variance = self.mean, self.variance
        if self.training and len(v) > 1:
            variance, mean = torch.var_mean(v, dim=axes, correction=0)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance, self.momentum)
        scale, shift = self._of(self.gamma, self.beta, mean, variance)
        shape = [-1, *[1] * (v.ndim - 2)]
        return scale.reshape(shape), shift.reshape(shape)

    def frozen(self) -> tuple[Tensor, Tensor]:
        """Scale and shift of evaluation per channel, float64."""
        return self._of(
            *(t.detach().double().cpu() for t in (self.gamma, self.beta, self.mean, self.variance))
        )

    def _of(
        self, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor
    ) -> tuple[Tensor, Tensor]:
        scale = gamma / (variance + self.eps).sqrt()
        return scale, beta - scale * mean
