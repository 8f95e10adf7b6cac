"""The matrix S(Λ̃, ρ) of a chain, its log-determinant barrier and derivatives, block by block.

Nodes k = 0 (the input), 1 … K (hidden layers); the output is eliminated. Diagonal blocks D_0 = ρI,
D_k = 2Λ̃_k, D_K −= A_KᵀA_K; below the diagonal C_k = −Λ̃_{k+1}A_k. With J_k = X_k⁻¹ of

    X_0 = D_0,   X_{k+1} = D_{k+1} − C_kE_k,   E_k = J_kC_kᵀ                                    forwards
    P_K = J_K,   Q_k = P_{k+1}E_kᵀ,   P_k = J_k + E_kQ_k                                        backwards

the tridiagonal blocks of P = S⁻¹ are P_k and P_{k+1,k} = −Q_k, all that gradients of −log det S need;
their directional derivatives, the same recursions differentiated, are all that products with the
Hessian need. A layer of width w costs O(w³) everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.lmi.chain.scaled import ScaledChain


def schur_factors(chain: ScaledChain, lam: list[Tensor], rho: float) -> list[Tensor] | None:
    """The Cholesky factors of X_0 … X_K; None unless S ≻ 0."""
    factors: list[Tensor] = []
    D = torch.full_like(chain.A[0][0], rho).diag()
    for k in range(len(lam) + 1):
        if k:
            if not bool((lam[k - 1] > 0.0).all()):
                return None
            C = lam[k - 1][:, None] * chain.A[k - 1]
            half = torch.linalg.solve_triangular(factors[-1], C.mT, upper=False)
            D = torch.diag(2.0 * lam[k - 1]) - half.mT @ half
        if k == len(lam):
            D = D - chain.A[-1].mT @ chain.A[-1]
        factor, info = torch.linalg.cholesky_ex(D)
        if int(info) or not bool(factor.isfinite().all()):
            return None
        factors.append(factor)
    return factors


@dataclass(frozen=True)
class Marginals:
    """What gradients and dual bounds need of a symmetric matrix on the nodes.

    `own` holds diag(Z_kk) and `cross` diag(A_{k−1}Z_{k−1,k}) for k = 1 … K, (…, w_k) each; `input` is
    tr Z_00 and `output` tr(A_KZ_KKA_Kᵀ), (…).
    """

    own: list[Tensor]
    cross: list[Tensor]
    input: Tensor
    output: Tensor


class Inverse:
    """The blocks of the recursion at one feasible point."""

    def __init__(self, chain: ScaledChain, lam: list[Tensor], factors: list[Tensor]) -> None:
        self.chain, K = chain, len(lam)
        self.J = [_inverse(factor) for factor in factors]
        self.E = [-self.J[k] @ (lam[k][:, None] * chain.A[k]).mT for k in range(K)]
        self.AE = [chain.A[k] @ self.E[k] for k in range(K)]
        self.P: list[Tensor] = [self.J[K]]
        self.Q: list[Tensor] = []
        for k in reversed(range(K)):
            self.Q.insert(0, self.P[0] @ self.E[k].mT)
            self.P.insert(0, self.J[k] + self.E[k] @ self.Q[0])

    def marginals(self) -> Marginals:
        """Of P itself."""
        return self._marginals(self.P, self.Q)

    def derivative(self, lam: list[Tensor], rho: Tensor) -> Marginals:
        """Of dP = −P S(d) P for directions d, a batch: `lam` (m, w_k) per layer and `rho` (m,)."""
        A, K = self.chain.A, len(lam)
        dX = rho[:, None, None] * torch.eye(A[0].shape[1], dtype=rho.dtype, device=rho.device)
        dXs, dEs = [dX], []
        for k in range(K):
            d = lam[k]
            dX_E = dX @ self.E[k]
            dEs.append(-self.J[k] @ (A[k].mT * d[:, None, :] + dX_E))
            dAE = d[:, :, None] * self.AE[k]
            dX = torch.diag_embed(2.0 * d) + dAE + dAE.mT + self.E[k].mT @ dX_E
            dXs.append(dX)
        dPs = [-self.J[K] @ dX @ self.J[K]]
        dQs: list[Tensor] = []
        for k in reversed(range(K)):
            dQs.insert(0, dPs[0] @ self.E[k].mT + self.P[k + 1] @ dEs[k].mT)
            dP = dEs[k] @ self.Q[k] + self.E[k] @ dQs[0] - self.J[k] @ dXs[k] @ self.J[k]
            dPs.insert(0, dP)
        return self._marginals(dPs, dQs)

    def _marginals(self, P: list[Tensor], Q: list[Tensor]) -> Marginals:
        A = self.chain.A
        return Marginals(
            own=[block.diagonal(dim1=-2, dim2=-1) for block in P[1:]],
            cross=[-(block * A[k]).sum(-1) for k, block in enumerate(Q)],
            input=P[0].diagonal(dim1=-2, dim2=-1).sum(-1),
            output=((A[-1] @ P[-1]) * A[-1]).sum((-2, -1)),
        )


def _inverse(factor: Tensor) -> Tensor:
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    half = torch.linalg.solve_triangular(factor, eye, upper=False)
    return half.mT @ half


def gradient(of: Marginals) -> tuple[Tensor, Tensor]:
    """∂/∂Λ̃ (…, n) and ∂/∂ρ (…) of −log det S; of `derivative(d)`, the Hessian times d."""
    own, cross = torch.cat(of.own, -1), torch.cat(of.cross, -1)
    return -2.0 * (own - cross), -of.input


def dual_bound(of: Marginals) -> Tensor:
    """A lower bound of every feasible ρ from a Z ⪰ 0 with these marginals (…); 0 where there is none.

    Weak duality: if diag(A_{k−1}Z_{k−1,k}) ≥ diag(Z_kk) for all k, then tr S(Λ̃, ρ)Z ≥ 0 gives ρ ≥
    tr(A_KZ_KKA_Kᵀ)/tr Z_00. The state of layer k scaled by c_k changes the two sides by c_{k−1}c_k and
    c_k²: with c_k = c_{k−1}·min(cross/own) any Z satisfies this.
    """
    c = torch.ones_like(of.input)
    for own, cross in zip(of.own, of.cross, strict=True):
        ratio = torch.where(own > 0.0, cross / own, torch.inf).amin(-1)
        c = c * torch.where((own >= 0.0).all(-1), ratio, -torch.inf).clamp_min(0.0)
    bound = c**2 * of.output / of.input
    return torch.where(bound.isfinite() & (of.input > 0.0), bound, torch.zeros_like(bound))
