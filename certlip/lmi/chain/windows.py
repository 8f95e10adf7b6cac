"""A preconditioner for the Newton systems: the inverse of a matrix that agrees with theirs on windows.

tr(A_i P A_j Z), A_i = e_iv_iᵀ + v_ie_iᵀ the constraint matrix of λ_i, is the (i, j) entry of

    P_ee∘(VZVᵀ) + Z_ee∘(VPVᵀ) + T∘Rᵀ + R∘Tᵀ,   T = P_eVᵀ, R = Z_eVᵀ

with rows e_i and v_i. The blocks within a window follow from the pattern: P_ij = −E_iP_{i+1,j}. What is
beyond the windows is completed so that the inverse M̂⁻¹ is banded, as that of P and Z is (Grone, Johnson,
Sá & Wolkowicz 1984): with H the matrix of a window, o the layers it shares with those before, and s the
others,

    M̂⁻¹ = Σ B_wᵀ(H_ss − H_soH_oo⁻¹H_os)⁻¹B_w,    B_w = [−H_soH_oo⁻¹, I]                        per window

which is two triangular solves with the factor of H, the part of o set to 0 between them. Information
crosses all windows in one application, where a sum of their inverses passes it from each to the next.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.lmi.chain.recursion import Completed
from certlip.lmi.chain.scaled import ScaledChain

#: Unknowns of a window, about: more layers mean fewer steps, at a higher cost of each factorization.
UNKNOWNS = 768
#: Layers of a window at most, as each pair of them is a block.
MOST = 12
#: A window moves on by one layer in so many.
SHARE = 3


class Windows:
    """An approximate inverse of the matrix in Λ̃, symmetric and positive definite."""

    def __init__(self, chain: ScaledChain, P: Completed, Z: Completed) -> None:
        widths = chain.widths
        K = len(widths)
        size = min(K, MOST, max(2, UNKNOWNS // max(widths)))
        starts = [0]
        while starts[-1] + size < K:
            starts.append(min(starts[-1] + max(1, size // SHARE), K - size))
        blocks = _blocks(_Forms(chain, P, size), _Forms(chain, Z, size))
        offsets = [0]
        for w in widths:
            offsets.append(offsets[-1] + w)
        self.parts: list[tuple[slice, int, Tensor, Tensor]] = []
        done = 0  # layers of the windows before
        for first in starts:
            layers = range(first, first + size)
            H = torch.cat(
                [
                    torch.cat([blocks[i, j] if i <= j else blocks[j, i].mT for j in layers], 1)
                    for i in layers
                ]
            )
            here = slice(offsets[first], offsets[first + size])
            self.parts.append((here, offsets[done] - offsets[first], *_factor(H)))
            done = first + size

    def __call__(self, r: Tensor) -> Tensor:
        """The approximate solution for right-hand sides r (m, n)."""
        z = torch.zeros_like(r)
        for here, shared, scale, factor in self.parts:
            y = torch.linalg.solve_triangular(factor, (scale * r[:, here]).mT, upper=False)
            y[:shared] = 0.0
            z[:, here] += scale * torch.linalg.solve_triangular(factor.mT, y, upper=True).mT
        return z


class _Forms:
    """Blocks (i, j), 1 ≤ i ≤ j < i + size, of Z_ee, Z_eVᵀ, its transpose, and VZVᵀ."""

    def __init__(self, chain: ScaledChain, Z: Completed, size: int) -> None:
        A, K = chain.A, len(Z.E)
        own: dict[tuple[int, int], Tensor] = {}
        for j in range(K + 1):
            own[j, j] = Z.blocks.own[j]
            for i in range(j - 1, max(j - size - 1, -1), -1):
                own[i, j] = -Z.E[i] @ own[i + 1, j]
        right: dict[tuple[int, int], Tensor] = {}
        for j in range(1, K + 1):
            for i in range(max(j - size, 0), j + 1):
                before = own[i, j - 1] if i < j else own[j - 1, i].mT
                right[i, j] = own[i, j] - before @ A[j - 1].mT
        self.own, self.right = own, right
        self.keys = [(i, j) for i, j in right if i > max(j - size, 0)]
        self.left = {(i, j): own[i, j] - A[i - 1] @ own[i - 1, j] for i, j in self.keys}
        self.both = {(i, j): right[i, j] - A[i - 1] @ right[i - 1, j] for i, j in self.keys}


def _blocks(P: _Forms, Z: _Forms) -> dict[tuple[int, int], Tensor]:
    """The matrix by blocks; layers from 0, so that layer i is node i + 1."""
    return {
        (i - 1, j - 1): P.own[i, j] * Z.both[i, j]
        + Z.own[i, j] * P.both[i, j]
        + P.right[i, j] * Z.left[i, j]
        + Z.right[i, j] * P.left[i, j]
        for i, j in P.keys
    }


def _factor(H: Tensor) -> tuple[Tensor, Tensor]:
    """Jacobi scaling s and a Cholesky factor of sHs, with as little added to its diagonal as is needed."""
    s = H.diagonal().clamp_min(torch.finfo(H.dtype).tiny).rsqrt()
    H = s[:, None] * (0.5 * (H + H.mT)) * s
    added = 4.0 * torch.finfo(H.dtype).eps
    while True:
        factor, info = torch.linalg.cholesky_ex(H + added * torch.eye(len(s)).to(H))
        if not int(info):
            return s, factor
        added *= 10.0
        if not added < 1e3:
            return s, torch.eye(len(s)).to(H)
