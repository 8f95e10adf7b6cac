"""SDP-based Lipschitz layers (SLL), dense and convolutional.

    y = x − 2 W T⁻¹ σ(Wᵀx + b),   T = diag(Σ_j |WᵀW|_ij q_j/q_i),  q > 0                      (9)
    y = x − 2 Kᵀ ∗ (T⁻¹ σ(K ∗ x + b)),  the same with the autocorrelation of K for WᵀW

Why 1-Lipschitz: WᵀW ⪯ T (`layers.dominance`), for circular and zero padding alike when Kᵀ is the exact
adjoint. Source: Araujo, Havens, Delattre, Allauzen & Hu, ICLR 2023; equation number of Havens et al.,
2023.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import torch
from torch import Tensor, nn

from certlip.blocks import Block, ConvResidual, Residual, Sigma
from certlip.blocks.activations import ActivationKind, ReLU
from certlip.layers.base import (
    NUDGE,
    LipschitzLayer,
    checked_activation,
    frozen_parameters,
    positive_sizes,
    require_finite,
)
from certlip.layers.dominance import correlation_sums, gram_sums, inverse
from certlip.layers.residual_conv import ResidualConv, ResidualOptions


def sll_scaling(W: Tensor, q: Tensor) -> Tensor:
    """The diagonal of T of (9), (k,), for W (d, k) and q (k,) > 0."""
    return gram_sums(W, q) / q


def sll_conv_scaling(K: Tensor, q: Tensor) -> Tensor:
    """The diagonal of T per channel, (k,), for a kernel K (k, c, kh, kw) and q (k,) > 0."""
    return correlation_sums(K, q) / q


class SLLDense(LipschitzLayer):
    """A residual layer R^d → R^d with k hidden units.

    Args:
        d: Width of input and output.
        k: Number of hidden units.
        activation: σ, with slopes in [0, 1]; ReLU by default.

    Raises:
        InputError: d or k below 1, or another activation.
    """

    def __init__(self, d: int, k: int, activation: ActivationKind | None = None) -> None:
        super().__init__()
        positive_sizes("SLL", d=d, k=k)
        self.activation = checked_activation("SLL", activation or ReLU())
        self.weight = nn.Parameter(torch.empty(d, k))
        self.bias = nn.Parameter(torch.zeros(k))
        self.log_q = nn.Parameter(torch.zeros(k))  # q = exp(log_q) > 0, unconstrained
        nn.init.xavier_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        W = self.weight
        D = self.derived(lambda: inverse(sll_scaling(W, self.log_q.exp())))
        s = self.activation.forward(x @ W + self.bias)
        return x - 2.0 * (s * D) @ W.T

    def freeze(self) -> list[Block]:
        """One residual block without the zero columns.

        Raises:
            InputError: a parameter is not finite. (With a NaN every T > 0 is false, and the layer
                would freeze to the identity.)
        """
        W, b, log_q = frozen_parameters("SLL", self).values()
        D, acts = _multipliers(W, log_q, sll_scaling)
        sigma = Sigma.of(self.activation, int(acts.sum()))
        return [Residual(W[:, acts], D, b[acts], sigma)]


class SLLConv(ResidualConv):
    """A residual layer on images with T of (9), from the sums of the kernel's autocorrelation."""

    family = "SLL"

    def __init__(
        self, c: int, k: int, image: tuple[int, int], **options: Unpack[ResidualOptions]
    ) -> None:
        super().__init__(c, k, image, **options)
        self.log_q = nn.Parameter(torch.zeros(k))  # q = exp(log_q) > 0, unconstrained

    def scaled(self) -> Tensor:
        D = inverse(sll_conv_scaling(self.kernel, self.log_q.exp()))
        return (-2.0 * D)[:, None, None, None] * self.kernel

    def freeze(self) -> list[Block]:
        """One residual block without the hidden channels whose kernel is zero.

        Raises:
            InputError: a parameter is not finite.
        """
        K, b, log_q = frozen_parameters("SLL", self).values()
        D, acts = _multipliers(K, log_q, sll_conv_scaling)
        sigma = self.sigma(self.activation, int(acts.sum()))
        return [
            ConvResidual(K[acts], D, b[acts], sigma, **self.geometry, padding=self.padding),
        ]


def _multipliers(
    weight: Tensor, log_q: Tensor, scaling: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """D = T⁻¹, nudged down, of the units that act, and which of all units (k,) these are."""
    T = scaling(weight, (log_q - log_q.max()).exp())  # (9) depends on ratios of q only
    require_finite("SLL", "T", T)
    acts = T > 0  # a unit without weights never acts: it has no T⁻¹ and is dropped
    if not bool(acts.any()):
        acts[0] = True  # keep one, with D = 0, rather than an empty block
    return (1.0 - NUDGE) * inverse(T)[acts], acts
