"""Sandwich layers, dense.

    y = √(2L) Aᵀ Φ σ(√(2L) Φ⁻¹ B x + b),   A Aᵀ + B Bᵀ = I,   Φ = diag(exp(d)) ≻ 0

[A B] comes from the Cayley transform. As an equilibrium block: W = 0, U = √(2L)Φ⁻¹B, G = √(2L)AᵀΦ,
and (10) holds with L and Λ = Φ²: 2Φ² − 2ΦAAᵀΦ − 2ΦBBᵀΦ = 0. Source: Wang & Manchester, ICML 2023;
letters of Havens et al., 2023.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from certlip.blocks import Block, Equilibrium, Origin, Sigma
from certlip.blocks.activations import ActivationKind, ReLU
from certlip.errors import InputError
from certlip.layers.base import NUDGE, LipschitzLayer, positive_sizes
from certlip.layers.orthogonal import cayley


class SandwichDense(LipschitzLayer):
    """An L-Lipschitz layer R^d → R^q with n hidden units, L = `lip`.

    Raises:
        InputError: d, n or q below 1, or lip not positive and finite.
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
        if not 0.0 < lip < float("inf"):
            raise InputError(f"sandwich layer with L = {lip}: expected a positive finite number")
        self.activation = activation or ReLU()
        self.d, self.lip = d, float(lip)
        # [A B]ᵀ (q + d, n) has orthonormal columns, or rows when n is larger: then A Aᵀ + B Bᵀ ⪯ I
        self.weight = nn.Parameter(torch.empty(q + d, n))
        self.bias = nn.Parameter(torch.zeros(n))
        self.log_phi = nn.Parameter(torch.zeros(n))
        nn.init.xavier_normal_(self.weight)

    def maps(self) -> tuple[Tensor, Tensor]:
        """U = √(2L)Φ⁻¹B (n, d) and G = √(2L)AᵀΦ (q, n)."""
        Q = math.sqrt(2.0 * self.lip) * cayley(self.weight)
        q = Q.shape[0] - self.d
        phi = self.log_phi.exp()
        return Q[q:].T / phi[:, None], Q[:q] * phi

    def forward(self, x: Tensor) -> Tensor:
        U, G = self.maps()
        return self.activation.forward(x @ U.T + self.bias) @ G.T

    def freeze(self) -> list[Block]:
        twin = copy.deepcopy(self).double().cpu()
        with torch.no_grad():
            U, G = twin.maps()
            psi = (-2.0 * twin.log_phi).exp()
        n, q = U.shape[0], G.shape[0]
        scale = 1.0 - NUDGE  # on U and G: the left side of (10) becomes about 4·NUDGE·Φ² ≻ 0
        zeros = torch.zeros(n, n, dtype=torch.float64)
        return [
            Equilibrium(
                zeros,
                scale * U,
                scale * G,
                twin.bias.detach(),
                torch.zeros(q, dtype=torch.float64),
                Sigma.of(self.activation, n),
                Origin("lben", {"lip": self.lip}, {"psi": psi}),
            )
        ]
