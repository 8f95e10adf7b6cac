"""What gradients and dual bounds need of a symmetric matrix on the nodes of a chain."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.lmi.chain.recursion import Pattern
from certlip.lmi.chain.scaled import ScaledChain


@dataclass(frozen=True)
class Marginals:
    """`own` holds diag(Z_kk) and `cross` diag(A_{k−1}Z_{k−1,k}) for k = 1 … K, (…, w_k) each; `input` is
    tr Z_00 and `output` tr(A_KZ_KKA_Kᵀ), (…).
    """

    own: list[Tensor]
    cross: list[Tensor]
    input: Tensor
    output: Tensor

    @classmethod
    def of(cls, chain: ScaledChain, Z: Pattern) -> Marginals:
        A = chain.A
        return cls(
            own=[block.diagonal(dim1=-2, dim2=-1) for block in Z.own[1:]],
            cross=[(block * A[k]).sum(-1) for k, block in enumerate(Z.below)],
            input=Z.own[0].diagonal(dim1=-2, dim2=-1).sum(-1),
            output=((A[-1] @ Z.own[-1]) * A[-1]).sum((-2, -1)),
        )


def traces(of: Marginals) -> tuple[Tensor, Tensor]:
    """tr(∂S/∂Λ̃ Z) (…, n) and tr(∂S/∂ρ Z) (…)."""
    return 2.0 * (torch.cat(of.own, -1) - torch.cat(of.cross, -1)), of.input


def inner(lam: list[Tensor], rho: float, of: Marginals) -> float:
    """tr(S(Λ̃, ρ)Z)."""
    by_lam, by_rho = traces(of)
    return float(torch.cat(lam) @ by_lam + rho * by_rho - of.output)


def dual_bound(chain: ScaledChain, Z: Pattern) -> float:
    """A lower bound of every feasible ρ from the pattern of a Z ⪰ 0; 0 where there is none.

    Weak duality: if diag(A_{k−1}Z_{k−1,k}) ≥ diag(Z_kk) for all k, then tr S(Λ̃, ρ)Z ≥ 0 gives ρ ≥
    tr(A_KZ_KKA_Kᵀ)/tr Z_00. The states scaled by d_k ≥ 0, Z becomes diag(d)Zdiag(d): d_k =
    max(0, (A_{k−1} ∘ Z_{k,k−1})d_{k−1})/diag(Z_kk) makes any Z satisfy this.
    """
    d = torch.ones_like(Z.own[0][0])
    for A, below, own in zip(chain.A, Z.below, Z.own[1:], strict=False):
        d = ((A * below) @ d).clamp_min(0.0) / own.diagonal()
    scaled = chain.A[-1] * d
    bound = ((scaled @ Z.own[-1]) * scaled).sum() / Z.own[0].trace()
    return float(bound) if bool(bound.isfinite() & (Z.own[0].trace() > 0.0)) else 0.0


def relative_gap(rho: float, lower: float) -> float:
    """√(ρ/lower) − 1: how far L may be above the optimum."""
    return math.sqrt(rho / lower) - 1.0 if lower > 0.0 else math.inf
