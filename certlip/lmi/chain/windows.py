"""A preconditioner for Newton's method: the exact Hessian on overlapping windows of consecutive layers.

∂²(−log det S)/∂λ_i∂λ_j = 2[(P_ee)∘(VPVᵀ) + T∘Tᵀ] with T = P_eVᵀ (rows e_i and v_i of the constraint
matrices e_iv_iᵀ + v_ie_iᵀ). The blocks within a window follow from those of `recursion`: P_ij =
−E_iP_{i+1,j}. The far blocks are small where layers forget, so conjugate gradients need few steps at
any depth.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.lmi.chain.recursion import Inverse

#: Unknowns of a window, about: more layers mean fewer steps, at a higher cost of each factorization.
UNKNOWNS = 1024


class Windows:
    """An approximate inverse of the Hessian in Λ̃, symmetric and positive definite."""

    def __init__(self, at: Inverse) -> None:
        widths = at.chain.widths
        K = len(widths)
        size = min(K, max(2, UNKNOWNS // max(widths)))
        starts = [0]
        while starts[-1] + size < K:
            starts.append(min(starts[-1] + max(1, size // 2), K - size))
        blocks = _hessian_blocks(at, size)
        offsets = [0]
        for w in widths:
            offsets.append(offsets[-1] + w)
        self.parts: list[tuple[slice, Tensor, Tensor]] = []
        for first in starts:
            layers = range(first, first + size)
            H = torch.cat(
                [
                    torch.cat([blocks[i, j] if i <= j else blocks[j, i].mT for j in layers], 1)
                    for i in layers
                ]
            )
            here = slice(offsets[first], offsets[first + size])
            self.parts.append((here, *_factor(H)))

    def __call__(self, r: Tensor) -> Tensor:
        """The approximate solution for right-hand sides r (m, n)."""
        z = torch.zeros_like(r)
        for here, scale, factor in self.parts:
            z[:, here] += scale * torch.cholesky_solve((scale * r[:, here]).mT, factor).mT
        return z


def _hessian_blocks(at: Inverse, size: int) -> dict[tuple[int, int], Tensor]:
    """Blocks (i, j), i ≤ j < i + size, of the Hessian; layers from 0, so that layer i is node i + 1."""
    A, K = at.chain.A, len(at.chain.widths)
    P: dict[tuple[int, int], Tensor] = {}
    for j in range(K + 1):
        P[j, j] = at.P[j]
        for i in range(j - 1, max(j - size - 1, -1), -1):
            P[i, j] = -at.E[i] @ P[i + 1, j]
    T: dict[tuple[int, int], Tensor] = {}
    for j in range(1, K + 1):
        for i in range(max(j - size, 0), j + 1):
            before = P[i, j - 1] if i < j else P[j - 1, i].mT
            T[i, j] = P[i, j] - before @ A[j - 1].mT
    blocks = {}
    for j in range(1, K + 1):
        for i in range(max(j - size + 1, 1), j + 1):
            T_ji = P[i, j] - A[i - 1] @ P[i - 1, j]
            V_P_V = T[i, j] - A[i - 1] @ T[i - 1, j]
            blocks[i - 1, j - 1] = 2.0 * (P[i, j] * V_P_V + T[i, j] * T_ji)
    return blocks


def _factor(H: Tensor) -> tuple[Tensor, Tensor]:
    """Jacobi scaling s and a Cholesky factor of sHs, with as little added to its diagonal as is needed."""
    s = H.diagonal().clamp_min(torch.finfo(H.dtype).tiny).rsqrt()
    H = s[:, None] * (0.5 * (H + H.mT)) * s
    added = 1e-15
    while True:
        factor, info = torch.linalg.cholesky_ex(H + added * torch.eye(len(s)).to(H))
        if not int(info):
            return s, factor
        added *= 10.0
        if not added < 1e3:
            return s, torch.eye(len(s)).to(H)
