"""Monotone equilibrium layers, dense: MonDEQ (5) and its generalization G-MonDEQ (6).

    z = σ(Wz + Ux + b_z),  y = Gz + b_y,   W = I − Φ(AᵀA + Bᵀ − B + mI),   Φ = diag(exp(d)) ≻ 0          (6)

and Φ = I is W = (1 − m)I − AᵀA + B − Bᵀ (5). Well-posed by (3) with Γ = Φ⁻¹; L = ‖Φ⁻¹U‖‖G‖/m
(Theorem 3.3 with an output map). With `lip` given, U is scaled so that ‖Φ⁻¹U‖‖G‖ ≤ m·lip (Havens et
al., 2023, App. A): the layer is then lip-Lipschitz for all values of the parameters, and is what
their Lip-MonDEQ is for Φ = I, G = I. Sources: Winston & Kolter, NeurIPS 2020; Pabbaraju, Winston &
Kolter, ICLR 2021.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from certlip.blocks import Equilibrium, Origin, Sigma
from certlip.blocks.activations import ActivationKind, ReLU
from certlip.errors import InputError
from certlip.linalg.gram import gram_norm
from certlip.solvers import Solution, equilibrium, solver_for


class MonDEQ(nn.Module):
    """A trainable monotone equilibrium layer R^d → R^q with n states.

    Args:
        d, n, q: Widths of input, state and output; q None means G = I (q = n, not trained).
        m: Strong monotonicity, > 0.
        lip: Prescribed Lipschitz bound in units of y per unit of x, or None to leave U free.
        generalized: Whether Φ is trained (G-MonDEQ) or the identity (MonDEQ).

    Raises:
        InputError: a width below 1, m ≤ 0 or lip ≤ 0.
    """

    def __init__(
        self,
        d: int,
        n: int,
        q: int | None = None,
        *,
        m: float = 1.0,
        lip: float | None = None,
        generalized: bool = False,
        activation: ActivationKind | None = None,
    ) -> None:
        super().__init__()
        if d < 1 or n < 1 or (q is not None and q < 1):
            raise InputError(f"MonDEQ with d = {d}, n = {n}, q = {q}: expected at least 1")
        if not 0.0 < m < float("inf"):
            raise InputError(f"MonDEQ with m = {m}: expected a positive finite number")
        if lip is not None and not 0.0 < lip < float("inf"):
            raise InputError(f"MonDEQ with L = {lip}: expected a positive finite number")
        self.m, self.lip = float(m), lip
        self.activation = activation or ReLU()
        self.A, self.B = (nn.Parameter(torch.randn(n, n) / n) for _ in range(2))
        self.U = nn.Parameter(torch.randn(n, d) / d**0.5)
        self.G = nn.Parameter(torch.randn(q, n) / n**0.5) if q is not None else None
        self.log_phi = nn.Parameter(torch.zeros(n)) if generalized else None
        self.b_z = nn.Parameter(torch.zeros(n))
        self.b_y = nn.Parameter(torch.zeros(n if q is None else q))
        self.last_solution: Solution | None = None

    def phi(self) -> Tensor:
        """The diagonal of Φ, (n,), > 0."""
        return torch.ones_like(self.b_z) if self.log_phi is None else self.log_phi.exp()

    def output_map(self) -> Tensor:
        """G (q, n)."""
        if self.G is not None:
            return self.G
        return torch.eye(self.b_z.shape[0], dtype=self.b_z.dtype, device=self.b_z.device)

    def maps(self) -> tuple[Tensor, Tensor, Tensor]:
        """W (n, n), U (n, d), G (q, n) as they act."""
        phi, G = self.phi(), self.output_map()
        eye = torch.eye(phi.shape[0], dtype=phi.dtype, device=phi.device)
        W = eye - phi[:, None] * (self.A.T @ self.A + self.B.T - self.B + self.m * eye)
        U = self.U
        if self.lip is not None:
            size = gram_norm(U / phi[:, None]) * gram_norm(G)
            allowed = self.m * self.lip
            U = U * (allowed / size.clamp_min(allowed))
        return W, U, G

    def forward(self, x: Tensor) -> Tensor:
        """y (batch, q) for x (batch, d); `last_solution` tells how the equilibrium was reached."""
        W, U, G = self.maps()
        solver = solver_for(W.detach(), Sigma.of(self.activation, W.shape[0]))
        z, self.last_solution = equilibrium(W, x @ U.T + self.b_z, solver)
        return z @ G.T + self.b_y

    def freeze(self) -> Equilibrium:
        """The layer as a float64 block that remembers m and Φ for its analytic multipliers."""
        twin = copy.deepcopy(self).double().cpu()
        with torch.no_grad():
            W, U, G = twin.maps()
            origin = Origin("g-mondeq", {"m": self.m}, {"phi": twin.phi().clone()})
        b_z, b_y = twin.b_z.detach(), twin.b_y.detach()
        return Equilibrium(W, U, G, b_z, b_y, Sigma.of(self.activation, W.shape[0]), origin)
