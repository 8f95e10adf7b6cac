"""Lipschitz-bounded equilibrium layers (LBEN), dense.

    z = σ(Wz + Ux + b_z),  y = Gz + b_y,
    W = I − Ψ( GᵀG/(2L) + Ψ⁻¹UUᵀΨ⁻¹/(2L) + VᵀV + Sᵀ − S + εI ),   Ψ = diag(exp(d)) ≻ 0       (7)

Why L-Lipschitz for all values of the parameters: with Λ = Ψ⁻¹ the left side of (4) is 2VᵀV + 2εI.
Source: Revay, Wang & Manchester, arXiv:2010.01732; equation numbers of Havens et al., 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Equilibrium, Origin, Sigma
from certlip.errors import InputError
from certlip.solvers import Solution, equilibrium, solver_for


def lben_weight(
    log_psi: Tensor, U: Tensor, G: Tensor, V: Tensor, S: Tensor, lip: float, eps: float
) -> Tensor:
    """W of (7), (n, n). VᵀV is the transpose of V times V: V·V leaves the constraint once V is trained."""
    psi, inverse = log_psi.exp(), (-log_psi).exp()
    inverse_U = inverse[:, None] * U
    inner = (G.T @ G + inverse_U @ inverse_U.T) / (2.0 * lip) + V.T @ V + S.T - S
    eye = torch.eye(U.shape[0], dtype=U.dtype, device=U.device)
    return eye - psi[:, None] * (inner + eps * eye)


class LBEN(nn.Module):
    """A trainable equilibrium layer R^d → R^q with n states and a prescribed Lipschitz bound.

    Args:
        log_psi: d of Ψ = diag(exp(d)), (n,).
        U, G, V, S: (n, d), (q, n), (n, n), (n, n), free.
        b_z, b_y: (n,), (q,).
        sigma: The activation per coordinate.
        lip: L > 0, in units of y per unit of x.
        eps: ε ≥ 0 of (7); ε > 0 leaves the conditions room for rounding.

    Raises:
        InputError: shapes disagree, L ≤ 0 or ε < 0.
    """

    def __init__(
        self,
        *,
        log_psi: Tensor,
        U: Tensor,
        G: Tensor,
        V: Tensor,
        S: Tensor,
        b_z: Tensor,
        b_y: Tensor,
        sigma: Sigma,
        lip: float = 1.0,
        eps: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0.0 < lip < float("inf"):
            raise InputError(f"LBEN with L = {lip}: expected a positive finite number")
        if not 0.0 <= eps < float("inf"):
            raise InputError(f"LBEN with ε = {eps}: expected a nonnegative finite number")
        if log_psi.ndim != 1 or U.ndim != 2 or G.ndim != 2:
            found = tuple(log_psi.shape), tuple(U.shape), tuple(G.shape)
            raise InputError(
                f"LBEN: log_psi, U, G have shapes {found}: expected (n,), (n, d), (q, n)"
            )
        n, d, q = log_psi.shape[0], U.shape[1], G.shape[0]
        shapes = {"U": (n, d), "G": (q, n), "V": (n, n), "S": (n, n), "b_z": (n,), "b_y": (q,)}
        for name, value in (("U", U), ("G", G), ("V", V), ("S", S), ("b_z", b_z), ("b_y", b_y)):
            if tuple(value.shape) != shapes[name]:
                raise InputError(
                    f"LBEN: {name} has shape {tuple(value.shape)}: expected {shapes[name]}"
                )
        if sigma.width != n:
            raise InputError(f"LBEN: σ has {sigma.width} coordinates: expected {n}")
        self.log_psi, self.U, self.G = (nn.Parameter(t.clone()) for t in (log_psi, U, G))
        self.V, self.S = nn.Parameter(V.clone()), nn.Parameter(S.clone())
        self.b_z, self.b_y = nn.Parameter(b_z.clone()), nn.Parameter(b_y.clone())
        self.sigma, self.lip, self.eps = sigma, float(lip), float(eps)
        self.last_solution: Solution | None = None

    def weight(self) -> Tensor:
        """W of (7), differentiable in the parameters."""
        return lben_weight(self.log_psi, self.U, self.G, self.V, self.S, self.lip, self.eps)

    def forward(self, x: Tensor) -> Tensor:
        """y (batch, q) for x (batch, d). One resolvent per call; `last_solution` tells how it went."""
        W = self.weight()
        solver = solver_for(W.detach(), self.sigma)
        z, self.last_solution = equilibrium(W, x @ self.U.T + self.b_z, solver)
        return z @ self.G.T + self.b_y

    def freeze(self) -> Equilibrium:
        """The layer as a float64 block, with Ψ and L as the origin of its analytic multipliers."""

        def exact(parameter: Tensor) -> Tensor:
            return parameter.detach().double().cpu()

        U, G, log_psi = exact(self.U), exact(self.G), exact(self.log_psi)
        W = lben_weight(log_psi, U, G, exact(self.V), exact(self.S), self.lip, self.eps)
        origin = Origin("lben", {"lip": self.lip}, {"psi": log_psi.exp()})
        return Equilibrium(W, U, G, exact(self.b_z), exact(self.b_y), self.sigma, origin)
