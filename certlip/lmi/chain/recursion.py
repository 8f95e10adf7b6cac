"""The matrix S(Λ̃, ρ) of a chain, and matrices whose inverse has its pattern, block by block.

Nodes k = 0 (the input), 1 … K (hidden layers); the output is eliminated. Diagonal blocks D_0 = ρI,
D_k = 2Λ̃_k, D_K −= A_KᵀA_K; below the diagonal C_k = −Λ̃_{k+1}A_k. With J_k = X_k⁻¹ of

    X_0 = D_0,   X_{k+1} = D_{k+1} − C_kE_k,   E_k = J_kC_kᵀ                                    forwards
    P_K = J_K,   P_{k+1,k} = −P_{k+1}E_kᵀ,   P_k = J_k − E_kP_{k+1,k}                           backwards

the tridiagonal blocks of P = S⁻¹ are P_k and P_{k+1,k}. A positive definite Z with a block-tridiagonal
inverse is known by its own tridiagonal blocks: E_k = −Z_{k,k+1}Z_{k+1}⁻¹, J_k = Z_k + E_kZ_{k+1,k}. It
is the completion with the largest determinant, and there is a completion iff all J_k ≻ 0. A layer of
width w costs O(w³) everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.lmi.chain.scaled import ScaledChain


@dataclass(frozen=True)
class Pattern:
    """The tridiagonal blocks of a symmetric matrix: `own` Z_kk and `below` Z_{k+1,k}, (…, w, w')."""

    own: list[Tensor]
    below: list[Tensor]

    def plus(self, factor: float, other: Pattern) -> Pattern:
        def added(ours: list[Tensor], theirs: list[Tensor]) -> list[Tensor]:
            return [a + factor * b for a, b in zip(ours, theirs, strict=True)]

        return Pattern(added(self.own, other.own), added(self.below, other.below))

    def times(self, factor: float) -> Pattern:
        return Pattern([factor * a for a in self.own], [factor * b for b in self.below])

    def to(self, dtype: torch.dtype) -> Pattern:
        return Pattern([a.to(dtype) for a in self.own], [b.to(dtype) for b in self.below])

    def __getitem__(self, row: int) -> Pattern:
        """One of a batch."""
        return Pattern([a[row] for a in self.own], [b[row] for b in self.below])


@dataclass(frozen=True)
class Completed:
    """A positive definite matrix with a block-tridiagonal inverse: its J_k and E_k, and its pattern."""

    J: list[Tensor]
    E: list[Tensor]
    blocks: Pattern

    def times(self, factor: float) -> Completed:
        return Completed([factor * J for J in self.J], self.E, self.blocks.times(factor))

    def to(self, dtype: torch.dtype) -> Completed:
        J, E = ([part.to(dtype) for part in parts] for parts in (self.J, self.E))
        return Completed(J, E, self.blocks.to(dtype))


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
        factor = cholesky(D)
        if factor is None:
            return None
        factors.append(factor)
    return factors


def inverse(chain: ScaledChain, lam: list[Tensor], factors: list[Tensor]) -> Completed:
    """P = S⁻¹."""
    K = len(lam)
    J = [_inverse(factor) for factor in factors]
    E = [-J[k] @ (lam[k][:, None] * chain.A[k]).mT for k in range(K)]
    own, below = [J[K]], []
    for k in reversed(range(K)):
        below.insert(0, -own[0] @ E[k].mT)
        own.insert(0, J[k] - E[k] @ below[0])
    return Completed(J, E, Pattern(own, below))


def completed(Z: Pattern) -> Completed | None:
    """The completion of Z; None unless there is one that is positive definite."""
    factor = cholesky(Z.own[-1])
    J, E = [Z.own[-1]], []
    for k in reversed(range(len(Z.below))):
        if factor is None:
            return None
        half = torch.linalg.solve_triangular(factor, Z.below[k], upper=False)
        E.insert(0, -torch.linalg.solve_triangular(factor.mT, half, upper=True).mT)
        J.insert(0, Z.own[k] - half.mT @ half)
        if cholesky(J[0]) is None:
            return None
        factor = cholesky(Z.own[k])
    return None if factor is None else Completed(J, E, Z)


def cholesky(D: Tensor) -> Tensor | None:
    factor, info = torch.linalg.cholesky_ex(D)
    return None if int(info) or not bool(factor.isfinite().all()) else factor


def _inverse(factor: Tensor) -> Tensor:
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    half = torch.linalg.solve_triangular(factor, eye, upper=False)
    return half.mT @ half
