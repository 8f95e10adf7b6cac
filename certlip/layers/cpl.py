"""Convex potential layers (CPL), dense and convolutional.

    y = x − 2 W T⁻¹ σ(Wᵀx + b),         T = ‖W‖₂² I
    y = x − 2 Kᵀ ∗ (T⁻¹ σ(K ∗ x + b)),  T = ‖K‖₂² I

Why 1-Lipschitz: WᵀW ⪯ ‖W‖₂² I. Source: Meunier, Delattre, Araujo & Allauzen, ICML 2022. The norm is
a Gram iteration, an upper bound; a power iteration would be a lower one and the layer no
1-Lipschitz map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Block, ConvResidual, Residual, Sigma
from certlip.blocks.activations import ActivationKind, ReLU
from certlip.errors import InputError
from certlip.layers.base import NUDGE, LipschitzLayer, checked_activation, positive_sizes
from certlip.layers.dominance import inverse
from certlip.layers.residual_conv import ResidualConv
from certlip.linalg.gram import gram_norm
from certlip.linalg.torus import Torus


class CPLDense(LipschitzLayer):
    """A residual layer R^d → R^d with k hidden units and one step size for all of them.

    Raises:
        InputError: d or k below 1, or an activation with slopes outside of [0, 1].
    """

    def __init__(self, d: int, k: int, activation: ActivationKind | None = None) -> None:
        super().__init__()
        positive_sizes("CPL", d=d, k=k)
        self.activation = checked_activation("CPL", activation or ReLU())
        self.weight = nn.Parameter(torch.empty(d, k))
        self.bias = nn.Parameter(torch.zeros(k))
        nn.init.xavier_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        W = self.weight
        s = self.activation.forward(x @ W + self.bias)
        step = self.derived(lambda: 2.0 * inverse(gram_norm(W) ** 2))  # W = 0: y = x
        return x - step * (s @ W.T)

    def freeze(self) -> list[Block]:
        """One residual block.

        Raises:
            InputError: ‖W‖² is no positive finite number, although W is not zero.
        """
        W, b = (p.detach().double().cpu() for p in (self.weight, self.bias))
        D = _frozen_inverse("weight", W, gram_norm(W) ** 2)
        return [Residual(W, D.expand_as(b).clone(), b, Sigma.of(self.activation, W.shape[1]))]


class CPLConv(ResidualConv):
    """A residual layer on images with one step size for all of its hidden channels."""

    family = "CPL"

    def scaled(self) -> Tensor:
        norm = convolution_norm(self.kernel, self.torus, self.padding)
        return -2.0 * inverse(norm**2) * self.kernel

    def freeze(self) -> list[Block]:
        """One residual block.

        Raises:
            InputError: ‖K‖² is no positive finite number, although K is not zero.
        """
        K, b = (p.detach().double().cpu() for p in (self.kernel, self.bias))
        D = _frozen_inverse("kernel", K, convolution_norm(K, self.torus, self.padding) ** 2)
        sigma = self.sigma(self.activation, K.shape[0])
        D = D.expand_as(b).clone()
        return [ConvResidual(K, D, b, sigma, **self.geometry, padding=self.padding)]


def convolution_norm(K: Tensor, torus: Torus, padding: str) -> Tensor:
    """Upper bound of the norm of x ↦ K ∗ x for images on the torus, a scalar.

    With zero padding the convolution is a part of the one on a torus that is longer by what the kernel
    reaches out of the image; on the torus of the image itself the norm may be smaller.
    """
    if padding == "zero":
        kh, kw = K.shape[2:]
        torus = Torus(torus.height + kh // 2, torus.width + kw // 2)
    return gram_norm(torus.spectrum(K)).amax()


def _frozen_inverse(name: str, weight: Tensor, square: Tensor) -> Tensor:
    """1/‖·‖², nudged down; 0 for zero weights."""
    if not bool(weight.any()):  # a NaN is not zero
        return torch.zeros_like(square)
    if not torch.finfo(square.dtype).tiny <= float(square) < float("inf"):
        raise InputError(f"CPL layer: ‖{name}‖² = {float(square)}: expected a positive number")
    return (1.0 - NUDGE) / square
