"""Centring layer by layer: log det S maximised over one layer's multipliers at a time, ρ fixed.

With everything else fixed it depends on Λ_k through log det X, X = 2Λ − ΛBΛ − F, where B =
A_{k−1}X_{k−1}⁻¹A_{k−1}ᵀ is what comes before the layer, F = A_kᵀΛ_{k+1}Y_{k+1}⁻¹Λ_{k+1}A_k what comes
after it, and X_k, Y_k the Schur complements forwards and backwards. A sweep costs as much per layer at
any depth, and evens out what does not fit between neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.lmi.chain.recursion import cholesky, schur_factors
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.start import Point

#: Sweeps forwards and backwards; Newton steps of a layer at most, and the decrement that is enough.
SWEEPS, STEPS, ENOUGH = 4, 20, 0.1


def centred(chain: ScaledChain, start: Point) -> Point:
    """An interior point with the same ρ, nearer to the central path; `start` where doubles fail."""
    lam, rho = list(start[0]), start[1]
    for _ in range(SWEEPS):
        if not _swept(chain, lam, rho):
            return start
    return (lam, rho) if schur_factors(chain, lam, rho) is not None else start


def _swept(chain: ScaledChain, lam: list[Tensor], rho: float) -> bool:
    """Forwards and backwards, in place; False where a factorization fails."""
    A, K = chain.A, len(lam)
    after = [A[K].mT @ A[K]]
    for k in reversed(range(1, K)):
        passed = _passed(torch.diag(2.0 * lam[k]) - after[0], A[k].mT * lam[k])
        if passed is None:
            return False
        after.insert(0, passed)
    before = [A[0] @ A[0].mT / rho]
    for k in range(K):
        lam[k] = _best(before[k], after[k], lam[k])
        X = torch.diag(2.0 * lam[k]) - lam[k][:, None] * before[k] * lam[k]
        passed = _passed(X, A[k + 1])
        if passed is None:
            return False
        before.append(passed)
    F = after[-1]
    for k in reversed(range(K)):
        lam[k] = _best(before[k], F, lam[k])
        passed = _passed(torch.diag(2.0 * lam[k]) - F, A[k].mT * lam[k])
        if passed is None:
            return False
        F = passed
    return True


def _passed(X: Tensor, A: Tensor) -> Tensor | None:
    """A X⁻¹Aᵀ."""
    factor = cholesky(X)
    if factor is None:
        return None
    half = torch.linalg.solve_triangular(factor, A.mT, upper=False)
    return half.mT @ half


def _best(B: Tensor, F: Tensor, lam: Tensor) -> Tensor:
    """The Λ that maximises log det X, by Newton steps from a feasible one.

    ∂X/∂λ_i = e_iv_iᵀ + v_ie_iᵀ with v_i = (I − ΛB)e_i, and ∂²X/∂λ_i∂λ_j = −B_ij(e_ie_jᵀ + e_je_iᵀ).
    """

    def factor_of(lam: Tensor) -> Tensor | None:
        positive = bool((lam > 0.0).all())
        return cholesky(torch.diag(2.0 * lam) - lam[:, None] * B * lam - F) if positive else None

    factor = factor_of(lam)
    for _ in range(STEPS):
        if factor is None:
            return lam
        P = torch.cholesky_inverse(factor)
        R = P @ (lam[:, None] * B)
        T = P - R
        g = 2.0 * T.diagonal()
        H = 2.0 * (P * (P - R - R.mT + (B * lam) @ R + B) + T * T.mT)
        s = H.diagonal().rsqrt()
        root = cholesky(s[:, None] * H * s)
        if root is None:
            return lam
        d = s * torch.cholesky_solve((s * g)[:, None], root)[:, 0]
        decrement = float(g @ d)
        size = 1.0 if decrement < 0.25 else 1.0 / (1.0 + decrement**0.5)
        factor = factor_of(lam + size * d)
        if factor is None:
            return lam
        lam = lam + size * d
        if decrement < ENOUGH:
            return lam
    return lam
