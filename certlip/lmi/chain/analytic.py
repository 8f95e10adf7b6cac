"""Multipliers of a chain in closed form, layer by layer.

With ρ = 1 the recursion forwards, X_{k+1} = 2Λ_{k+1} − Λ_{k+1}B_kΛ_{k+1}, B_k = A_kX_k⁻¹A_kᵀ, is exact
for any Λ with Λ_{k+1}B_kΛ_{k+1} ⪯ Λ_{k+1}: then X_{k+1} ⪰ Λ_{k+1} ≻ 0, and L² = ‖A_KX_K⁻¹A_Kᵀ‖ is
proven. Rules for such Λ:

    norm      Λ = I/‖B‖                       never above ∏‖A_k‖, as ‖X_{k+1}⁻¹‖ ≤ ‖B_k‖ ≤ ‖A_k‖²‖X_k⁻¹‖
    diagonal  Λ = N⁻¹/‖N^{−1/2}BN^{−1/2}‖,    N = diag(B)
    sums      Λ = diag(Σ_j |B|_ij q_j/q_i)⁻¹, q = √diag(B), diagonally dominant

The first is the recursion of ECLipsE-Fast (Xu & Sivaranjani, NeurIPS 2024); the last that of AOL (Prach
& Lampert, ECCV 2022) on B in place of WWᵀ. The best of the three is taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from certlip.lmi.candidate import FAILED, OPTIMAL, Candidate
from certlip.lmi.chain.problem import Chain
from certlip.lmi.chain.scaled import ScaledChain

Rule = Callable[[Tensor], Tensor]


def analytic_chain(chain: Chain) -> Candidate:
    """The best Λ of the rules with its L; `lam` is None for a constant map."""
    begun = time.perf_counter()
    scaled = ScaledChain.of(chain)
    if scaled is None:
        return Candidate(None, 0.0, OPTIMAL, "layerwise", 0, time.perf_counter() - begun)
    found = layerwise(scaled)
    seconds = time.perf_counter() - begun
    if found is None:
        return Candidate(None, math.inf, FAILED, "layerwise", 0, seconds, message="not finite")
    lam, lip = scaled.multipliers(*found)
    return Candidate(lam, lip, OPTIMAL, "layerwise", 0, seconds)


def layerwise(chain: ScaledChain) -> tuple[list[Tensor], float] | None:
    """Λ̃ and ρ of the best rule, on the boundary of the feasible set."""
    found = [_forwards(chain, rule) for rule in (_by_norm, _by_diagonal, _by_sums)]
    usable = [one for one in found if one is not None and 0.0 < one[1] < math.inf]
    return min(usable, key=lambda one: one[1], default=None)


def _forwards(chain: ScaledChain, rule: Rule) -> tuple[list[Tensor], float] | None:
    X = torch.eye(chain.A[0].shape[1]).to(chain.A[0])
    lam: list[Tensor] = []
    for A in chain.A:
        factor, info = torch.linalg.cholesky_ex(X)
        if int(info):
            return None
        half = torch.linalg.solve_triangular(factor, A.mT, upper=False)
        B = half.mT @ half
        if len(lam) == len(chain.widths):
            rho = _norm(B)
            return [rho * part for part in lam], rho
        lam.append(rule(B))
        X = torch.diag(2.0 * lam[-1]) - lam[-1][:, None] * B * lam[-1]
    return None


def _by_norm(B: Tensor) -> Tensor:
    return torch.full_like(B[0], 1.0 / _norm(B))


def _by_diagonal(B: Tensor) -> Tensor:
    N = B.diagonal().clamp_min(torch.finfo(B.dtype).tiny)
    root = N.rsqrt()
    return 1.0 / (N * _norm(root[:, None] * B * root))


def _by_sums(B: Tensor) -> Tensor:
    q = B.diagonal().clamp_min(torch.finfo(B.dtype).tiny).sqrt()
    return 1.0 / ((B.abs() * q).sum(1) / q)


def _norm(B: Tensor) -> float:
    return float(torch.linalg.eigvalsh(B)[-1])
