"""Sandwich layers, dense and convolutional.

    y = √(2L) Aᵀ Φ σ(√(2L) Φ⁻¹ B x + b),   A Aᵀ + B Bᵀ = I,   Φ = diag(exp(d)) ≻ 0

[A B] comes from the Cayley transform; a convolution with circular padding has one complex [A B] per
frequency, and Φ per channel. As an equilibrium block: W = 0, U = √(2L)Φ⁻¹B, G = √(2L)AᵀΦ, and (10) holds
with L and Λ = Φ²: 2Φ² − 2ΦAAᵀΦ − 2ΦBBᵀΦ = 0. Source: Wang & Manchester, ICML 2023; letters of Havens et
al., 2023.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from certlip.blocks import Block, ConvEquilibrium, Equilibrium, Origin, Sigma
from certlip.blocks.activations import ActivationKind, ReLU
from certlip.errors import InputError
from certlip.layers.base import (
    NUDGE,
    LipschitzLayer,
    checked_activation,
    frozen_parameters,
    positive_sizes,
    require_finite,
)
from certlip.layers.image import ConvLayer
from certlip.layers.orthogonal import cayley
from certlip.linalg.operators import Circulant


def sandwich_maps(Z: Tensor, q: int, phi: Tensor, lip: float) -> tuple[Tensor, Tensor]:
    """U = √(2L)Φ⁻¹B (…, n, d) and G = √(2L)AᵀΦ (…, q, n) for Z (…, q + d, n) and Φ = diag(phi).

    [A B]ᴴ is the Cayley transform of Z: it has orthonormal columns, or rows when n is larger; then
    A Aᴴ + B Bᴴ ⪯ I.
    """
    Q = math.sqrt(2.0 * lip) * cayley(Z)
    return Q[..., q:, :].mH / phi[:, None], Q[..., :q, :] * phi


class SandwichDense(LipschitzLayer):
    """An L-Lipschitz layer R^d → R^q with n hidden units, L = `lip`.

    Raises:
        InputError: d, n or q below 1, lip not positive and finite, or an activation with slopes
            outside of [0, 1].
    """

    def __init__(
        self,
        d: int,
        n: int,
        q: int,
        activation: ActivationKind | None = None,
        *,
        lip: float = 1.0,
    ) -> None:
        super().__init__()
        positive_sizes("sandwich", d=d, n=n, q=q)
        self.activation = checked_activation("sandwich", activation or ReLU())
        self.q, self.lip = q, _checked_lip(lip)
        self.weight = nn.Parameter(torch.empty(q + d, n))
        self.bias = nn.Parameter(torch.zeros(n))
        self.log_phi = nn.Parameter(torch.zeros(n))
        nn.init.xavier_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        U, G = self.derived(
            lambda: sandwich_maps(self.weight, self.q, self.log_phi.exp(), self.lip)
        )
        return self.activation.forward(x @ U.T + self.bias) @ G.T

    def freeze(self) -> list[Block]:
        Z, b, log_phi = frozen_parameters("sandwich", self).values()
        phi, origin = _frozen_phi(log_phi, self.lip)
        U, G = sandwich_maps(Z, self.q, phi, self.lip)
        n = b.shape[0]
        zeros = torch.zeros(n, n, dtype=torch.float64)
        b_y = torch.zeros(self.q, dtype=torch.float64)
        sigma = Sigma.of(self.activation, n)
        return [Equilibrium(zeros, _SCALE * U, _SCALE * G, b, b_y, sigma, origin)]


class SandwichConv(ConvLayer):
    """An L-Lipschitz layer from c to q channels with n hidden channels, circular padding, L = `lip`.

    Args:
        c: Channels of the input.
        n: Hidden channels.
        q: Channels of the output.
        image: (height, width).
        size: Taps of the trained kernel; the kernels of the layer have the size of the image.

    Raises:
        InputError: a size below 1, a kernel larger than the image, lip not positive and finite, or an
            activation with slopes outside of [0, 1].
    """

    def __init__(
        self,
        c: int,
        n: int,
        q: int,
        image: tuple[int, int],
        *,
        size: int | tuple[int, int] = 3,
        activation: ActivationKind | None = None,
        lip: float = 1.0,
    ) -> None:
        positive_sizes("sandwich", c=c, n=n, q=q)
        super().__init__("sandwich", q + c, n, image, size)
        self.activation = checked_activation("sandwich", activation or ReLU())
        self.q, self.lip = q, _checked_lip(lip)
        self.bias = nn.Parameter(torch.zeros(n))
        self.log_phi = nn.Parameter(torch.zeros(n))

    def forward(self, x: Tensor) -> Tensor:
        U, G = (Circulant(K, self.torus) for K in self.derived(self._maps))
        z = self.activation.forward(self.on_images(U, x) + self.bias[:, None, None])
        return self.on_images(G, z)

    def _maps(self) -> tuple[Tensor, Tensor]:
        """The spectra of U and G."""
        Z = self.torus.spectrum(self.kernel)
        return sandwich_maps(Z, self.q, self.log_phi.exp(), self.lip)

    def freeze(self) -> list[Block]:
        """One equilibrium block whose W is zero."""
        K, b, log_phi = frozen_parameters("sandwich", self).values()
        phi, origin = _frozen_phi(log_phi, self.lip)
        maps = sandwich_maps(self.torus.spectrum(K), self.q, phi, self.lip)
        U, G = (self.torus.kernel(spectrum) for spectrum in maps)
        n = b.shape[0]
        zeros = torch.zeros(n, n, 1, 1, dtype=torch.float64)
        b_y = torch.zeros(self.q, dtype=torch.float64)
        return [
            ConvEquilibrium(
                zeros,
                _SCALE * U,
                _SCALE * G,
                b,
                b_y,
                self.sigma(self.activation, n),
                **self.geometry,
                origin=origin,
            )
        ]


#: On U and G: the left side of (10) becomes about 4·NUDGE·Φ² ≻ 0.
_SCALE = 1.0 - NUDGE


def _checked_lip(lip: float) -> float:
    if not 0.0 < lip < float("inf"):
        raise InputError(f"sandwich layer with L = {lip}: expected a positive finite number")
    return float(lip)


def _frozen_phi(log_phi: Tensor, lip: float) -> tuple[Tensor, Origin]:
    """Φ, and the multipliers Ψ = Λ⁻¹ = Φ⁻² as the origin of the block."""
    phi, psi = log_phi.exp(), (-2.0 * log_phi).exp()
    require_finite("sandwich", "Φ", phi)
    require_finite("sandwich", "Φ⁻²", psi)
    return phi, Origin("lben", {"lip": lip}, {"psi": psi})
