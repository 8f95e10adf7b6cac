"""The pattern of ½(P S(d) Z + Z S(d) P) for directions d = (Λ̃, ρ), S linear in them.

It is the off-diagonal block of the inverse of [[S, −S(d)], [0, T]], P = S⁻¹, Z = T⁻¹, whose elimination
keeps the pattern. With E, J of P and F, N of Z, and D_k, C_k the blocks of S(d),

    X_{k+1} = D_{k+1} + E_kᵀX_kF_k − E_kᵀC_kᵀ − C_kF_k                                          forwards
    Y_k = J_kX_kN_k + E_kP_{k+1}G_k + U_kF_kᵀ,   Y_{k+1,k} = −(P_{k+1}G_k + Y_{k+1}F_kᵀ),
    Y_{k,k+1} = −U_k,   U_k = E_kY_{k+1} + H_kZ_{k+1}                                          backwards

with G_k = (E_kᵀX_k − C_k)N_k and H_k = J_k(X_kF_k − C_kᵀ). With Z = P it is the derivative of S⁻¹.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.lmi.chain.recursion import Completed, Pattern
from certlip.lmi.chain.scaled import ScaledChain


class Products:
    """d ↦ the symmetric part of P S(d) Z at fixed P and Z."""

    def __init__(self, chain: ScaledChain, P: Completed, Z: Completed) -> None:
        self.A, self.P, self.Z = chain.A, P, Z
        self.AE = [A @ E for A, E in zip(chain.A, P.E, strict=False)]
        self.AF = [A @ F for A, F in zip(chain.A, Z.E, strict=False)]

    def __call__(self, lam: list[Tensor], rho: Tensor) -> Pattern:
        """For a batch of directions: `lam` (m, w_k) per layer and `rho` (m,)."""
        A, P, Z, K = self.A, self.P.blocks, self.Z.blocks, len(lam)
        J, E, N, F = self.P.J, self.P.E, self.Z.J, self.Z.E
        X = rho[:, None, None] * torch.eye(A[0].shape[1], dtype=rho.dtype, device=rho.device)
        Xs, G, H = [X], [], []
        for k in range(K):
            rows = lam[k][:, :, None]
            E_X, X_F = E[k].mT @ X, X @ F[k]
            G.append((E_X + rows * A[k]) @ N[k])
            H.append(J[k] @ (X_F + (rows * A[k]).mT))
            X = torch.diag_embed(2.0 * lam[k]) + E_X @ F[k] + (rows * self.AE[k]).mT
            X = X + rows * self.AF[k]
            Xs.append(X)
        Y = J[K] @ X @ N[K]
        own, below = [_symmetric(Y)], []
        for k in reversed(range(K)):
            P_G, U = P.own[k + 1] @ G[k], E[k] @ Y + H[k] @ Z.own[k + 1]
            below.insert(0, -0.5 * (P_G + Y @ F[k].mT + U.mT))
            Y = J[k] @ Xs[k] @ N[k] + E[k] @ P_G + U @ F[k].mT
            own.insert(0, _symmetric(Y))
        return Pattern(own, below)


def _symmetric(Y: Tensor) -> Tensor:
    return 0.5 * (Y + Y.mT)
